//! Runs every fuzz target's body on its committed seeds, so that what fuzzing once found stays mended without a fuzzer.
//! It must not know what a body checks.

#[path = "../../fuzz/bodies/frame.rs"]
mod frame;

use std::path::Path;

fn run_seeds(target: &str, seeds_min: usize, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target);
    let seeds: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(seeds.len() >= seeds_min, "{} holds only {} seeds", folder.display(), seeds.len());
    for seed in seeds {
        let bytes = std::fs::read(&seed).unwrap();
        let ran = std::panic::catch_unwind(|| body(&bytes));
        assert!(ran.is_ok(), "the body fails on {}", seed.display());
    }
}

#[test]
fn frame_seeds() {
    run_seeds("frame", 8, frame::body);
}
