//! A workspace's files as its guest sees them: the environment's disk and the workspace's own, put together as Linux's
//! overlayfs and the agent's binds do it. This file must not mount anything, and must not leave the two disks.
//!
//! ```text
//!   /                 rw:/upper over base:/     whiteouts hide, opaque folders hide all below them, other folders merge
//!   /workspace        rw:/workspace
//!   /tmp              rw:/tmp
//!   /var/lib/docker   rw:/docker
//! ```

mod content;
mod error;
mod folder;
mod held;
mod lookup;
mod walk;

pub use content::ContentReader;
pub use content::Piece;
pub use error::MergedError;
pub use walk::Visit;

pub(super) use folder::Name;
pub(super) use held::Held;
pub(super) use walk::Once;

use super::ext4::Ext4;
use super::ext4::Ext4Error;
use super::ext4::FileKind;
use super::ext4::Inode;
use super::ext4::Run;
use held::Holes;
use pyro_proto::tree::Entry;
use pyro_proto::tree::EntryKind;
use pyro_proto::tree::TreePath;
use std::sync::Arc;

/// Which of the two disks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Disk {
    /// The environment's.
    Base,
    /// The workspace's own.
    Rw,
}

/// Where a node is, as far as it matters to what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spot {
    Root,
    Var,
    VarLib,
    /// Anywhere else in the overlay.
    Overlay,
    /// In one of the folders that lie on the workspace's disk directly.
    Direct,
}

/// Folders of the workspace's disk that are seen elsewhere: where, under which name, and their own.
const DIRECT: [(Spot, &[u8], &[u8]); 3] = [
    (Spot::Root, b"workspace", b"workspace"),
    (Spot::Root, b"tmp", b"tmp"),
    (Spot::VarLib, b"docker", b"docker"),
];

/// A file, folder or other thing in a [`MergedRoot`], without its name. It is of no use to another one.
#[derive(Clone, Debug)]
pub struct Node {
    disk: Disk,
    inode: Inode,
    /// The environment's folder that this one is merged with.
    below: Option<Box<Inode>>,
    spot: Spot,
}

impl Node {
    /// What it is, whose it is, when it was changed.
    pub const fn metadata(&self) -> &Inode {
        &self.inode
    }

    /// The disk its metadata and content are on.
    pub const fn disk(&self) -> Disk {
        self.disk
    }

    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        self.inode.kind == FileKind::Directory
    }

    /// What an entry of a tree calls it.
    pub const fn kind(&self) -> EntryKind {
        match self.inode.kind {
            FileKind::File => EntryKind::File,
            FileKind::Directory => EntryKind::Directory,
            FileKind::Symlink => EntryKind::Symlink,
            FileKind::CharDevice | FileKind::BlockDevice | FileKind::Fifo | FileKind::Socket => {
                EntryKind::Special
            }
        }
    }

    /// Whether all there is below it is the environment's.
    pub(super) fn is_pristine(&self) -> bool {
        self.disk == Disk::Base && self.spot == Spot::Overlay
    }
}

/// Both disks as one tree of files.
#[derive(Debug)]
pub struct MergedRoot {
    base: Arc<Ext4>,
    rw: Option<Arc<Ext4>>,
    upper: Option<Inode>,
    /// In the order of [`DIRECT`]; a disk that no guest ever had has none of them.
    direct: [Option<Inode>; 3],
    holes: Holes,
}

impl MergedRoot {
    /// Puts the two together.
    ///
    /// # Errors
    /// [`MergedError::Disk`].
    pub fn new(base: Arc<Ext4>, rw: Arc<Ext4>) -> Result<Self, MergedError> {
        let on = |disk| move |source| MergedError::Disk { disk, source };
        let root = rw.root().map_err(on(Disk::Rw))?;
        let folder = |name: &[u8]| match rw.find(&root, name)? {
            Some(number) => {
                rw.inode(number).map(|inode| Some(inode).filter(|it| it.kind == FileKind::Directory))
            }
            None => Ok(None),
        };
        let upper = folder(b"upper").map_err(on(Disk::Rw))?;
        let mut direct = [None, None, None];
        for (slot, (_, _, own)) in direct.iter_mut().zip(DIRECT) {
            *slot = folder(own).map_err(on(Disk::Rw))?;
        }
        let holes = Holes::for_blocks(base.blocks() + rw.blocks());
        Ok(Self { base, rw: Some(rw), upper, direct, holes })
    }

