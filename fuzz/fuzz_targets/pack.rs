//! Gives libFuzzer's inputs to the pack reader's body. It must not check anything itself: the seeds are run through the same body
//! by an ordinary test.
#![no_main]

#[path = "../bodies/pack.rs"]
mod pack;

libfuzzer_sys::fuzz_target!(|input: &[u8]| pack::body(input));
