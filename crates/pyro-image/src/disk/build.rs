//! Makes one ext4 image of a workspace's whole tree: the environment and what was changed of it, as a disk of its own. Written
//! here rather than by a guest or by `mkfs`: so it needs no privilege and no engine, nothing of the guest is ever unpacked on
//! the host, and what is written is of our own making whatever the disks read from were like. This file must not read a disk
//! but through [`MergedRoot`].
//!
//! ```text
//!   measure:  walk --> inodes, blocks --> layout (groups of 128 MiB, without journal or checksums)
//!   write:    walk --> content, extents, inode; folders when their last entry was seen --> bitmaps, descriptors, superblocks
//! ```
//!
//! Blocks and inodes are given out one after the other, so that a bitmap is a count.

mod attributes;
mod extents;
mod folder;
mod inode;
mod layout;
mod measure;

use super::ext4::FileKind;
use super::ext4::Run;
use super::merged::Disk;
use super::merged::MergedError;
use super::merged::MergedRoot;
use super::merged::Node;
use super::merged::Visit;
use extents::Extent;
use folder::Names;
use inode::Record;
use layout::Layout;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// Bytes of a block, the only size made here.
const BLOCK: u64 = 4096;
/// The inode of the root folder.
const ROOT: u32 = 2;
/// Blocks that are copied at once.
const PIECE_BLOCKS: u64 = 256;
/// What a file system checker puts what it finds into.
const LOST_AND_FOUND: &[u8] = b"lost+found";

/// Why an image could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The workspace's files cannot be read.
    #[error(transparent)]
    Read(#[from] MergedError),
    /// The image cannot be written.
    #[error("writing the image")]
    Write {
        /// What the system said.
        source: io::Error,
    },
    /// There is more than an image can hold.
    #[error("the files need more than the 16 TiB that an image can have")]
    TooLarge,
    /// Something has more extended attributes than fit into a block.
    #[error("'{path}' has more extended attributes than an image can hold")]
    Attributes {
        /// What, for people.
        path: String,
    },
    /// There is more than was measured, which only a forged disk has.
    #[error("the disk is damaged: there is more on it than was there before")]
    Grew,
}

/// What an image holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Built {
    /// Bytes of the image, most of which are holes.
    pub size_bytes: u64,
    /// Files, folders, links and other things.
    pub entries: u64,
}

/// Writes an image of `root` into `out`, an empty file. `id` becomes the file system's UUID. `told` hears how many bytes of
/// content are written, and of at most how many.
///
/// # Errors
/// [`BuildError`]; `out` is then of no use.
pub fn build_image(
    root: &MergedRoot,
    out: &File,
    id: [u8; 16],
    told: &mut dyn FnMut(u64, u64),
) -> Result<Built, BuildError> {
    let measured = measure::measure(root)?;
    let (bytes, bytes_all) = (0, measured.blocks * BLOCK);
    let layout = Layout::of(&measured)?;
    out.set_len(layout.size_bytes()).map_err(|source| BuildError::Write { source })?;
    let (links, stack) = (HashMap::new(), Vec::new());
    let mut writer = Writer { root, out, layout, links, stack, entries: 0, told, bytes, bytes_all };
    let top = root.root()?;
    root.walk_nodes(&top, |entry, node| {
        writer.visit(&entry.path, node)?;
        Ok::<_, BuildError>(Visit::Continue)
    })?;
    while !writer.stack.is_empty() {
        writer.close()?;
    }
    writer.finish_links()?;
    writer.layout.write(out, id).map_err(|source| BuildError::Write { source })?;
    Ok(Built { size_bytes: writer.layout.size_bytes(), entries: writer.entries })
}

/// A folder whose entries are being seen.
struct Open {
    number: u32,
    parent: u32,
    record: Record,
    names: Names,
}

