//! Runs every fuzz target's body on its committed seeds, so that what fuzzing once found stays mended without a fuzzer.
//! It must not know what a body checks.

#[path = "../../fuzz/bodies/disk.rs"]
mod disk;
#[path = "../../fuzz/bodies/ext4.rs"]
mod ext4;
#[path = "../../fuzz/bodies/frame.rs"]
mod frame;
#[path = "../../fuzz/bodies/pack.rs"]
mod pack;
#[path = "../../fuzz/bodies/patch.rs"]
mod patch;
#[path = "../../fuzz/bodies/qcow2.rs"]
mod qcow2;
#[path = "../../fuzz/bodies/tar.rs"]
mod tar;
#[path = "../../fuzz/bodies/tree.rs"]
mod tree;

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
fn ext4_seeds() -> Result<(), Box<dyn Error>> {
    run_seeds("ext4", 4, ext4::body)
}

#[test]
fn frame_seeds() -> Result<(), Box<dyn Error>> {
    run_seeds("frame", 8, frame::body)
}

#[test]
fn pack_seeds() -> Result<(), Box<dyn Error>> {
    // The others are this one, hurt; if it were refused they would say nothing.
    let plain = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds/pack/plain");
    let plain = std::fs::read(plain)?;
    assert_eq!(pyro::workspace::check_pack(&pack::file(plain[0], &plain[1..])[..], 100)?, 7);
    run_seeds("pack", 8, pack::body)
}

#[test]
fn patch_seeds() -> Result<(), Box<dyn Error>> {
    run_seeds("patch", 20, patch::body)
}

#[test]
fn qcow2_seeds() -> Result<(), Box<dyn Error>> {
    run_seeds("qcow2", 3, qcow2::body)
}

#[test]
fn tar_seeds() -> Result<(), Box<dyn Error>> {
    run_seeds("tar", 12, tar::body)
}

#[test]
fn tree_seeds() -> Result<(), Box<dyn Error>> {
    run_seeds("tree", 12, tree::body)
}
