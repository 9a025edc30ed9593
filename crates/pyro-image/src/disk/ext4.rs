//! Reads an ext4 file system without mounting it, as `mkfs.ext4` and Linux write it with the options of our disks: extents,
//! checksums, flexible groups, 64-bit or not, with or without a journal. A journal that was not played back is played back
//! in memory, so that the disk of a guest that was killed reads as the guest would find it.
//!
//! The disk is hostile. Every place and length is checked before it is used, trees have a greatest depth, what is kept is
//! bounded, and nothing panics. Checksums of metadata are not verified, because who writes the disk can compute them; those
//! of the journal are, because they tell what was written whole. This file must not write, and must not know overlays.

mod blocks;
mod crc;
mod directory;
mod error;
mod extents;
mod fields;
mod inode;
mod journal;
mod superblock;
mod xattr;

pub use directory::DirEntry;
pub use error::Ext4Error;
pub use extents::Run;
pub use inode::FileKind;
pub use inode::Inode;
pub use xattr::Xattr;

use super::read_at::ReadAt;
use blocks::Blocks;
use superblock::Superblock;

/// The inode of the root folder.
const ROOT: u32 = 2;

/// A file system, open for reading.
pub struct Ext4 {
    blocks: Blocks,
    superblock: Superblock,
}

impl std::fmt::Debug for Ext4 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ext4").field("superblock", &self.superblock).finish_non_exhaustive()
    }
}

impl Ext4 {
    /// Reads the superblock and, where the journal was not played back, what it holds.
    ///
    /// # Errors
    /// [`Ext4Error`].
    pub fn open(disk: Box<dyn ReadAt>) -> Result<Self, Ext4Error> {
        let (blocks, superblock) = blocks::open(disk)?;
        let mut found = Self { blocks, superblock };
        if found.superblock.needs_recovery {
            let replayed = journal::replay(&found)?;
            found.blocks.replay(replayed);
            // The journal may hold a newer superblock.
            found.superblock = found.blocks.superblock()?;
        }
        Ok(found)
    }

    /// The root folder.
    ///
    /// # Errors
    /// [`Ext4Error::Read`], [`Ext4Error::Corrupt`].
    pub fn root(&self) -> Result<Inode, Ext4Error> {
        self.inode(ROOT)
    }

    /// Bytes of the file system: more content than that it cannot have.
    pub const fn size_bytes(&self) -> u64 {
        self.superblock.blocks * self.superblock.block_bytes as u64
    }

    pub(in crate::disk) const fn blocks(&self) -> u64 {
        self.superblock.blocks
    }

    /// Whether `other` has the same superblock to the last byte, as a copy that nobody wrote to since has.
    pub(in crate::disk) fn is_twin(&self, other: &Self) -> bool {
        self.superblock.bytes == other.superblock.bytes
    }
}
