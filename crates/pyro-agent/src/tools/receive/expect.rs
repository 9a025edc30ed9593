//! Whether something is still as the host saw it when it decided what to do. This file must not change anything.

use super::super::beneath::Beneath;
use super::super::beneath::name;
use super::super::fault::Fallible;
use super::super::listing::describe;
use crate::names::shown;
use crate::refusal::refuse;
use pyro_proto::message::ErrorCode;
use pyro_proto::tree::Entry;
use pyro_proto::tree::EntryKind;
use pyro_proto::tree::TreePath;
use rustix::fs::AtFlags;
use rustix::io::Errno;

/// Fails unless what is at the entry's path is what the entry describes.
pub(super) fn check(beneath: &mut Beneath, entry: &Entry) -> Fallible<()> {
    let path = &entry.path;
    let found = look(beneath, path).map_err(|errno| beneath.fault("looking at", path, errno))?;
    let is_same = match &found {
        None => entry.inode == 0,
        // A folder's time changes with what is in it, which is not what the host saw.
        Some(found) if found.kind == EntryKind::Directory => entry.kind == EntryKind::Directory,
        Some(found) => {
            (found.inode, found.ctime, found.size_bytes) == (entry.inode, entry.ctime, entry.size_bytes)
        }
    };
    if is_same {
        return Ok(());
    }
    let full = beneath.full(path);
    let name = shown(&full);
    Err(match found.map(|found| found.kind) {
        Some(EntryKind::Special) => {
            refuse(ErrorCode::AlreadyExists, format!("'{name}' is a socket, FIFO or device"))
        }
        Some(EntryKind::Directory) => {
            refuse(ErrorCode::IsADirectory, format!("'{name}' is a directory with something in it"))
        }
        _ => refuse(ErrorCode::Changed, format!("'{name}' was changed meanwhile; nothing was done")),
    })
}

fn look(beneath: &mut Beneath, path: &TreePath) -> Result<Option<Entry>, Errno> {
    let found = beneath
        .parent(path)
        .and_then(|parent| rustix::fs::statat(parent, name(path), AtFlags::SYMLINK_NOFOLLOW));
    match found {
        Ok(stat) => Ok(Some(describe(path.clone(), &stat))),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(errno) => Err(errno),
    }
}
