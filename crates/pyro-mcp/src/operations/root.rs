//! A folder of the host that callers may use, held open from when it was named, and what is found below it. The kernel resolves
//! each path beneath the open folder and gives back what it found, open: no link and no renaming leads out of it, then or
//! later. This file must not open anything for reading or writing.

use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::ResolveFlags;
use rustix::io::Errno;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

const RESOLVE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);

/// How often a path is resolved anew because something on the way was renamed meanwhile.
const TRIES_MAX: u32 = 1000;

/// A folder of the host.
#[derive(Clone, Debug)]
pub struct Root {
    /// As it was named.
    named: PathBuf,
    /// Where it really was then.
    path: PathBuf,
    folder: Arc<OwnedFd>,
}

impl Root {
    /// Opens a folder, so that it stays the same whatever takes its name.
    ///
    /// # Errors
    /// There is none.
    pub fn open(named: &Path) -> io::Result<Self> {
        let named = std::path::absolute(named)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(&named, flags, Mode::empty())?;
        let path = std::fs::read_link(format!("/proc/self/fd/{}", folder.as_raw_fd()))?;
        Ok(Self { named, path, folder: Arc::new(folder) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The rest of a path that begins with its name.
    pub(super) fn below<'p>(&self, path: &'p Path) -> Option<&'p Path> {
        path.strip_prefix(&self.path).or_else(|_| path.strip_prefix(&self.named)).ok()
    }

    /// What is at a path below it; [`Errno::XDEV`] when that leads out of it.
    pub(super) fn find(&self, below: &Path, kind: OFlags) -> Result<OwnedFd, Errno> {
        let below = if below.as_os_str().is_empty() { Path::new(".") } else { below };
        let flags = OFlags::PATH | OFlags::CLOEXEC | kind;
        for _ in 0..TRIES_MAX {
            match rustix::fs::openat2(&self.folder, below, flags, Mode::empty(), RESOLVE) {
                // The kernel cannot say where '..' in a link leads while something is renamed.
                Err(Errno::AGAIN) => {}
                found => return found,
            }
        }
        Err(Errno::AGAIN)
    }
}

impl PartialEq for Root {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for Root {}
