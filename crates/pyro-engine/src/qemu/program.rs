//! The QEMU program of this host and what identifies it. It is never run to ask for its version: that takes longer than
//! restoring a guest may.

use crate::engine::EngineError;
use rustix::fs::Access;
use std::fs;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;

/// The program's name.
pub(crate) const NAME: &str = "qemu-system-x86_64";

/// A QEMU that exists.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    path: PathBuf,
    identity: String,
}

impl Program {
    /// `program`, or the first executable of QEMU's name in the folders of `search_path`.
    pub(crate) fn find(program: Option<PathBuf>, search_path: &str) -> Result<Self, EngineError> {
        let named = program.as_ref().map_or_else(|| NAME.to_owned(), |path| path.display().to_string());
        let missing = || EngineError::ProgramMissing { program: named.clone() };
        let path = program.map_or_else(|| find_executable(NAME, search_path), Some).ok_or_else(missing)?;
        let metadata = fs::metadata(&path).map_err(|_| missing())?;
        if !is_executable(&path) {
            return Err(missing());
        }
        let identity = format!(
            "{} {} {}.{:09}",
            path.display(),
            metadata.size(),
            metadata.mtime(),
            metadata.mtime_nsec()
        );
        Ok(Self { path, identity })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its path, size and modification time: changes with every other version.
    pub(crate) fn identity(&self) -> &str {
        &self.identity
    }
}

/// The first executable file called `name` in the folders of `search_path`; relative folders are ignored.
pub(crate) fn find_executable(name: &str, search_path: &str) -> Option<PathBuf> {
    let folders = search_path.split(':').map(Path::new).filter(|folder| folder.is_absolute());
    folders.map(|folder| folder.join(name)).find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file())
        && rustix::fs::access(path, Access::EXEC_OK).is_ok()
}

/// The host's processor and kernel: neither a saved clock frequency nor saved KVM state survives a change of them.
pub(crate) fn host_processor() -> String {
    // The first processor is enough, and on a host with hundreds of them the whole file is slow to read.
    let mut cpuinfo = Vec::new();
    let _ = File::open("/proc/cpuinfo").and_then(|file| file.take(4096).read_to_end(&mut cpuinfo));
    let cpuinfo = String::from_utf8_lossy(&cpuinfo);
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{} {}", model.trim_start_matches(['\t', ' ', ':']).trim(), kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_first_executable_of_the_path_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let (plain, runs) = (folder.path().join("a"), folder.path().join("b"));
        for place in [&plain, &runs] {
            fs::create_dir(place).unwrap();
            fs::write(place.join(NAME), "#!/bin/true\n").unwrap();
        }
        fs::set_permissions(runs.join(NAME), fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("relative:{}:{}", plain.display(), runs.display());
        // Root may execute nothing either that has no execute bit at all.
        let found = Program::find(None, &path).unwrap();
        assert_eq!(found.path(), runs.join(NAME));
        assert!(
            matches!(Program::find(None, "/nowhere"), Err(EngineError::ProgramMissing { program }) if program == NAME)
        );
        assert!(Program::find(Some(plain.join(NAME)), "").is_err());
    }

    #[test]
    fn another_version_is_another_identity() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let before = Program::find(Some(file.path().to_owned()), "").unwrap();
        fs::write(file.path(), "newer").unwrap();
        let after = Program::find(Some(file.path().to_owned()), "").unwrap();
        assert_ne!(before.identity(), after.identity());
    }
}
