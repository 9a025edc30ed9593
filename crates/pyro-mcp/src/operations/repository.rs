//! Which git repositories a caller that is bound to some folders may seed from: those that hold all they consist of. Git goes where
//! a repository says that its objects are, and what a guest made may say anything. This file must not run git.

use super::error::OperationError;
use pyro::HostPath;
use pyro::code;
use std::fs;
use std::path::Path;

/// Files by which a repository says that parts of it are elsewhere.
const POINTERS: [&str; 3] = ["objects/info/alternates", "commondir", "gitdir"];

/// Refuses a repository of which parts are elsewhere.
pub(super) fn check_whole(repository: &HostPath) -> Result<(), OperationError> {
    let path = repository.path();
    let inner = path.join(".git");
    // One that is checked out has its own folder; a bare one is it.
    let folder = if fs::symlink_metadata(&inner).is_ok() { inner } else { path.join(".") };
    let is_folder = |path: &Path| fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
    let points = POINTERS.iter().any(|pointer| fs::symlink_metadata(folder.join(pointer)).is_ok());
    if is_folder(&folder) && is_folder(&folder.join("objects")) && !points {
        return Ok(());
    }
    let text =
        format!("{} is no git repository that holds all of its own objects", repository.shown().display());
    Err(OperationError::new(code::PATH_OUTSIDE_ROOTS, text)
        .hint("seed from the folder with seed_path, or from a clone of the repository without --shared and --reference"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_repository_that_is_all_there_is_taken() {
        let home = tempfile::tempdir().unwrap();
        let (plain, bare) = (home.path().join("plain"), home.path().join("bare"));
        for objects in [plain.join(".git/objects/info"), bare.join("objects/info")] {
            fs::create_dir_all(objects).unwrap();
        }
        assert!(check_whole(&plain.as_path().into()).is_ok() && check_whole(&bare.as_path().into()).is_ok());
        fs::write(plain.join(".git/objects/info/alternates"), "/home/me/private/.git/objects\n").unwrap();
        assert_eq!(check_whole(&plain.as_path().into()).unwrap_err().code, code::PATH_OUTSIDE_ROOTS);
        fs::write(bare.join("commondir"), "/elsewhere\n").unwrap();
        assert!(check_whole(&bare.as_path().into()).is_err());
        let pointing = home.path().join("pointing");
        fs::create_dir(&pointing).unwrap();
        fs::write(pointing.join(".git"), "gitdir: /elsewhere\n").unwrap();
        assert!(check_whole(&pointing.as_path().into()).is_err());
        std::os::unix::fs::symlink(&plain, home.path().join("pointing/link")).unwrap();
        assert!(check_whole(&home.path().into()).is_err(), "it is none at all");
    }
}
