//! What can be done to one name or its attributes: making and removing empty folders, making links, changing mode, owner and
//! time. This file must not touch content.

use super::fault;
use super::fault::Fallible;
use super::single::Named;
use super::single::flush;
use super::single::is_mount;
use crate::refusal::refuse;
use pyro_proto::message::ErrorCode;
use rustix::fs::AtFlags;
use rustix::fs::CWD;
use rustix::fs::FileType;
use rustix::fs::Gid;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::Timespec;
use rustix::fs::Timestamps;
use rustix::fs::UTIME_OMIT;
use rustix::fs::Uid;
use rustix::io::Errno;

/// Permissions of a new folder that nobody said more of.
const MODE_DEFAULT: u32 = 0o755;

/// What is to be changed; what is absent stays.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    pub(super) mode: Option<u32>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) mtime_s: Option<i64>,
}

pub(super) fn make_directory(path: &[u8], mode: Option<u32>) -> Fallible<()> {
    let failed = |errno| fault::at("making", path, errno);
    let mode = permissions(mode.unwrap_or(MODE_DEFAULT))?;
    let named = Named::open(path)?;
    let name = named.name.as_slice();
    rustix::fs::mkdirat(&named.folder, name, mode).map_err(failed)?;
    // The mask of this process is nobody's wish.
    rustix::fs::chmodat(&named.folder, name, mode, AtFlags::empty()).map_err(failed)?;
    flush(&named, path)
}

pub(super) fn remove_directory(path: &[u8]) -> Fallible<()> {
    let failed = |errno| fault::at("removing", path, errno);
    let named = Named::open(path)?;
    if is_mount(&named).map_err(failed)? {
        return Err(failed(Errno::BUSY));
    }
    rustix::fs::unlinkat(&named.folder, named.name.as_slice(), AtFlags::REMOVEDIR).map_err(failed)?;
    flush(&named, path)
}

pub(super) fn make_link(path: &[u8], target: &[u8]) -> Fallible<()> {
    let named = Named::open(path)?;
    rustix::fs::symlinkat(target, &named.folder, named.name.as_slice())
        .map_err(|errno| fault::at("making", path, errno))?;
    flush(&named, path)
}

/// Changes attributes of what a path leads to.
pub(super) fn change(path: &[u8], change: Change) -> Fallible<()> {
    let failed = |errno| fault::at("changing", path, errno);
    if change.uid.is_some() || change.gid.is_some() {
        // -1 is nobody's number: it stands for no change.
        let owner = change.uid.filter(|id| *id != u32::MAX).map(Uid::from_raw);
        let group = change.gid.filter(|id| *id != u32::MAX).map(Gid::from_raw);
        rustix::fs::chownat(CWD, path, owner, group, AtFlags::empty()).map_err(failed)?;
    }
    // After the owner, whose change takes set-id bits away.
    if let Some(mode) = change.mode {
        rustix::fs::chmodat(CWD, path, permissions(mode)?, AtFlags::empty()).map_err(failed)?;
    }
    if let Some(seconds) = change.mtime_s {
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: seconds, tv_nsec: 0 },
        };
        rustix::fs::utimensat(CWD, path, &times, AtFlags::empty()).map_err(failed)?;
    }
    flush_thing(path).map_err(failed)
}

/// Flushes a file or folder; opening anything else may do something.
fn flush_thing(path: &[u8]) -> Result<(), Errno> {
    match FileType::from_raw_mode(rustix::fs::stat(path)?.st_mode) {
        FileType::RegularFile | FileType::Directory => {}
        _ => return Ok(()),
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::fsync(rustix::fs::open(path, flags, Mode::empty())?) {
        // Not every file system can, and those that cannot keep nothing.
        Ok(()) | Err(Errno::INVAL) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn permissions(mode: u32) -> Fallible<Mode> {
    if mode & !0o7777 != 0 {
        return Err(refuse(ErrorCode::BadRequest, "a mode has more than permission bits"));
    }
    Ok(Mode::from_raw_mode(mode))
}
