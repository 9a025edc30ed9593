//! What is in a folder, as its blocks say it. It must not know inodes.

use crate::disk::ext4::FileKind;

const BLOCK_BYTES: usize = 4096;
const HEADER_BYTES: usize = 8;
/// Beyond so many links a folder's count says 1: it is not known.
const LINKS_MAX: usize = 65_000;

/// Bytes that a name takes.
pub(super) const fn entry_bytes(name: usize) -> u64 {
    (HEADER_BYTES + name).next_multiple_of(4) as u64
}

/// The names of a folder, itself and its parent among them.
pub(super) struct Names {
    blocks: Vec<u8>,
    /// Where the last entry of the last block begins.
    last: usize,
    folders: usize,
    has_lost_and_found: bool,
}

impl Names {
    pub(super) fn new(own: u32, parent: u32) -> Self {
        let mut names = Self { blocks: Vec::new(), last: 0, folders: 0, has_lost_and_found: false };
        names.add(b".", own, FileKind::Directory);
        names.add(b"..", parent, FileKind::Directory);
        names.folders = 0;
        names
    }

    pub(super) fn add(&mut self, name: &[u8], number: u32, kind: FileKind) {
        self.folders += usize::from(kind == FileKind::Directory);
        self.has_lost_and_found |= name == super::LOST_AND_FOUND;
        let needed = (HEADER_BYTES + name.len()).next_multiple_of(4);
        let used = self.blocks.len() % BLOCK_BYTES;
        if used == 0 || used + needed > BLOCK_BYTES {
            self.end_block();
        }
        self.last = self.blocks.len();
        self.blocks.extend_from_slice(&number.to_le_bytes());
        self.blocks.extend_from_slice(&u16::try_from(needed).unwrap_or_default().to_le_bytes());
        self.blocks.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        self.blocks.push(file_type(kind));
        self.blocks.extend_from_slice(name);
        self.blocks.resize(self.last + needed, 0);
    }

    /// The last entry of a block reaches to its end.
    fn end_block(&mut self) {
        let end = self.blocks.len().next_multiple_of(BLOCK_BYTES);
        if end > self.blocks.len() {
            let length = u16::try_from(end - self.last).unwrap_or_default().to_le_bytes();
            self.blocks[self.last + 4..self.last + 6].copy_from_slice(&length);
            self.blocks.resize(end, 0);
        }
    }

    pub(super) const fn has(&self, name: &[u8]) -> bool {
        debug_assert!(name.len() == super::LOST_AND_FOUND.len(), "no other name is asked for");
        self.has_lost_and_found
    }

    /// Its own names: where it is, `.`, and the `..` of each folder in it.
    pub(super) fn links(&self) -> u16 {
        let links = self.folders + 2;
        if links > LINKS_MAX { 1 } else { u16::try_from(links).unwrap_or(1) }
    }

    /// All blocks.
    pub(super) fn blocks(mut self) -> Vec<u8> {
        self.end_block();
        self.blocks
    }
}

const fn file_type(kind: FileKind) -> u8 {
    match kind {
        FileKind::File => 1,
        FileKind::Directory => 2,
        FileKind::CharDevice => 3,
        FileKind::BlockDevice => 4,
        FileKind::Fifo => 5,
        FileKind::Socket => 6,
        FileKind::Symlink => 7,
    }
}
