//! Removing a thing with everything below it, without following a link and without leaving its mount. This file must not
//! decide what may go.

use rustix::fs::AtFlags;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::RawDir;
use rustix::fs::ResolveFlags;
use rustix::io::Errno;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;

/// Bytes of directory entries read at once.
const ENTRIES_BYTES: usize = 32 * 1024;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Staying on this mount, even where another shows the same file system.
const SAME_MOUNT: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_XDEV);

/// What was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removed {
    Nothing,
    /// Anything but a folder.
    File,
    Folder,
}

/// Removes what is called `name` in a folder, whatever it is.
pub(super) fn thing(folder: impl AsFd, name: &[u8]) -> Result<Removed, Errno> {
    match one(&folder, name) {
        Err(Errno::NOENT) => return Ok(Removed::Nothing),
        Err(Errno::NOTEMPTY | Errno::EXIST) => {}
        other => return other,
    }
    empty(open(&folder, name)?)?;
    rustix::fs::unlinkat(&folder, name, AtFlags::REMOVEDIR)?;
    Ok(Removed::Folder)
}

/// Removes a file or an empty folder.
fn one(folder: impl AsFd, name: &[u8]) -> Result<Removed, Errno> {
    let refused = match rustix::fs::unlinkat(&folder, name, AtFlags::empty()) {
        Ok(()) => return Ok(Removed::File),
        // Some file systems say of a folder that it may not be unlinked.
        Err(errno @ (Errno::ISDIR | Errno::PERM)) => errno,
        Err(errno) => return Err(errno),
    };
    match rustix::fs::unlinkat(&folder, name, AtFlags::REMOVEDIR) {
        Err(Errno::NOTDIR) => Err(refused),
        other => other.map(|()| Removed::Folder),
    }
}

fn open(folder: impl AsFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    match rustix::fs::openat2(folder, name, FOLDER, Mode::empty(), SAME_MOUNT) {
        // What is mounted there is not this tree's.
        Err(Errno::XDEV) => Err(Errno::BUSY),
        other => other,
    }
}

/// Removes everything in a folder; deep trees take descriptors, not stack.
fn empty(folder: OwnedFd) -> Result<(), Errno> {
    let mut levels: Vec<(OwnedFd, Vec<u8>)> = vec![(folder, Vec::new())];
    while let Some((folder, _)) = levels.last() {
        if let Some(name) = remove_files(folder)? {
            let inner = open(folder, &name)?;
            levels.push((inner, name));
        } else if let Some((_, name)) = levels.pop()
            && let Some((parent, _)) = levels.last()
        {
            rustix::fs::unlinkat(parent, name.as_slice(), AtFlags::REMOVEDIR)?;
        }
    }
    Ok(())
}

/// Removes what is no folder; the first folder that is not empty, if there is one.
fn remove_files(folder: &OwnedFd) -> Result<Option<Vec<u8>>, Errno> {
    rustix::fs::seek(folder, rustix::fs::SeekFrom::Start(0))?;
    let mut buffer = [MaybeUninit::uninit(); ENTRIES_BYTES];
    let mut entries = RawDir::new(folder, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        match one(folder, name) {
            Ok(_) | Err(Errno::NOENT) => {}
            Err(Errno::NOTEMPTY | Errno::EXIST) => return Ok(Some(name.to_vec())),
            Err(errno) => return Err(errno),
        }
    }
    Ok(None)
}
