//! Patches and diffs held against the real git, and against themselves, on trees made at random. Only this test may
//! start git; the code it is about does no I/O.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod against_git;
mod cases;
mod git;
mod round_trips;
mod tree;
