//! Reaching things below a root without ever leaving it or following a link, whatever else changes the tree meanwhile: every
//! way down is one call that the kernel itself keeps inside. This file must not change anything.

use super::fault;
use super::fault::Fallible;
use pyro_proto::message::WireError;
use pyro_proto::tree::TreePath;
use rustix::fs::AtFlags;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::ResolveFlags;
use rustix::io::Errno;
use std::cell::OnceCell;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::rc::Rc;

/// How a folder is opened on the way to something else.
const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What the kernel must not do on the way.
const INSIDE: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// Permissions of folders that nobody described.
pub(super) const FOLDER_MODE: Mode = Mode::from_raw_mode(0o755);

/// An open folder.
#[derive(Debug)]
pub(super) struct Folder {
    fd: OwnedFd,
    gives_group: OnceCell<bool>,
}

impl Folder {
    pub(super) const fn new(fd: OwnedFd) -> Self {
        Self { fd, gives_group: OnceCell::new() }
    }

    /// Whether what is made in it belongs to its group, instead of the maker's.
    pub(super) fn gives_group(&self) -> bool {
        let look = || rustix::fs::fstat(&self.fd).is_ok_and(|stat| stat.st_mode & 0o2000 != 0);
        *self.gives_group.get_or_init(look)
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A root, and the folder below it that was used last.
#[derive(Debug)]
pub(super) struct Beneath {
    root: Rc<Folder>,
    path: Vec<u8>,
    last: Option<(Vec<u8>, Rc<Folder>)>,
}

impl Beneath {
    /// A root that is there, resolved as any program of the guest would.
    pub(super) fn open(path: &[u8]) -> Fallible<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|errno| fault::at("opening", path, errno))?;
        Ok(Self { root: Rc::new(Folder::new(root)), path: path.to_vec(), last: None })
    }

    /// A root at a path below an open folder, reached without any link.
    pub(super) fn inside(top: &Folder, path: &TreePath) -> Result<Self, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let below = if path.is_root() { b"." } else { path.as_bytes() };
        let root = rustix::fs::openat2(top, below, flags, Mode::empty(), INSIDE)?;
        Ok(Self { root: Rc::new(Folder::new(root)), path: path.as_bytes().to_vec(), last: None })
    }

    /// The root's own folder.
    pub(super) fn root(&self) -> Rc<Folder> {
        Rc::clone(&self.root)
    }

    /// A failure while doing something to what is at a path.
    pub(super) fn fault(&self, doing: &str, path: &TreePath, errno: Errno) -> WireError {
        fault::at(doing, &self.full(path), errno)
    }

    /// A path as the guest knows it.
    pub(super) fn full(&self, path: &TreePath) -> Vec<u8> {
        let mut full = self.path.clone();
        if !path.is_root() {
            if !full.ends_with(b"/") {
                full.push(b'/');
            }
            full.extend_from_slice(path.as_bytes());
        }
        full
    }

    /// The folder that `path` is in, to be used with [`name`].
    pub(super) fn parent(&mut self, path: &TreePath) -> Result<Rc<Folder>, Errno> {
        let parent = parent_bytes(path);
        if parent.is_empty() {
            return Ok(self.root());
        }
        if let Some((of, folder)) = &self.last
            && of.as_slice() == parent
        {
            return Ok(Rc::clone(folder));
        }
        let opened = rustix::fs::openat2(&self.root, parent, FOLDER, Mode::empty(), INSIDE)?;
        let folder = Rc::new(Folder::new(opened));
        self.last = Some((parent.to_vec(), Rc::clone(&folder)));
        Ok(folder)
    }

    /// Opens what is at `path`; the root itself for the empty one.
    pub(super) fn open_at(&mut self, path: &TreePath, flags: OFlags) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if path.is_root() {
            return rustix::fs::openat(&self.root, ".", flags, Mode::empty());
        }
        let parent = self.parent(path)?;
        rustix::fs::openat(&parent, name(path), flags, Mode::empty())
    }

    /// Forgets the folder that was used last: something was moved away, and it may no longer be where it was.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }

    /// Has the folders made that `path` is in, as far as they are missing.
    pub(super) fn make_parents(
        &mut self,
        path: &TreePath,
        mut make: impl FnMut(&TreePath, &Folder) -> Result<(), Errno>,
    ) -> Fallible<Rc<Folder>> {
        match self.parent(path) {
            Err(Errno::NOENT) => {}
            other => return other.map_err(|errno| self.fault("reaching the folder of", path, errno)),
        }
        let mut missing = Vec::new();
        let mut next = path.parent();
        while let Some(folder) = next.filter(|folder| !folder.is_root()) {
            next = folder.parent();
            missing.push(folder);
        }
        for folder in missing.iter().rev() {
            let parent = self.parent(folder).map_err(|errno| self.fault("reaching", folder, errno))?;
            let made = match rustix::fs::statat(&parent, name(folder), AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => make(folder, &parent),
                found => found.map(drop),
            };
            match made {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(self.fault("making", folder, errno)),
            }
        }
        self.parent(path).map_err(|errno| self.fault("reaching the folder of", path, errno))
    }
}

/// The last component of a path; the root has none.
pub(super) fn name(path: &TreePath) -> &[u8] {
    let bytes = path.as_bytes();
    let start = bytes.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    &bytes[start..]
}

fn parent_bytes(path: &TreePath) -> &[u8] {
    let bytes = path.as_bytes();
    let end = bytes.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    &bytes[..end]
}
