//! Programs of npm that nobody here wrote. They are installed once, by what is in their lock file, outside of any checkout and of
//! any test's home; nothing that comes with them is run by that. This file must not know what is tested.

use crate::python;
use rustix::fs::FlockOperation;
use rustix::fs::flock;
use std::fs;
use std::fs::File;
use std::hash::Hash as _;
use std::hash::Hasher as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

/// What there is, to the version and its digest.
const MANIFEST: &str = include_str!("../../../tests/clients/package.json");
const LOCK: &str = include_str!("../../../tests/clients/package-lock.json");

/// A file of the packages of `tests/clients`, below `node_modules`.
pub fn module(path: &str) -> PathBuf {
    let all = python::cache().with_file_name("node");
    fs::create_dir_all(&all).unwrap();
    // The lock has the digest of every package, so its own says what is in the folder.
    let mut digest = std::hash::DefaultHasher::new();
    (MANIFEST, LOCK).hash(&mut digest);
    let name = format!("{:016x}", digest.finish());
    let folder = all.join(&name);
    let lock = File::create(all.join(format!("{name}.lock"))).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let complete = folder.join("complete");
    if !complete.exists() {
        let _ = fs::remove_dir_all(&folder);
        install(&folder);
        fs::write(complete, "").unwrap();
    }
    folder.join("node_modules").join(path)
}

fn install(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("package.json"), MANIFEST).unwrap();
    fs::write(folder.join("package-lock.json"), LOCK).unwrap();
    let mut npm = Command::new("npm");
    python::run(npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(folder));
}
