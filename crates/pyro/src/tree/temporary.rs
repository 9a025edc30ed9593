//! Folders in which things are made before they get their names: locked by who uses them, so that those which a killed
//! process left can be told from those in use, and are collected. This file must not know what is made in them.
//!
//! ```text
//!   made -- locked, and still there --> used -- renamed away, removed
//!                                          \-- its process killed: unlocked --> collected by the next who makes one beside it
//! ```

use super::place::Place;
use pyro_proto::tree::TreePath;
use rustix::fs::AtFlags;
use rustix::fs::FlockOperation;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::io;
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Begins the name of each.
const PREFIX: &[u8] = b".pyro-part-";

/// Random bytes in a name.
const RANDOM_BYTES: usize = 8;

/// How often another is made, because the one before was collected in the moment before it was locked.
const TRIES: usize = 8;

/// A name that nothing has.
pub(super) fn name() -> io::Result<Vec<u8>> {
    let mut bytes = [0; RANDOM_BYTES];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok([PREFIX, pyro_proto::bytes::to_hex(&bytes).as_bytes()].concat())
}

/// Makes one in a folder: its name, and itself, which holds the lock until it is closed.
pub(super) fn make(parent: &OwnedFd) -> io::Result<(Vec<u8>, OwnedFd)> {
    for _ in 0..TRIES {
        let name = name()?;
        rustix::fs::mkdirat(parent, &name[..], Mode::RWXU)?;
        let folder = match rustix::fs::openat(parent, &name[..], FOLDER, Mode::empty()) {
            Err(Errno::NOENT) => continue,
            opened => opened?,
        };
        match rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            // Somebody collects it.
            Err(Errno::WOULDBLOCK) => continue,
            // Where there are no locks nobody collects anything.
            Err(_) => return Ok((name, folder)),
            Ok(()) if is_there(parent, &name, &folder) => return Ok((name, folder)),
            Ok(()) => {}
        }
    }
    Err(io::Error::other("its temporary folders are removed by somebody"))
}

/// Removes those in a folder that nobody uses. What cannot be removed stays for the next.
pub(super) fn collect(parent: &OwnedFd) {
    for name in left_in(parent).unwrap_or_default() {
        let Ok(folder) = rustix::fs::openat(parent, &name[..], FOLDER, Mode::empty()) else { continue };
        let owned =
            rustix::fs::fstat(&folder).is_ok_and(|found| found.st_uid == rustix::process::geteuid().as_raw());
        if owned && rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive).is_ok() {
            empty(&folder);
            let _ = rustix::fs::unlinkat(parent, &name[..], AtFlags::REMOVEDIR);
        }
    }
}

fn empty(folder: &OwnedFd) {
    let Ok(root) = folder.try_clone() else { return };
    let mut place = Place::new(root);
    for name in names(folder).unwrap_or_default() {
        if let Ok(path) = TreePath::new(name) {
            let _ = place.remove(&path);
        }
    }
}

fn left_in(parent: &OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    let is_one = |name: &Vec<u8>| {
        name.strip_prefix(PREFIX)
            .is_some_and(|rest| rest.len() == 2 * RANDOM_BYTES && rest.iter().all(u8::is_ascii_hexdigit))
    };
    Ok(names(parent)?.into_iter().filter(is_one).collect())
}

fn names(folder: &OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(folder)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    Ok(names)
}

fn is_there(parent: &OwnedFd, name: &[u8], folder: impl AsFd) -> bool {
    match (rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW), rustix::fs::fstat(folder)) {
        (Ok(there), Ok(ours)) => (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::ffi::OsStrExt as _;

    #[test]
    fn what_nobody_uses_is_collected_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &[u8]| folder.path().join(std::ffi::OsStr::from_bytes(name));
        let parent = rustix::fs::open(folder.path(), FOLDER, Mode::empty()).unwrap();
        let (used, lock) = make(&parent).unwrap();
        let (left, unlocked) = make(&parent).unwrap();
        drop(unlocked);
        fs::create_dir_all(path(&left).join("tree/sub")).unwrap();
        fs::write(path(&left).join("tree/sub/file"), "half").unwrap();
        std::os::unix::fs::symlink(folder.path(), path(&left).join("tree/link")).unwrap();
        // Names that are not ours, or no folder's.
        let file = name().unwrap();
        fs::write(path(&file), "a file").unwrap();
        fs::create_dir(path(b".pyro-part-mine")).unwrap();
        collect(&parent);
        assert!(!path(&left).exists());
        for name in [&used[..], &file[..], b".pyro-part-mine"] {
            assert!(path(name).exists(), "{:?} is gone", String::from_utf8_lossy(name));
        }
        drop(lock);
        collect(&parent);
        assert!(!path(&used).exists());
    }
}
