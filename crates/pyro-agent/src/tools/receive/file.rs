//! A new file that is being filled. This file must not know where in the tree it will be.

use super::super::fault;
use super::super::fault::Fallible;
use super::attributes::Attributes;
use super::attributes::Maker;
use pyro_proto::tree::TreePath;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::Stat;
use rustix::io::Errno;
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;

/// A file that nobody else has open.
#[derive(Debug)]
pub(super) struct NewFile {
    fd: OwnedFd,
    path: TreePath,
    wanted: Attributes,
    made: u32,
    /// Where the next bytes go.
    end: u64,
    /// Bytes written.
    bytes: u64,
    /// Whether it ends in a hole, which only its size tells of.
    hole: bool,
}

impl NewFile {
    /// Makes a file in a folder, where nothing may be.
    pub(super) fn make(
        folder: impl AsFd,
        name: &[u8],
        path: TreePath,
        wanted: Attributes,
    ) -> Result<Self, Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = wanted.mode & 0o1777;
        let fd = rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(made))?;
        Ok(Self { fd, path, wanted, made, end: 0, bytes: 0, hole: false })
    }

    /// What messages call it.
    pub(super) const fn path(&self) -> &TreePath {
        &self.path
    }

    /// Bytes written so far.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds content.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Fallible<()> {
        while !bytes.is_empty() {
            match rustix::io::pwrite(&self.fd, bytes, self.end) {
                Ok(count) => {
                    bytes = &bytes[count..];
                    self.end += count as u64;
                    self.bytes += count as u64;
                    self.hole = false;
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.fault("writing", errno)),
            }
        }
        Ok(())
    }

    /// Leaves out so many zero bytes.
    pub(super) fn skip(&mut self, bytes: u64) -> Fallible<()> {
        let end = self.end.checked_add(bytes).filter(|end| i64::try_from(*end).is_ok());
        self.end = end.ok_or_else(|| self.fault("writing", Errno::FBIG))?;
        self.hole |= bytes > 0;
        Ok(())
    }

    /// Gives it its size and its attributes; `inherits` when its folder gave it a group.
    pub(super) fn finish(&self, maker: Maker, inherits: bool) -> Fallible<()> {
        if self.hole {
            rustix::fs::ftruncate(&self.fd, self.end).map_err(|errno| self.fault("writing", errno))?;
        }
        let made = (!inherits).then_some(self.made);
        maker
            .finish(&self.fd, &self.wanted, made)
            .map_err(|errno| self.fault("setting the attributes of", errno))
    }

    /// How it is now.
    pub(super) fn look(&self) -> Result<Stat, Errno> {
        rustix::fs::fstat(&self.fd)
    }

    fn fault(&self, doing: &str, errno: Errno) -> pyro_proto::message::WireError {
        fault::at(doing, self.path.as_bytes(), errno)
    }
}
