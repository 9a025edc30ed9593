//! The state folder: private, owned by the caller, made when needed. This file must not know what is kept in it.

use crate::config::Config;
use std::fs;
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

/// The folder for guests' unnamed disks, below the state folder, on the same disk as what will persist.
///
/// # Errors
/// [`StateError`].
pub fn scratch_dir(config: &Config) -> Result<PathBuf, StateError> {
    private_dir(&config.state_dir)?;
    let scratch = config.state_dir.join("scratch");
    private_dir(&scratch)?;
    Ok(scratch)
}

/// Makes a folder that only its owner can enter, or checks that it is one.
fn private_dir(path: &Path) -> Result<(), StateError> {
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
