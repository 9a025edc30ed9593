//! Where everything is on an image: groups of blocks, each with its bitmaps and its part of the inodes, some with a copy of
//! the superblock; what is given out next; and all of that as bytes. It must not know files.

use super::BLOCK;
use super::BuildError;
use super::inode::INODE_BYTES;
use super::measure::Measured;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

const GROUP_BLOCKS: u64 = 32_768;
const GROUP_INODES_MAX: u64 = 32_768;
const BLOCK_INODES: u64 = BLOCK / INODE_BYTES as u64;
const DESCRIPTOR_BYTES: u64 = 32;
/// The first inode that is not the file system's own.
const FIRST_INODE: u32 = 11;
/// Free blocks and inodes that an image has at least.
const SPARE_BLOCKS: u64 = 16_384;
const SPARE_INODES: u64 = 4096;

const SUPERBLOCK_BYTES: usize = 1024;
const SUPERBLOCK_AT: u64 = 1024;
/// Extended attributes; hashed folders may be made later.
const COMPATIBLE: u32 = 0x8 | 0x20;
/// Kinds in folders, extents.
const INCOMPATIBLE: u32 = 0x2 | 0x40;
/// Copies of the superblock in some groups only, large files, large counts of blocks, many folders in one, large inodes.
const READ_ONLY_COMPATIBLE: u32 = 0x1 | 0x2 | 0x8 | 0x20 | 0x40;

/// Where everything is, and what is given out next.
pub(super) struct Layout {
    groups: u64,
    group_inodes: u64,
    descriptor_blocks: u64,
    next_block: u64,
    next_inode: u32,
    /// By group.
    folders: Vec<u16>,
}

impl Layout {
    pub(super) fn of(measured: &Measured) -> Result<Self, BuildError> {
        let blocks = measured.blocks + measured.blocks / 8 + SPARE_BLOCKS;
        let inodes = measured.inodes + measured.inodes / 4 + SPARE_INODES;
        let mut groups = blocks.div_ceil(GROUP_BLOCKS).max(inodes.div_ceil(GROUP_INODES_MAX));
        loop {
            let layout = Self::with(groups, inodes);
            let own: u64 = (0..groups).map(|group| layout.own_blocks(group)).sum();
            if groups * GROUP_BLOCKS >= own + blocks {
                return Ok(layout);
            }
            groups += 1;
            if groups > (1 << 32) / GROUP_BLOCKS - 1 {
                return Err(BuildError::TooLarge);
            }
        }
    }

    fn with(groups: u64, inodes: u64) -> Self {
        let group_inodes = inodes.div_ceil(groups).next_multiple_of(BLOCK_INODES).min(GROUP_INODES_MAX);
        let descriptor_blocks = (groups * DESCRIPTOR_BYTES).div_ceil(BLOCK);
        let folders = vec![0; usize::try_from(groups).unwrap_or(0)];
        let mut layout =
            Self { groups, group_inodes, descriptor_blocks, next_block: 0, next_inode: FIRST_INODE, folders };
        layout.next_block = layout.own_blocks(0);
        layout
    }

    pub(super) const fn size_bytes(&self) -> u64 {
        self.groups * GROUP_BLOCKS * BLOCK
    }

    /// Blocks before a group's bitmaps.
    const fn copies(&self, group: u64) -> u64 {
        if has_copy(group) { 1 + self.descriptor_blocks } else { 0 }
    }

    /// Blocks of a group that hold no content; they are its first.
    const fn own_blocks(&self, group: u64) -> u64 {
        self.copies(group) + 2 + self.group_inodes / BLOCK_INODES
    }

    /// Gives out up to `wanted` blocks that lie behind one another: where, and how many.
    pub(super) fn blocks(&mut self, wanted: u64) -> Result<(u64, u64), BuildError> {
        if self.next_block.is_multiple_of(GROUP_BLOCKS) {
            self.next_block += self.own_blocks(self.next_block / GROUP_BLOCKS);
        }
        if self.next_block >= self.groups * GROUP_BLOCKS {
            return Err(BuildError::Grew);
        }
        let left = GROUP_BLOCKS - self.next_block % GROUP_BLOCKS;
        let (at, length) = (self.next_block, wanted.min(left));
        self.next_block += length;
        Ok((at, length))
    }

    /// Gives out an inode.
    pub(super) fn inode(&mut self) -> Result<u32, BuildError> {
        let number = self.next_inode;
        if u64::from(number) > self.groups * self.group_inodes {
            return Err(BuildError::Grew);
        }
        self.next_inode += 1;
        Ok(number)
    }

    /// Takes note of what is a folder.
    pub(super) fn count_folder(&mut self, number: u32) {
        let group = u64::from(number - 1) / self.group_inodes;
        if let Some(count) = usize::try_from(group).ok().and_then(|group| self.folders.get_mut(group)) {
            *count += 1;
        }
    }

    /// The byte where an inode is.
    pub(super) fn inode_at(&self, number: u32) -> u64 {
        let index = u64::from(number - 1);
        let (group, index) = (index / self.group_inodes, index % self.group_inodes);
        (group * GROUP_BLOCKS + self.copies(group) + 2) * BLOCK + index * INODE_BYTES as u64
    }

