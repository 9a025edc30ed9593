//! Makes and removes things below an open folder, never through a link: each path is resolved by the kernel from that folder
//! and beneath it. This file must not know where its paths come from.

use super::source::BENEATH;
use pyro_proto::tree::TreePath;
use rustix::fs::AtFlags;
use rustix::fs::FileType;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::RawDir;
use rustix::fs::Timespec;
use rustix::fs::Timestamps;
use rustix::fs::UTIME_OMIT;
use rustix::io::Errno;
use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd as _;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const NAMES_BYTES: usize = 16 * 1024;

/// What there is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum There {
    Nothing,
    Folder,
    File,
    /// A link, or anything else that is one name.
    Other,
}

/// A folder in which things are made.
#[derive(Debug)]
pub(super) struct Place {
    root: OwnedFd,
    /// The folder that something was made in last.
    last: Option<(TreePath, OwnedFd)>,
    implied: u64,
}

impl Place {
    pub(super) const fn new(root: OwnedFd) -> Self {
        Self { root, last: None, implied: 0 }
    }

    /// Folders that were made only because something is in them.
    pub(super) const fn implied(&self) -> u64 {
        self.implied
    }

    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The folder that a path is in, made with those above it if it is missing, and the path's name in it.
    pub(super) fn parent<'p>(&mut self, path: &'p TreePath) -> Result<(BorrowedFd<'_>, &'p [u8]), Errno> {
        let parent = path.parent().ok_or(Errno::INVAL)?;
        let name = path.components().last().ok_or(Errno::INVAL)?;
        if self.last.as_ref().is_none_or(|(last, _)| *last != parent) {
            let folder = match self.open(&parent) {
                Err(Errno::NOENT) => self.make_all(&parent)?,
                opened => opened?,
            };
            self.last = Some((parent, folder));
        }
        let (_, folder) = self.last.as_ref().ok_or(Errno::INVAL)?;
        Ok((folder.as_fd(), name))
    }

    /// Opens a folder for reading.
    pub(super) fn open(&self, path: &TreePath) -> Result<OwnedFd, Errno> {
        let name = if path.is_root() { &b"."[..] } else { path.as_bytes() };
        rustix::fs::openat2(&self.root, name, FOLDER, Mode::empty(), BENEATH)
    }

    fn make_all(&mut self, path: &TreePath) -> Result<OwnedFd, Errno> {
        let mut folder = self.open(&TreePath::default())?;
        for name in path.components() {
            match rustix::fs::mkdirat(&folder, name, Mode::RWXU) {
                Ok(()) => self.implied += 1,
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
            folder = rustix::fs::openat2(&folder, name, FOLDER, Mode::empty(), BENEATH)?;
        }
        Ok(folder)
    }

    /// Makes a folder, if there is none: one name that is in its way goes.
    pub(super) fn make_folder(&mut self, path: &TreePath) -> Result<(), Errno> {
        let (folder, name) = self.parent(path)?;
        match there(folder, name)? {
            There::Folder => return Ok(()),
            There::Nothing => {}
            There::File | There::Other => rustix::fs::unlinkat(folder, name, AtFlags::empty())?,
        }
        rustix::fs::mkdirat(folder, name, Mode::RWXU)
    }

    /// Makes an empty file beside a path, which has no name until it is [given one](Self::name): nothing is left of it should
    /// this process be killed. Where the file system has no such files it has that name at once.
    pub(super) fn make_file(&mut self, path: &TreePath, aside: &[u8]) -> Result<File, Errno> {
        let (folder, _) = self.parent(path)?;
        let mode = Mode::RUSR | Mode::WUSR;
        let unnamed =
            rustix::fs::openat(folder, ".", OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC, mode);
        let file = match unnamed {
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL) => {
                let flags =
                    OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                rustix::fs::openat(folder, aside, flags, mode)?
            }
            opened => opened?,
        };
        Ok(File::from(file))
    }

    /// Gives a file that was made beside a path this name there, unless it has it.
    pub(super) fn name(&mut self, file: &File, path: &TreePath, aside: &[u8]) -> Result<(), Errno> {
        if rustix::fs::fstat(file)?.st_nlink > 0 {
            return Ok(());
        }
        let (folder, _) = self.parent(path)?;
        let descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
        rustix::fs::linkat(rustix::fs::CWD, descriptor, folder, aside, AtFlags::SYMLINK_FOLLOW)
    }

    /// Gives what was made beside a path its name. Anything but a folder that is in its way goes; an empty folder does too.
    pub(super) fn put(&mut self, path: &TreePath, aside: &[u8]) -> Result<(), Errno> {
        let (folder, name) = self.parent(path)?;
        let mut renamed = rustix::fs::renameat(folder, aside, folder, name);
        if renamed == Err(Errno::ISDIR) {
            rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR)?;
            renamed = rustix::fs::renameat(folder, aside, folder, name);
        }
        renamed?;
        // A rename of one name of a file onto another of the same file does nothing, and succeeds.
        match rustix::fs::unlinkat(folder, aside, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Makes a symbolic link beside a path.
    pub(super) fn make_symlink(
        &mut self,
        path: &TreePath,
        aside: &[u8],
        target: &[u8],
        times: &Timestamps,
    ) -> Result<(), Errno> {
        let (folder, _) = self.parent(path)?;
        rustix::fs::symlinkat(target, folder, aside)?;
        // Not every file system keeps the times of links, and nothing depends on them.
        let _ = rustix::fs::utimensat(folder, aside, times, AtFlags::SYMLINK_NOFOLLOW);
        Ok(())
    }

    /// Makes another name of a regular file beside a path.
    pub(super) fn make_hard_link(
        &mut self,
        path: &TreePath,
        aside: &[u8],
        target: &TreePath,
    ) -> Result<(), Errno> {
        let target_parent = self.open(&target.parent().ok_or(Errno::INVAL)?)?;
        let target_name = target.components().last().ok_or(Errno::INVAL)?;
        if there(&target_parent, target_name)? != There::File {
            return Err(Errno::NOENT);
        }
        let (folder, _) = self.parent(path)?;
        rustix::fs::linkat(&target_parent, target_name, folder, aside, AtFlags::empty())
    }

    /// Removes what was made beside a path, if it is still there.
    pub(super) fn discard(&mut self, path: &TreePath, aside: &[u8]) {
        if let Ok((folder, _)) = self.parent(path) {
            let _ = rustix::fs::unlinkat(folder, aside, AtFlags::empty());
        }
    }

    /// What there is at a path.
    pub(super) fn there(&self, path: &TreePath) -> Result<There, Errno> {
        let Some(parent) = path.parent() else { return Ok(There::Folder) };
        let name = path.components().last().ok_or(Errno::INVAL)?;
        match self.open(&parent) {
            Ok(folder) => there(folder, name),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(There::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Sets a folder's mode and time.
    pub(super) fn finish_folder(&self, path: &TreePath, mode: u32, times: &Timestamps) -> Result<(), Errno> {
        let folder = self.open(path)?;
        rustix::fs::fchmod(&folder, Mode::from_raw_mode(mode & 0o777))?;
        rustix::fs::futimens(&folder, times)
    }

    /// Removes a thing and all below it; how many things there were. Without recursion, so that depth costs no descriptors.
    pub(super) fn remove(&mut self, path: &TreePath) -> Result<u64, Errno> {
        self.last = None;
        let mut removed = 0;
        let mut stack = vec![(path.clone(), false)];
        while let Some((path, emptied)) = stack.pop() {
            let Some(parent) = path.parent() else { return Err(Errno::INVAL) };
            let name = path.components().last().ok_or(Errno::INVAL)?;
            let folder = match self.open(&parent) {
                Ok(folder) => folder,
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                Err(error) => return Err(error),
            };
            match there(&folder, name)? {
                There::Nothing => continue,
                There::Folder if emptied => rustix::fs::unlinkat(&folder, name, AtFlags::REMOVEDIR)?,
                There::Folder => {
                    let names = self.names(&path)?;
                    stack.push((path.clone(), true));
                    for name in names {
                        stack.push((path.join(&name).map_err(|_| Errno::NAMETOOLONG)?, false));
                    }
                    continue;
                }
                There::File | There::Other => rustix::fs::unlinkat(&folder, name, AtFlags::empty())?,
            }
            removed += 1;
        }
        Ok(removed)
    }

    /// The names in a folder that is about to go.
    fn names(&self, path: &TreePath) -> Result<Vec<Vec<u8>>, Errno> {
        let folder = match self.open(path) {
            Err(Errno::ACCESS) => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let parent = self.open(&path.parent().ok_or(Errno::INVAL)?)?;
                let name = path.components().last().ok_or(Errno::INVAL)?;
                rustix::fs::openat2(&parent, name, flags, Mode::empty(), BENEATH)?;
                rustix::fs::chmodat(&parent, name, Mode::RWXU, AtFlags::empty())?;
                self.open(path)?
            }
            opened => opened?,
        };
        // A folder that cannot be written to could not be emptied; that it belongs to us is known once this succeeds.
        let _ = rustix::fs::fchmod(&folder, Mode::RWXU);
        let mut buffer = vec![MaybeUninit::uninit(); NAMES_BYTES];
        let mut entries = RawDir::new(&folder, &mut buffer);
        let mut names = Vec::new();
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name();
            if name != c"." && name != c".." {
                names.push(name.to_bytes().to_vec());
            }
        }
        Ok(names)
    }
}

fn there(folder: impl AsFd, name: &[u8]) -> Result<There, Errno> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => There::Folder,
            FileType::RegularFile => There::File,
            _ => There::Other,
        }),
        Err(Errno::NOENT) => Ok(There::Nothing),
        Err(error) => Err(error),
    }
}

/// A modification time to set; the time of the last access stays.
pub(super) fn times(mtime: pyro_proto::tree::Timestamp) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: mtime.s, tv_nsec: mtime.ns.into() },
    }
}
