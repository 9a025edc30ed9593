//! The state folder: private, owned by the caller, made when needed. This file must not know what is kept in it.

use crate::code;
use crate::code::Coded;
use crate::config::Config;
use crate::identity::GuestId;
use rustix::fs::FlockOperation;
use rustix::fs::flock;
use std::fs;
use std::fs::File;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;

/// Why the state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be made or entered.
    #[error("making the state folder {path}", path = .path.display())]
    Make {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It belongs to somebody else.
    #[error("the state folder {path} belongs to user {owner}, not to you", path = .path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// Its owner's user id.
        owner: u32,
    },
    /// It cannot be written to.
    #[error("the state folder {path} cannot be written to", path = .path.display())]
    ReadOnly {
        /// The folder.
        path: PathBuf,
    },
}

impl Coded for StateError {
    fn code(&self) -> &'static str {
        code::STATE_UNWRITABLE
    }

    fn hints(&self) -> Vec<String> {
        vec!["set PYRO_STATE_DIR to a folder you own and can write to".to_owned()]
    }
}

/// The folder for guests' unnamed disks, below the state folder, on the same disk as what will persist. What processes that are
/// gone have left in it is removed.
///
/// # Errors
/// [`StateError`].
pub fn scratch_dir(config: &Config) -> Result<PathBuf, StateError> {
    private_dir(&config.state_dir)?;
    let scratch = config.state_dir.join("scratch");
    private_dir(&scratch)?;
    sweep(config);
    Ok(scratch)
}

/// A file without a name, on the disk of this folder: gone with the process that has it open.
///
/// # Errors
/// The folder cannot be written to.
pub fn unnamed_file(folder: &Path) -> io::Result<File> {
    let empty = File::open("/dev/null")?;
    pyro_image::disk::copy_unnamed(&empty, folder)
}

/// A folder of one process's own below the scratch folder, removed when this is dropped. While its owner lives it is locked;
/// [`sweep`] removes those whose owner is gone.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    _lock: File,
}

impl Scratch {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What will not go now is swept later.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Makes a folder of this process's own, whose name begins with `kind`.
///
/// # Errors
/// [`StateError`].
pub fn scratch(config: &Config, kind: &str) -> Result<Scratch, StateError> {
    let parent = scratch_dir(config)?;
    let failed = |path: &Path, source| StateError::Make { path: path.to_owned(), source };
    // Between its making and its locking a folder looks abandoned, so nobody may sweep in between.
    let _no_sweep = locked(&parent).map_err(|source| failed(&parent, source))?;
    let name = GuestId::random().map_err(|source| failed(&parent, source))?;
    let path = parent.join(format!("{kind}-{name}"));
    fs::DirBuilder::new().mode(0o700).create(&path).map_err(|source| failed(&path, source))?;
    let lock = File::open(&path).and_then(|lock| {
        flock(&lock, FlockOperation::NonBlockingLockShared)?;
        Ok(lock)
    });
    let lock = lock.map_err(|source| failed(&path, source))?;
    Ok(Scratch { path, _lock: lock })
}

/// Removes the folders that processes which are gone have left below the scratch folder; how many there were.
pub fn sweep(config: &Config) -> usize {
    let parent = config.state_dir.join("scratch");
    let Ok(_alone) = locked(&parent) else { return 0 };
    let entries = fs::read_dir(parent).into_iter().flatten().filter_map(Result::ok);
    let abandoned = entries.map(|entry| entry.path()).filter(|path| {
        let lock = File::open(path).ok().filter(|_| path.is_dir());
        lock.is_some_and(|lock| flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok())
    });
    abandoned.filter(|path| fs::remove_dir_all(path).is_ok()).count()
}

/// An exclusive lock on a folder, held for moments only.
fn locked(folder: &Path) -> io::Result<File> {
    let file = File::open(folder)?;
    flock(&file, FlockOperation::LockExclusive)?;
    Ok(file)
}

/// Makes a folder that only its owner can enter, or checks that it is one.
pub(crate) fn private_dir(path: &Path) -> Result<(), StateError> {
    let failed = |source| StateError::Make { path: path.to_owned(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    let metadata = fs::metadata(path).map_err(failed)?;
    let owner = metadata.uid();
    if owner != rustix::process::geteuid().as_raw() {
        return Err(StateError::Foreign { path: path.to_owned(), owner });
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(failed)?;
    }
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK)
        .map_err(|_| StateError::ReadOnly { path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_process_left_is_swept_and_what_lives_is_not() {
        let root = tempfile::tempdir().unwrap();
        let config = Config::for_tests(root.path());
        let alive = scratch(&config, "fork").unwrap();
        let abandoned = root.path().join("state/scratch/fork-abandoned");
        fs::create_dir(&abandoned).unwrap();
        fs::write(abandoned.join("memory"), "x").unwrap();
        scratch_dir(&config).unwrap();
        assert!(!abandoned.exists());
        assert!(alive.path().exists());
        let path = alive.path().to_owned();
        drop(alive);
        assert!(!path.exists());
    }

    #[test]
    fn folders_are_private_and_a_file_in_the_way_is_named() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b");
        private_dir(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        private_dir(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        let error = private_dir(&file.join("x")).unwrap_err();
        assert!(error.to_string().contains("file/x"), "{error}");
    }
}