    /// The environment alone, as a guest would see it that wrote nothing.
    pub fn of_base(base: Arc<Ext4>) -> Self {
        let holes = Holes::for_blocks(base.blocks());
        Self { base, rw: None, upper: None, direct: [None, None, None], holes }
    }

    /// The environment's disk.
    pub const fn base(&self) -> &Arc<Ext4> {
        &self.base
    }

    /// The root folder.
    ///
    /// # Errors
    /// [`MergedError::Disk`].
    pub fn root(&self) -> Result<Node, MergedError> {
        let below = self.on(Disk::Base, Ext4::root)?;
        Ok(match &self.upper {
            Some(upper) => {
                Node { disk: Disk::Rw, inode: upper.clone(), below: Some(Box::new(below)), spot: Spot::Root }
            }
            None => Node { disk: Disk::Base, inode: below, below: None, spot: Spot::Root },
        })
    }

    /// What a link says.
    ///
    /// # Errors
    /// [`MergedError::Disk`].
    pub fn read_link(&self, node: &Node) -> Result<Vec<u8>, MergedError> {
        self.on(node.disk, |fs| fs.read_link(&node.inode))
    }

    /// Fills `buffer` from byte `offset` of a regular file on; says how much of it, less only where the file ends.
    ///
    /// # Errors
    /// [`MergedError::Disk`].
    pub fn read_at(&self, node: &Node, offset: u64, buffer: &mut [u8]) -> Result<usize, MergedError> {
        self.on(node.disk, |fs| fs.read_at(&node.inode, buffer, offset))
    }

    /// The content of a regular file, from its beginning.
    pub const fn content<'a>(&'a self, node: &'a Node) -> ContentReader<'a> {
        ContentReader::new(self, node)
    }

    /// What a stream of trees says of a node, as one whose other names are not known.
    ///
    /// # Errors
    /// [`MergedError::Disk`].
    pub fn entry(&self, node: &Node, path: TreePath) -> Result<Entry, MergedError> {
        let (inode, kind) = (&node.inode, node.kind());
        Ok(Entry {
            mode: inode.mode,
            uid: inode.uid,
            gid: inode.gid,
            mtime: inode.mtime,
            size_bytes: if kind == EntryKind::File { inode.size_bytes } else { 0 },
            inode: u64::from(inode.number),
            ctime: inode.ctime,
            target: if kind == EntryKind::Symlink { self.read_link(node)? } else { Vec::new() },
            ..Entry::new(path, kind)
        })
    }

    /// Its extended attributes, those of the overlay included.
    pub(super) fn xattrs(&self, node: &Node) -> Result<Vec<super::ext4::Xattr>, MergedError> {
        self.on(node.disk, |fs| fs.xattrs(&node.inode))
    }

    /// What a regular file has from byte `offset` on. Files that share what says where their holes end, a way to make reading
    /// go on for ever, are an error after a while.
    pub(super) fn run_at(&self, node: &Node, offset: u64) -> Result<Run, MergedError> {
        let run = self.on(node.disk, |fs| fs.run_at(&node.inode, offset))?;
        if matches!(run, Run::Hole(_)) && !self.holes.take() {
            return Err(MergedError::TooMuch { disk: node.disk });
        }
        Ok(run)
    }

    /// Bytes of a disk.
    fn disk_bytes(&self, disk: Disk) -> u64 {
        self.fs(disk).size_bytes()
    }

    /// Bytes of both disks: more content than that their files cannot have.
    pub(super) fn room_bytes(&self) -> u64 {
        self.base.size_bytes() + self.rw.as_ref().map_or(0, |rw| rw.size_bytes())
    }

    /// Asks one of the disks.
    fn on<T>(&self, disk: Disk, ask: impl FnOnce(&Ext4) -> Result<T, Ext4Error>) -> Result<T, MergedError> {
        ask(self.fs(disk)).map_err(|source| MergedError::Disk { disk, source })
    }

    fn fs(&self, disk: Disk) -> &Ext4 {
        match disk {
            Disk::Base => &self.base,
            // Without a disk of its own nothing is ever on it.
            Disk::Rw => self.rw.as_ref().unwrap_or(&self.base),
        }
    }
}
