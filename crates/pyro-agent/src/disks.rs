//! The guest's file systems at rest. This file must not mount anything new.

use crate::sys::ioctl;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;

/// Where the workspace's own disk can be reached, besides the root.
const WORKSPACE: &str = "/workspace";

/// Why the disks are not at rest.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiskError {
    #[error("flushing {path}")]
    Flush {
        path: &'static str,
        #[source]
        source: io::Error,
    },
}

/// Writes everything that is only in memory to the disks.
pub(crate) fn flush() -> Result<(), DiskError> {
    for path in ["/", WORKSPACE] {
        let outcome = open(path).and_then(|folder| rustix::fs::syncfs(&folder));
        outcome.map_err(|errno| DiskError::Flush { path, source: errno.into() })?;
    }
    Ok(())
}

/// Leaves the disks as an unmount would: nothing may be written to them afterwards.
pub(crate) fn put_away() -> Result<(), DiskError> {
    flush()?;
    match open(WORKSPACE).and_then(ioctl::freeze) {
        // A file system in memory has nothing to put away.
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::BUSY) => Ok(()),
        Err(errno) => Err(DiskError::Flush { path: WORKSPACE, source: errno.into() }),
    }
}

fn open(path: &str) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}