    /// Blocks of a group that are in use: its first ones.
    fn used_blocks(&self, group: u64) -> u64 {
        let given = self.next_block.saturating_sub(group * GROUP_BLOCKS).min(GROUP_BLOCKS);
        given.max(self.own_blocks(group))
    }

    /// Inodes of a group that are in use: its first ones.
    fn used_inodes(&self, group: u64) -> u64 {
        u64::from(self.next_inode - 1).saturating_sub(group * self.group_inodes).min(self.group_inodes)
    }

    /// Writes bitmaps, descriptors and superblocks.
    pub(super) fn write(&self, out: &File, id: [u8; 16]) -> io::Result<()> {
        let mut descriptors = Vec::new();
        for group in 0..self.groups {
            let bitmaps = group * GROUP_BLOCKS + self.copies(group);
            out.write_all_at(&bitmap(self.used_blocks(group), GROUP_BLOCKS), bitmaps * BLOCK)?;
            out.write_all_at(&bitmap(self.used_inodes(group), self.group_inodes), (bitmaps + 1) * BLOCK)?;
            descriptors.extend_from_slice(&self.descriptor(group, bitmaps));
        }
        for group in (0..self.groups).filter(|group| has_copy(*group)) {
            let at = group * GROUP_BLOCKS * BLOCK;
            let superblock = self.superblock(group, id);
            out.write_all_at(&superblock, if group == 0 { SUPERBLOCK_AT } else { at })?;
            out.write_all_at(&descriptors, at + BLOCK)?;
        }
        Ok(())
    }

    fn descriptor(&self, group: u64, bitmaps: u64) -> [u8; DESCRIPTOR_BYTES as usize] {
        let mut bytes = [0; DESCRIPTOR_BYTES as usize];
        for (index, block) in (bitmaps..bitmaps + 3).enumerate() {
            bytes[index * 4..index * 4 + 4].copy_from_slice(&low32(block).to_le_bytes());
        }
        let folders = usize::try_from(group).ok().and_then(|group| self.folders.get(group)).copied();
        let low16 = |number: u64| u16::try_from(number).unwrap_or(u16::MAX);
        let counts = [
            low16(GROUP_BLOCKS - self.used_blocks(group)),
            low16(self.group_inodes - self.used_inodes(group)),
            folders.unwrap_or(0),
        ];
        for (index, count) in counts.iter().enumerate() {
            bytes[12 + index * 2..14 + index * 2].copy_from_slice(&count.to_le_bytes());
        }
        bytes
    }

    fn superblock(&self, group: u64, id: [u8; 16]) -> Vec<u8> {
        let mut bytes = vec![0; SUPERBLOCK_BYTES];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        let sum = |used: &dyn Fn(u64) -> u64| (0..self.groups).map(used).sum::<u64>();
        let (blocks, inodes) = (self.groups * GROUP_BLOCKS, self.groups * self.group_inodes);
        let words: [(usize, u64); 16] = [
            (0, inodes),
            (4, blocks),
            (12, blocks - sum(&|group| self.used_blocks(group))),
            (16, inodes - sum(&|group| self.used_inodes(group))),
            // Blocks and clusters of 4096 bytes: 2 to the 10th times 2 to the 2nd.
            (24, 2),
            (28, 2),
            (32, GROUP_BLOCKS),
            (36, GROUP_BLOCKS),
            (40, self.group_inodes),
            // The revision with features and large inodes.
            (76, 1),
            (84, u64::from(FIRST_INODE)),
            (92, u64::from(COMPATIBLE)),
            (96, u64::from(INCOMPATIBLE)),
            (100, u64::from(READ_ONLY_COMPATIBLE)),
            // Hashes of names take them for signed.
            (352, 1),
            // Both sizes of an inode's larger part, wanted and least.
            (348, 32 << 16 | 32),
        ];
        for (at, word) in words {
            put(at, &low32(word).to_le_bytes());
        }
        // No check is due after any number of mounts; magic; clean; go on after errors.
        for (at, half) in [(54, 0xffff_u16), (56, 0xef53), (58, 1), (60, 1), (88, 256)] {
            put(at, &half.to_le_bytes());
        }
        put(90, &u16::try_from(group).unwrap_or(0).to_le_bytes());
        put(104, &id);
        put(120, b"pyro-export");
        put(236, &id);
        // Half of MD4.
        put(252, &[1]);
        bytes
    }
}

/// Groups 0 and 1, and the powers of 3, 5 and 7.
const fn has_copy(group: u64) -> bool {
    if group <= 1 {
        return true;
    }
    let mut index = 0;
    while index < 3 {
        let factor = [3, 5, 7][index];
        let mut power = factor;
        while power < group {
            power *= factor;
        }
        if power == group {
            return true;
        }
        index += 1;
    }
    false
}

/// A block whose first `used` bits are set, and those from `count` on, which stand for nothing.
fn bitmap(used: u64, count: u64) -> Vec<u8> {
    let mut bytes = vec![0_u8; usize::try_from(BLOCK).unwrap_or(0)];
    for (index, byte) in bytes.iter_mut().enumerate() {
        let first = index as u64 * 8;
        for bit in 0..8 {
            if first + bit < used || first + bit >= count {
                *byte |= 1 << bit;
            }
        }
    }
    bytes
}

fn low32(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
