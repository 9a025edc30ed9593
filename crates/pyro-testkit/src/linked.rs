//! A cache that shares another one's files by hard links, so that making it takes no time and no disk. It must not share
//! templates: those are what its users make and damage.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

/// What guests are made from, below a cache.
const SHARED: [&str; 4] = ["environments", "kernels", "initrds", "rw"];

/// Fills the cache `to` with links to the files of the cache `from`.
pub(crate) fn cache(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for name in SHARED {
        tree(&from.join(name), &to.join(name));
    }
    // Otherwise every such cache would have the probe run again.
    let _ = fs::copy(from.join("probe.json"), to.join("probe.json"));
}

fn tree(from: &Path, to: &Path) {
    let Ok(entries) = fs::read_dir(from) else { return };
    fs::create_dir_all(to).unwrap();
    for entry in entries.map(Result::unwrap) {
        let name = entry.file_name();
        let (from, to) = (entry.path(), to.join(&name));
        let name = name.to_string_lossy();
        if name.starts_with("partial-") || name.ends_with(".tmp") {
            // Somebody else's unfinished business.
        } else if from.is_dir() {
            tree(&from, &to);
        } else {
            file(&from, &to);
        }
    }
}

fn file(from: &Path, to: &Path) {
    match fs::hard_link(from, to) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(_) => {
            let mut copy = Command::new("cp");
            assert!(copy.args(["-a", "--sparse=always"]).args([from, to]).status().unwrap().success());
        }
    }
}
