//! Runs every fuzz target's body on its committed seeds, so that what fuzzing once found stays mended without a fuzzer.
//! It must not know what a body checks.

#[path = "../../fuzz/bodies/frame.rs"]
mod frame;

use std::error::Error;
use std::path::Path;

fn run_seeds(target: &str, seeds_min: usize, body: fn(&[u8])) -> Result<(), Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target);
    let seeds = std::fs::read_dir(&folder)?.collect::<Result<Vec<_>, _>>()?;
    assert!(seeds.len() >= seeds_min, "{} holds only {} seeds", folder.display(), seeds.len());
    for seed in seeds {
        let bytes = std::fs::read(seed.path())?;
        let ran = std::panic::catch_unwind(|| body(&bytes));
        assert!(ran.is_ok(), "the body fails on {}", seed.path().display());
    }
    Ok(())
}

#[test]
fn frame_seeds() -> Result<(), Box<dyn Error>> {
    run_seeds("frame", 8, frame::body)
}
