//! For tests alone: runs the `pyro` program in a home of its own, and finds out whether anything is left afterwards.
//! It must not be a dependency of anything that is shipped. What fails here fails the test, so it panics.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "a test's helper fails by panicking"
)]

pub mod outcome;
pub mod processes;
pub mod sandbox;

pub use outcome::Outcome;
pub use sandbox::Sandbox;
