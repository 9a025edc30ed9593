//! A folder or file of the host that is read as a tree: opened once, everything below it reached from there without following
//! a link. This file must not decide what is left out.

use pyro_proto::tree::Entry;
use pyro_proto::tree::EntryKind;
use pyro_proto::tree::Timestamp;
use pyro_proto::tree::TreePath;
use rustix::fs::AtFlags;
use rustix::fs::FileType;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::RawDir;
use rustix::fs::ResolveFlags;
use rustix::fs::Stat;
use rustix::io::Errno;
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd as _;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::path::PathBuf;

/// Bytes of a buffer for the names of a folder.
const NAMES_BYTES: usize = 32 * 1024;

/// How anything below a root is resolved.
pub(super) const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS);

/// A folder or regular file that can be read as a tree. A link at the root itself is followed once, when it is opened.
#[derive(Debug)]
pub struct Source {
    /// Where it really is.
    path: PathBuf,
    /// It, open as no more than a place.
    open: OwnedFd,
    is_folder: bool,
    root: Stat,
}

/// One name in a folder.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: Vec<u8>,
    pub(super) stat: Stat,
    /// What it says, if it is a symbolic link.
    pub(super) target: Vec<u8>,
}

/// A name of what is open: it leads there, and what it says is where that is.
fn descriptor(open: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", open.as_raw_fd())
}

impl Source {
    /// Opens a root.
    ///
    /// # Errors
    /// There is nothing, it may not be read, or it is neither a folder nor a regular file.
    pub fn open(root: &Path) -> io::Result<Self> {
        let open = rustix::fs::open(root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let path = std::fs::read_link(descriptor(&open))?;
        let stat = rustix::fs::fstat(&open)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Ok(Self { path, open, is_folder: true, root: stat }),
            FileType::RegularFile => Ok(Self { path, open, is_folder: false, root: stat }),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a folder nor a regular file")),
        }
    }

    /// Where it really is: without links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is a folder.
    pub const fn is_folder(&self) -> bool {
        self.is_folder
    }

    /// Where something below it is, for messages.
    pub fn shown(&self, path: &TreePath) -> PathBuf {
        use std::os::unix::ffi::OsStrExt as _;
        if path.is_root() {
            return self.path.clone();
        }
        self.path.join(std::ffi::OsStr::from_bytes(path.as_bytes()))
    }

    pub(super) const fn root_stat(&self) -> &Stat {
        &self.root
    }

    /// Opens a regular file below the root for reading.
    ///
    /// # Errors
    /// It cannot be opened, or is something else.
    pub fn open_file(&self, path: &TreePath) -> io::Result<File> {
        // A FIFO that has taken the file's place must not make the opening wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = match (self.is_folder, path.is_root()) {
            (true, false) => rustix::fs::openat2(&self.open, path.as_bytes(), flags, Mode::empty(), BENEATH)?,
            (true, true) => return Err(Errno::ISDIR.into()),
            (false, _) => {
                rustix::fs::open(descriptor(&self.open), flags.difference(OFlags::NOFOLLOW), Mode::empty())?
            }
        };
        if FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) != FileType::RegularFile {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no longer a regular file"));
        }
        Ok(File::from(fd))
    }

    /// What is in a folder below the root, in byte order. What vanishes while it is listed is not in it.
    pub(super) fn list(&self, path: &TreePath) -> io::Result<Vec<Node>> {
        let root = self.is_folder.then_some(&self.open).ok_or(Errno::NOTDIR)?;
        let name = if path.is_root() { &b"."[..] } else { path.as_bytes() };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = rustix::fs::openat2(root, name, flags, Mode::empty(), BENEATH)?;
        let mut buffer = vec![MaybeUninit::uninit(); NAMES_BYTES];
        let mut names = RawDir::new(&folder, &mut buffer);
        let mut nodes = Vec::new();
        while let Some(name) = names.next() {
            let name = name?;
            let name = name.file_name();
            if name != c"." && name != c".." {
                nodes.extend(node(&folder, name)?);
            }
        }
        nodes.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(nodes)
    }

    /// A small regular file's content, `None` if there is none: a link or anything else is nothing.
    pub(super) fn read_small(&self, path: &TreePath, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
        use std::io::Read as _;
        let file = match self.open_file(path) {
            Ok(file) => file,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut content = Vec::new();
        file.take(bytes_max).read_to_end(&mut content)?;
        Ok(Some(content))
    }
}

/// Nothing there, or something that is no file reached without links.
fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(error.kind(), Kind::NotFound | Kind::NotADirectory | Kind::InvalidInput | Kind::IsADirectory)
        || error.raw_os_error() == Some(Errno::LOOP.raw_os_error())
}

fn node(folder: impl AsFd, name: &CStr) -> io::Result<Option<Node>> {
    let vanished = |error: Errno| if error == Errno::NOENT { Ok(None) } else { Err(error.into()) };
    let stat = match rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(error) => return vanished(error),
    };
    let mut target = Vec::new();
    if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
        match rustix::fs::readlinkat(&folder, name, Vec::new()) {
            Ok(text) => target = text.into_bytes(),
            Err(error) => return vanished(error),
        }
    }
    Ok(Some(Node { name: name.to_bytes().to_vec(), stat, target }))
}

/// An entry of what was found; a hard link is for the caller to recognise.
pub(super) fn entry(path: TreePath, stat: &Stat, keep_owner: bool) -> Entry {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => EntryKind::File,
        FileType::Directory => EntryKind::Directory,
        FileType::Symlink => EntryKind::Symlink,
        _ => EntryKind::Special,
    };
    let size = if kind == EntryKind::File { stat.st_size } else { 0 };
    Entry {
        mode: stat.st_mode & 0o7777,
        uid: if keep_owner { stat.st_uid } else { 0 },
        gid: if keep_owner { stat.st_gid } else { 0 },
        mtime: timestamp(stat.st_mtime, stat.st_mtime_nsec),
        size_bytes: u64::try_from(size).unwrap_or(0),
        inode: stat.st_ino,
        ctime: timestamp(stat.st_ctime, stat.st_ctime_nsec),
        ..Entry::new(path, kind)
    }
}

fn timestamp(s: i64, ns: u64) -> Timestamp {
    Timestamp { s, ns: u32::try_from(ns).unwrap_or(0) }
}
