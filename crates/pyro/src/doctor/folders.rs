//! Checks of the folders pyro writes to: can it, and is there room.

use super::Check;
use crate::config::Config;
use std::path::Path;

/// Room that a first environment with its build needs.
const ROOM_NEEDED_MIB: u64 = 1024;
/// Room below which all environments together do not fit.
const ROOM_WANTED_MIB: u64 = 4096;

pub(super) fn checks(config: &Config) -> Vec<Check> {
    vec![
        writable("state_folder", &config.state_dir, "PYRO_STATE_DIR"),
        writable("cache_folder", &config.cache_dir, "PYRO_CACHE_DIR"),
        room(&config.cache_dir),
    ]
}

/// The folder itself, or the nearest one above it that exists, may be written to.
fn writable(name: &'static str, path: &Path, variable: &str) -> Check {
    let nearest = nearest_existing(path);
    match rustix::fs::access(nearest, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK) {
        Ok(()) if nearest.is_dir() => Check::pass(name, path.display().to_string()),
        _ => Check::fail(
            name,
            format!("{} cannot be written to", nearest.display()),
            format!("set {variable} to a folder you can write to"),
        ),
    }
}

fn room(path: &Path) -> Check {
    let name = "disk_space";
    let nearest = nearest_existing(path);
    let Ok(stat) = rustix::fs::statvfs(nearest) else {
        return Check::warn(
            name,
            format!("{} does not tell its free space", nearest.display()),
            "check it by hand",
        );
    };
    let free_mib = stat.f_bavail.saturating_mul(stat.f_frsize) / (1024 * 1024);
    let detail = format!("{free_mib} MiB free at {}", nearest.display());
    let remedy = format!("make room, or set PYRO_CACHE_DIR to a folder with {ROOM_WANTED_MIB} MiB free");
    match free_mib {
        0..ROOM_NEEDED_MIB => Check::fail(name, detail, remedy),
        ROOM_NEEDED_MIB..ROOM_WANTED_MIB => Check::warn(name, detail, remedy),
        _ => Check::pass(name, detail),
    }
}

fn nearest_existing(path: &Path) -> &Path {
    path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    #[test]
    fn a_folder_that_cannot_be_made_is_a_failure_with_a_remedy() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        std::fs::write(&file, "").unwrap();
        let check = writable("cache_folder", &file.join("below"), "PYRO_CACHE_DIR");
        assert_eq!(check.status, Status::Fail);
        assert!(check.remedy.unwrap().contains("PYRO_CACHE_DIR"));
        assert_eq!(writable("cache_folder", &root.path().join("a/b/c"), "X").status, Status::Pass);
    }
}
