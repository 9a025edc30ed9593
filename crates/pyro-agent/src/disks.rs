//! The guest's file systems at rest. This file must not mount anything new.

use crate::sys::ioctl;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;

/// Where the workspace's own disk can be reached, besides the root.
const WORKSPACE: &str = "/workspace";

/// Why the disks are not as they should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiskError {
    #[error("flushing {path}")]
    Flush {
        path: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("holding the writes to {path}")]
    Hold {
        path: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("letting the writes to {path} go on")]
    Release {
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

/// Flushes the workspace's own disk and stops writes to it; it goes on when what this returns is given to [`release`].
pub(crate) fn hold() -> Result<OwnedFd, DiskError> {
    let failed = |errno: Errno| DiskError::Hold { path: WORKSPACE, source: errno.into() };
    let folder = open(WORKSPACE).map_err(failed)?;
    rustix::fs::syncfs(&folder)
        .map_err(|errno| DiskError::Flush { path: WORKSPACE, source: errno.into() })?;
    ioctl::freeze(&folder).map_err(failed)?;
    Ok(folder)
}

/// Lets writes go on.
pub(crate) fn release(folder: &OwnedFd) -> Result<(), DiskError> {
    ioctl::thaw(folder).map_err(|errno| DiskError::Release { path: WORKSPACE, source: errno.into() })
}

/// Lets writes go on if some agent stopped them.
pub(crate) fn thaw_leftover() {
    if let Ok(folder) = open(WORKSPACE) {
        // Refused where nothing is frozen, which is how it should be.
        let _ = ioctl::thaw(&folder);
    }
}

fn open(path: &str) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}
