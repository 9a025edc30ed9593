//! Gives libFuzzer's inputs to the file system reader's body. It must not check anything itself: the seeds are run through the same
//! body by an ordinary test.
#![no_main]

#[path = "../bodies/disk.rs"]
mod disk;
#[path = "../bodies/ext4.rs"]
mod ext4;

libfuzzer_sys::fuzz_target!(|input: &[u8]| ext4::body(input));
