//! Python environments for clients that nobody here wrote. They are made once, by what is in them, outside of any checkout and of
//! any test's home. This file must not know what is tested.

use rustix::fs::FlockOperation;
use rustix::fs::flock;
use std::fs;
use std::fs::File;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

/// The interpreter of an environment that has these requirements, for instance `mcp==2.3.0`.
pub fn interpreter(requirements: &[&str]) -> PathBuf {
    let all = cache();
    fs::create_dir_all(&all).unwrap();
    // Requirements are pinned, so their text says what is in the environment.
    let name: String = requirements
        .join("+")
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || ".+".contains(c) { c } else { '-' })
        .collect();
    let folder = all.join(&name);
    let interpreter = folder.join("bin/python3");
    let lock = File::create(all.join(format!("{name}.lock"))).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let complete = folder.join("complete");
    if !complete.exists() {
        let _ = fs::remove_dir_all(&folder);
        make(&folder, &interpreter, requirements);
        fs::write(complete, "").unwrap();
    }
    interpreter
}

fn make(folder: &Path, interpreter: &Path, requirements: &[&str]) {
    run(Command::new("python3").args(["-m", "venv"]).arg(folder));
    run(Command::new(interpreter).args(["-m", "pip", "install", "--quiet"]).args(requirements));
}

pub(crate) fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

pub(crate) fn cache() -> PathBuf {
    let var = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = var("XDG_CACHE_HOME").or_else(|| var("HOME").map(|home| home.join(".cache")));
    base.expect("HOME is set in a test's environment").join("pyro-tests/python")
}
