//! Gives libFuzzer's inputs to the tree codec's body. It must not check anything itself: the seeds are run through the
//! same body by an ordinary test.
#![no_main]

#[path = "../bodies/tree.rs"]
mod tree;

libfuzzer_sys::fuzz_target!(|input: &[u8]| tree::body(input));