struct Writer<'a> {
    root: &'a MergedRoot,
    out: &'a File,
    layout: Layout,
    /// New numbers of files that have several names, and how many were seen.
    links: HashMap<(Disk, u32), (u32, u16)>,
    stack: Vec<Open>,
    entries: u64,
    told: &'a mut dyn FnMut(u64, u64),
    bytes: u64,
    bytes_all: u64,
}

impl Writer<'_> {
    fn visit(&mut self, path: &pyro_proto::tree::TreePath, node: &Node) -> Result<(), BuildError> {
        while self.stack.len() > path.components().count() {
            self.close()?;
        }
        self.entries += 1;
        let name = path.components().last().unwrap_or_default().to_vec();
        let key = (node.disk(), node.metadata().number);
        // Beyond what a count can say it is another file with the same content.
        if !node.is_folder()
            && let Some((number, seen)) =
                self.links.get_mut(&key).filter(|(_, seen)| *seen < inode::LINKS_MAX)
        {
            *seen += 1;
            let number = *number;
            return self.name(&name, number, node.metadata().kind);
        }
        let number = if path.is_root() { ROOT } else { self.layout.inode()? };
        let record = self.record(path, node)?;
        if node.is_folder() {
            let parent = self.stack.last().map_or(ROOT, |open| open.number);
            self.layout.count_folder(number);
            if !path.is_root() {
                self.name(&name, number, FileKind::Directory)?;
            }
            self.stack.push(Open { number, parent, record, names: Names::new(number, parent) });
            return Ok(());
        }
        if node.metadata().links > 1
            && let Some(full) = self.links.insert(key, (number, 1))
        {
            self.count_links(full)?;
        }
        self.name(&name, number, node.metadata().kind)?;
        let record = self.content(record, node)?;
        self.put(number, &record)
    }

    fn name(&mut self, name: &[u8], number: u32, kind: FileKind) -> Result<(), BuildError> {
        let Some(folder) = self.stack.last_mut() else { return Err(BuildError::Grew) };
        folder.names.add(name, number, kind);
        Ok(())
    }

    /// What an inode says, its attributes included, but for its content.
    fn record(&mut self, path: &pyro_proto::tree::TreePath, node: &Node) -> Result<Record, BuildError> {
        let mut record = Record::of(node.metadata());
        let attributes = self.root.xattrs(node)?;
        if let Some(block) = attributes::encode(&attributes)
            .map_err(|attributes::TooMany| BuildError::Attributes { path: path.to_string() })?
        {
            let (at, _) = self.layout.blocks(1)?;
            self.write(&block, at)?;
            record.attributes(at);
        }
        Ok(record)
    }

    fn content(&mut self, record: Record, node: &Node) -> Result<Record, BuildError> {
        match node.metadata().kind {
            FileKind::File => self.file(record, node),
            FileKind::Symlink => {
                let target = self.root.read_link(node)?;
                if target.len() < inode::INLINE_BYTES {
                    return Ok(record.inline(&target));
                }
                let mut block = target.clone();
                block.resize(usize::try_from((target.len() as u64).next_multiple_of(BLOCK)).unwrap_or(0), 0);
                self.whole(record, &block, target.len() as u64)
            }
            FileKind::CharDevice | FileKind::BlockDevice => Ok(record.device(node.metadata().device)),
            FileKind::Fifo | FileKind::Socket | FileKind::Directory => Ok(record.device((0, 0))),
        }
    }

    /// Content that is at hand, in whole blocks.
    fn whole(&mut self, record: Record, blocks: &[u8], size_bytes: u64) -> Result<Record, BuildError> {
        let (mut extents, mut logical) = (Vec::new(), 0);
        let count = blocks.len() as u64 / BLOCK;
        while logical < count {
            let (at, length) = self.layout.blocks(count - logical)?;
            let part = usize::try_from(logical * BLOCK).unwrap_or(0)
                ..usize::try_from((logical + length) * BLOCK).unwrap_or(0);
            self.write(blocks.get(part).unwrap_or_default(), at)?;
            Extent::push(&mut extents, logical, at, length);
            logical += length;
        }
        self.extents(record, extents, size_bytes)
    }

    fn file(&mut self, record: Record, node: &Node) -> Result<Record, BuildError> {
        let mut extents = Vec::new();
        let (mut offset, mut next) = (0, 0);
        loop {
            let bytes = match self.root.run_at(node, offset)? {
                Run::End => break,
                Run::Hole(bytes) => {
                    offset += bytes;
                    continue;
                }
                Run::Data(bytes) => bytes,
            };
            let mut first = (offset / BLOCK).max(next);
            offset += bytes;
            next = offset.div_ceil(BLOCK).max(first);
            while first < next {
                let (at, length) = self.layout.blocks((next - first).min(PIECE_BLOCKS))?;
                let mut piece = vec![0; usize::try_from(length * BLOCK).unwrap_or(0)];
                // What is behind the file's end stays zero.
                self.root.read_at(node, first * BLOCK, &mut piece)?;
                self.write(&piece, at)?;
                Extent::push(&mut extents, first, at, length);
                first += length;
            }
        }
        self.extents(record, extents, node.metadata().size_bytes)
    }

    /// Gives a record its tree of extents.
    fn extents(
        &mut self,
        record: Record,
        extents: Vec<Extent>,
        size_bytes: u64,
    ) -> Result<Record, BuildError> {
        let (layout, out) = (&mut self.layout, self.out);
        let content: u64 = extents.iter().map(Extent::blocks).sum();
        let tree = extents::tree(extents, &mut |block| {
            let (at, _) = layout.blocks(1)?;
            out.write_all_at(block, at * BLOCK).map_err(|source| BuildError::Write { source })?;
            Ok(at)
        })?;
        Ok(record.tree(&tree.root, content + tree.blocks, size_bytes))
    }

    /// All entries of the folder that was entered last were seen.
    fn close(&mut self) -> Result<(), BuildError> {
        let Some(mut open) = self.stack.pop() else { return Ok(()) };
        if open.number == ROOT && !open.names.has(LOST_AND_FOUND) {
            let number = self.layout.inode()?;
            self.layout.count_folder(number);
            open.names.add(LOST_AND_FOUND, number, FileKind::Directory);
            let record = Record::private_folder();
            let blocks = Names::new(number, ROOT).blocks();
            self.folder(number, record, 2, &blocks)?;
        }
        let links = open.names.links();
        debug_assert!(open.number == ROOT || open.parent != 0, "a folder is in another");
        self.folder(open.number, open.record, links, &open.names.blocks())
    }

    fn folder(&mut self, number: u32, record: Record, links: u16, blocks: &[u8]) -> Result<(), BuildError> {
        let record = self.whole(record, blocks, blocks.len() as u64)?.links(links);
        self.put(number, &record)
    }

    fn finish_links(&mut self) -> Result<(), BuildError> {
        self.links.values().try_for_each(|counted| self.count_links(*counted))
    }

    fn count_links(&self, (number, seen): (u32, u16)) -> Result<(), BuildError> {
        let at = self.layout.inode_at(number) + inode::LINKS_AT;
        let written = self.out.write_all_at(&seen.to_le_bytes(), at);
        written.map_err(|source| BuildError::Write { source })
    }

    fn put(&self, number: u32, record: &Record) -> Result<(), BuildError> {
        let written = self.out.write_all_at(record.bytes(), self.layout.inode_at(number));
        written.map_err(|source| BuildError::Write { source })
    }

    fn write(&mut self, bytes: &[u8], block: u64) -> Result<(), BuildError> {
        self.bytes += bytes.len() as u64;
        (self.told)(self.bytes, self.bytes_all);
        self.out.write_all_at(bytes, block * BLOCK).map_err(|source| BuildError::Write { source })
    }
}
