//! Owner, mode and time of what was made. This file must not make anything.

use pyro_proto::tree::Entry;
use pyro_proto::tree::Timestamp;
use rustix::fs::Gid;
use rustix::fs::Mode;
use rustix::fs::Stat;
use rustix::fs::Timespec;
use rustix::fs::Timestamps;
use rustix::fs::UTIME_OMIT;
use rustix::fs::Uid;
use rustix::io::Errno;
use std::os::fd::AsFd;

/// Who this process makes things as.
#[derive(Clone, Copy, Debug)]
pub(super) struct Maker {
    uid: u32,
    gid: u32,
}

/// What something shall have in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: Timestamp,
}

impl Attributes {
    /// Those of an entry.
    pub(super) const fn of(entry: &Entry) -> Self {
        Self { mode: entry.mode, uid: entry.uid, gid: entry.gid, mtime: entry.mtime }
    }

    /// Those of something that is there.
    pub(super) fn found(stat: &Stat) -> Self {
        let ns = u32::try_from(stat.st_mtime_nsec).unwrap_or(0);
        Self {
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: Timestamp { s: stat.st_mtime, ns },
        }
    }
}

impl Maker {
    pub(super) fn new() -> Self {
        Self { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw() }
    }

    /// Whether something of this owner must be given away after this process made it; only root can give anything away.
    pub(super) const fn must_give(self, wanted: &Attributes) -> bool {
        self.uid == 0 && (wanted.uid != self.uid || wanted.gid != self.gid)
    }

    /// Gives what is open the attributes; `made` is the mode it was made with, by this process and not inheriting a group.
    /// In this order, because a change of owner or of content takes set-id bits away.
    pub(super) fn finish(self, fd: impl AsFd, wanted: &Attributes, made: Option<u32>) -> Result<(), Errno> {
        let give = made.map_or(self.uid == 0, |_| self.must_give(wanted));
        if give {
            rustix::fs::fchown(&fd, Some(Uid::from_raw(wanted.uid)), Some(Gid::from_raw(wanted.gid)))?;
        }
        if made != Some(wanted.mode) || (wanted.mode & 0o6000 != 0) {
            rustix::fs::fchmod(&fd, Mode::from_raw_mode(wanted.mode))?;
        }
        rustix::fs::futimens(&fd, &times(wanted.mtime))
    }

    /// Gives a link that this process made in a folder its owner and time.
    pub(super) fn finish_link(
        self,
        folder: impl AsFd,
        name: &[u8],
        wanted: &Attributes,
    ) -> Result<(), Errno> {
        let nofollow = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        if self.must_give(wanted) {
            let (uid, gid) = (Uid::from_raw(wanted.uid), Gid::from_raw(wanted.gid));
            rustix::fs::chownat(&folder, name, Some(uid), Some(gid), nofollow)?;
        }
        rustix::fs::utimensat(&folder, name, &times(wanted.mtime), nofollow)
    }
}

/// A modification time; the time of the last access is nobody's business.
pub(super) fn times(mtime: Timestamp) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: mtime.s, tv_nsec: mtime.ns.into() },
    }
}
