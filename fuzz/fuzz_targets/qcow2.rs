//! Gives libFuzzer's inputs to the overlay reader's body. It must not check anything itself: the seeds are run through the same
//! body by an ordinary test.
#![no_main]

#[path = "../bodies/disk.rs"]
mod disk;
#[path = "../bodies/qcow2.rs"]
mod qcow2;

libfuzzer_sys::fuzz_target!(|input: &[u8]| qcow2::body(input));
