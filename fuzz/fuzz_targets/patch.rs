//! Gives libFuzzer's inputs to the patch reader's body. It must not check anything itself: the seeds are run through the
//! same body by an ordinary test.
#![no_main]

#[path = "../bodies/patch.rs"]
mod patch;

libfuzzer_sys::fuzz_target!(|input: &[u8]| patch::body(input));
