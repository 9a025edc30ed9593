//! Gives libFuzzer's inputs to the tar intake's body. It must not check anything itself: the seeds are run through the
//! same body by an ordinary test.
#![no_main]

#[path = "../bodies/tar.rs"]
mod tar;

libfuzzer_sys::fuzz_target!(|input: &[u8]| tar::body(input));
