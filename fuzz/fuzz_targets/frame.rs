//! Gives libFuzzer's inputs to the frame codec's body. It must not check anything itself: the seeds are run through the
//! same body by an ordinary test.
#![no_main]

#[path = "../bodies/frame.rs"]
mod frame;

libfuzzer_sys::fuzz_target!(|input: &[u8]| frame::body(input));
