//! A walk through a tree: folders before what is in them, names in byte order, no link followed, no more held than the names
//! of the folders on the way down. It goes into other file systems, but not into the kernel's own, which have no end.
//! This file must not decide what is of interest.

use super::beneath::Folder;
use pyro_proto::tree::TreePath;
use rustix::fs::AtFlags;
use rustix::fs::FileType;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::RawDir;
use rustix::fs::Stat;
use rustix::io::Errno;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;
use std::rc::Rc;

/// Bytes of directory entries read at once.
const ENTRIES_BYTES: usize = 32 * 1024;

/// File systems without files: processes, devices, control groups, and the kernel's other tables.
const KERNEL_TABLES: [i64; 10] = [
    0x9fa0,      // proc
    0x6265_6572, // sysfs
    0x6367_7270, // cgroup2
    0x27_e0eb,   // cgroup
    0x1cd1,      // devpts
    0x6462_6720, // debugfs
    0x7472_6163, // tracefs
    0x7363_6673, // securityfs
    0xcafe_4a11, // bpf
    0x6265_6570, // configfs
];

/// Something the walk has come to.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// Where it is below the root.
    pub(super) path: TreePath,
    /// What its folder says it is; not every file system says.
    pub(super) kind: FileType,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    /// The root itself, by its own path, which is resolved as any program would.
    Root(Rc<[u8]>),
    In(Rc<Folder>, Box<[u8]>),
}

impl Step {
    /// The root of a tree.
    pub(super) fn root(path: &[u8]) -> Self {
        Self { path: TreePath::default(), kind: FileType::Unknown, place: Place::Root(path.into()) }
    }

    /// Something in a folder that is open.
    pub(super) fn inside(folder: Rc<Folder>, name: &[u8], path: TreePath, kind: FileType) -> Self {
        Self { path, kind, place: Place::In(folder, name.into()) }
    }

    /// What it is.
    pub(super) fn look(&self) -> Result<Stat, Errno> {
        match &self.place {
            Place::Root(path) => rustix::fs::stat(&**path),
            Place::In(folder, name) => rustix::fs::statat(folder, &**name, AtFlags::SYMLINK_NOFOLLOW),
        }
    }

    /// Opens it to be read. A FIFO that took a file's place does not keep anybody waiting.
    pub(super) fn open(&self, flags: OFlags) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match &self.place {
            Place::Root(path) => rustix::fs::open(&**path, flags, Mode::empty()),
            Place::In(folder, name) => {
                rustix::fs::openat(folder, &**name, flags | OFlags::NOFOLLOW, Mode::empty())
            }
        }
    }

    /// What the link says.
    pub(super) fn target(&self) -> Result<Vec<u8>, Errno> {
        match &self.place {
            Place::Root(path) => rustix::fs::readlink(&**path, Vec::new()),
            Place::In(folder, name) => rustix::fs::readlinkat(folder, &**name, Vec::new()),
        }
        .map(std::ffi::CString::into_bytes)
    }
}

#[derive(Debug)]
struct Level {
    folder: Rc<Folder>,
    path: TreePath,
    names: std::vec::IntoIter<Named>,
}

/// Where a walk is.
#[derive(Debug)]
pub(super) struct Walk {
    first: Option<Step>,
    levels: Vec<Level>,
    device: Option<u64>,
}

/// What comes next in a walk.
#[derive(Debug)]
pub(super) enum Next {
    Step(Step),
    /// Something whose path is longer than any may be.
    TooDeep(TreePath),
}

impl Walk {
    /// A walk that begins with the root itself.
    pub(super) fn new(root: &[u8]) -> Self {
        Self { first: Some(Step::root(root)), levels: Vec::new(), device: None }
    }

    pub(super) fn next(&mut self) -> Option<Next> {
        if let Some(root) = self.first.take() {
            return Some(Next::Step(root));
        }
        loop {
            let level = self.levels.last_mut()?;
            let Some((name, kind)) = level.names.next() else {
                self.levels.pop();
                continue;
            };
            return Some(match level.path.join(&name) {
                Ok(path) => Next::Step(Step::inside(Rc::clone(&level.folder), &name, path, kind)),
                Err(_) => Next::TooDeep(level.path.clone()),
            });
        }
    }

    /// Goes on with what is in a folder; `device` is where that lies.
    pub(super) fn enter(&mut self, step: &Step, device: u64) -> Result<(), Errno> {
        let folder = step.open(OFlags::DIRECTORY)?;
        if self.device.replace(device) != Some(device) && !self.levels.is_empty() && is_table(&folder) {
            return Ok(());
        }
        let names = list(&folder)?.into_iter();
        self.levels.push(Level { folder: Rc::new(Folder::new(folder)), path: step.path.clone(), names });
        Ok(())
    }
}

fn is_table(folder: &OwnedFd) -> bool {
    rustix::fs::fstatfs(folder).is_ok_and(|found| KERNEL_TABLES.contains(&found.f_type))
}

/// A name, and what its folder says of it.
pub(super) type Named = (Box<[u8]>, FileType);

/// The names in a folder, sorted.
pub(super) fn list(folder: impl AsFd) -> Result<Vec<Named>, Errno> {
    let mut buffer = [MaybeUninit::uninit(); ENTRIES_BYTES];
    let mut entries = RawDir::new(folder.as_fd(), &mut buffer);
    let mut names: Vec<Named> = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push((name.into(), entry.file_type()));
        }
    }
    names.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    Ok(names)
}
