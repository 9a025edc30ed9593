//! The superblock, and where it says that things are. It must not read the disk.

use super::Ext4Error;
use super::fields::join;
use super::fields::le16;
use super::fields::le32;

/// Where the superblock is, and how long.
pub(super) const AT: u64 = 1024;
pub(super) const BYTES: usize = 1024;

const MAGIC: u16 = 0xef53;
const INCOMPAT_RECOVER: u32 = 0x4;
const INCOMPAT_64BIT: u32 = 0x80;
/// File types in folders, extents, flexible groups, a checksum seed of its own: all that mkfs gives our disks.
const INCOMPAT_KNOWN: u32 = 0x2 | INCOMPAT_RECOVER | 0x40 | INCOMPAT_64BIT | 0x200 | 0x2000;

/// What a reader needs to know.
#[derive(Clone)]
pub(super) struct Superblock {
    pub(super) block_bytes: usize,
    pub(super) blocks: u64,
    pub(super) inodes: u32,
    pub(super) inodes_per_group: u32,
    pub(super) inode_bytes: usize,
    /// Where the group descriptors begin, and bytes of each.
    pub(super) descriptors_at: u64,
    pub(super) descriptor_bytes: usize,
    pub(super) needs_recovery: bool,
    pub(super) journal_inode: u32,
    /// As it is on the disk.
    pub(super) bytes: Box<[u8; BYTES]>,
}

impl std::fmt::Debug for Superblock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Superblock")
            .field("block_bytes", &self.block_bytes)
            .field("blocks", &self.blocks)
            .field("inodes", &self.inodes)
            .field("needs_recovery", &self.needs_recovery)
            .finish_non_exhaustive()
    }
}

impl Superblock {
    /// Reads the superblock of a disk of `disk_bytes`.
    pub(super) fn parse(bytes: &[u8; BYTES], disk_bytes: u64) -> Result<Self, Ext4Error> {
        if le16(bytes, 0x38) != MAGIC {
            return Err(Ext4Error::NotExt4);
        }
        let incompat = le32(bytes, 0x60);
        if incompat & !INCOMPAT_KNOWN != 0 {
            return Err(Ext4Error::Features { bits: incompat & !INCOMPAT_KNOWN });
        }
        let damaged = |what| Err(Ext4Error::Superblock { what });
        let block_bits = match le32(bytes, 0x18) {
            log @ 0..=2 => 10 + log,
            _ => return damaged("blocks of neither 1, 2 nor 4 KiB"),
        };
        let wide = incompat & INCOMPAT_64BIT != 0;
        let high = if wide { le32(bytes, 0x150) } else { 0 };
        let first_block = le32(bytes, 0x14);
        let found = Self {
            block_bytes: 1 << block_bits,
            blocks: join(high, le32(bytes, 0x4)),
            inodes: le32(bytes, 0),
            inodes_per_group: le32(bytes, 0x28),
            inode_bytes: usize::from(le16(bytes, 0x58)),
            descriptors_at: (u64::from(first_block) + 1) << block_bits,
            descriptor_bytes: if wide { usize::from(le16(bytes, 0xfe)) } else { 32 },
            needs_recovery: incompat & INCOMPAT_RECOVER != 0,
            journal_inode: le32(bytes, 0xe0),
            bytes: Box::new(*bytes),
        };
        if le32(bytes, 0x4c) == 0 || u64::from(first_block) != u64::from(block_bits == 10) {
            return damaged("a revision or a first block that ext4 does not have");
        }
        if found.blocks == 0 || found.blocks > disk_bytes >> block_bits {
            return damaged("more blocks than the disk has");
        }
        let power = |value: usize, min| value.is_power_of_two() && (min..=found.block_bytes).contains(&value);
        if !power(found.inode_bytes, 128) || !power(found.descriptor_bytes, if wide { 64 } else { 32 }) {
            return damaged("inodes or group descriptors of a size that none have");
        }
        if found.inodes_per_group == 0 || found.inodes_per_group as usize > found.block_bytes * 8 {
            return damaged("a number of inodes in a group that none has");
        }
        Ok(found)
    }
}
