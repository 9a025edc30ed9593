//! Inodes: where they are and what they say. It must not read content.

use super::Ext4;
use super::Ext4Error;
use super::fields::join;
use super::fields::le16;
use super::fields::le32;
use pyro_proto::tree::Timestamp;
use std::ops::Range;
use std::sync::Arc;

/// Bytes every inode has, and what follows in larger ones.
pub(super) const BASE_BYTES: usize = 128;
const FLAG_EXTENTS: u32 = 0x8_0000;
/// Encrypted, or with its content in other places than extents: the attributes or nowhere.
const FLAGS_UNSUPPORTED: u32 = 0x800 | 0x1000_0000 | 0x20_0000;

/// What an inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A folder.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// A file, folder or other thing of a file system, without its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inode {
    /// Its number.
    pub number: u32,
    /// What it is.
    pub kind: FileKind,
    /// Permission bits, set-id and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes of content.
    pub size_bytes: u64,
    /// Content's last change.
    pub mtime: Timestamp,
    /// The inode's last change.
    pub ctime: Timestamp,
    /// How many names it has.
    pub links: u16,
    /// Distinguishes it from others that had its number.
    pub generation: u32,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    pub(super) has_extents: bool,
    pub(super) attributes_block: u64,
    pub(super) block: [u8; 60],
}

impl Ext4 {
    /// The inode with this number.
    ///
    /// # Errors
    /// [`Ext4Error::Read`], [`Ext4Error::Corrupt`], [`Ext4Error::Unsupported`].
    pub fn inode(&self, number: u32) -> Result<Inode, Ext4Error> {
        let (block, range) = self.inode_bytes(number)?;
        Inode::parse(number, block.get(range).unwrap_or_default(), self.superblock.block_bytes)
    }

    /// The block an inode is in, and its bytes there.
    pub(super) fn inode_bytes(&self, number: u32) -> Result<(Arc<[u8]>, Range<usize>), Ext4Error> {
        let superblock = &self.superblock;
        let size = superblock.block_bytes;
        let index = match number.checked_sub(1) {
            Some(index) if index < superblock.inodes => index,
            _ => return Err(Ext4Error::Corrupt { inode: number, what: "there is no such number" }),
        };
        let (group, index) = (index / superblock.inodes_per_group, index % superblock.inodes_per_group);
        let descriptor_at = superblock.descriptors_at + u64::from(group) * superblock.descriptor_bytes as u64;
        let block = self.blocks.get(descriptor_at / size as u64)?;
        // Sizes are powers of two, so neither a descriptor nor an inode crosses the end of a block.
        let at = usize::try_from(descriptor_at % size as u64).unwrap_or_default();
        let descriptor = block.get(at..at + superblock.descriptor_bytes).unwrap_or_default();
        let table = join(le32(descriptor, 0x28), le32(descriptor, 0x8));
        let offset = index as usize * superblock.inode_bytes;
        let block = table.checked_add((offset / size) as u64).filter(|block| table > 0 && *block > 0);
        let block = block.ok_or(Ext4Error::Corrupt { inode: number, what: "its table is nowhere" })?;
        let start = offset % size;
        Ok((self.blocks.get(block)?, start..start + superblock.inode_bytes))
    }
}

impl Inode {
    fn parse(number: u32, bytes: &[u8], block_bytes: usize) -> Result<Self, Ext4Error> {
        let corrupt = |what| Ext4Error::Corrupt { inode: number, what };
        let mode = le16(bytes, 0);
        let kind = kind(mode).ok_or(corrupt("it is in use and of no kind"))?;
        let flags = le32(bytes, 0x20);
        if flags & FLAGS_UNSUPPORTED != 0 {
            return Err(Ext4Error::Unsupported {
                inode: number,
                what: "inline, encrypted or foreign content",
            });
        }
        let block = bytes.get(0x28..).and_then(<[u8]>::first_chunk).ok_or(corrupt("it is cut"))?;
        let size_bytes = join(le32(bytes, 0x6c), le32(bytes, 0x4));
        if size_bytes > (block_bytes as u64) << 32 {
            return Err(corrupt("it is larger than a file can be"));
        }
        let (ctime, mtime) = (timestamp(bytes, 0xc, 0x84), timestamp(bytes, 0x10, 0x88));
        let wide = |high: usize, low: usize| u32::from(le16(bytes, high)) << 16 | u32::from(le16(bytes, low));
        Ok(Self {
            number,
            kind,
            mode: u32::from(mode & 0o7777),
            uid: wide(0x78, 0x2),
            gid: wide(0x7a, 0x18),
            size_bytes,
            mtime,
            ctime,
            links: le16(bytes, 0x1a),
            generation: le32(bytes, 0x64),
            device: device(block),
            has_extents: flags & FLAG_EXTENTS != 0,
            attributes_block: join(u32::from(le16(bytes, 0x76)), le32(bytes, 0x68)),
            block: *block,
        })
    }

    /// Whether an overlay takes it for the mark of something that was deleted.
    pub fn is_whiteout(&self) -> bool {
        self.kind == FileKind::CharDevice && self.device == (0, 0)
    }
}

const fn kind(mode: u16) -> Option<FileKind> {
    Some(match mode >> 12 {
        0x1 => FileKind::Fifo,
        0x2 => FileKind::CharDevice,
        0x4 => FileKind::Directory,
        0x6 => FileKind::BlockDevice,
        0x8 => FileKind::File,
        0xa => FileKind::Symlink,
        0xc => FileKind::Socket,
        _ => return None,
    })
}

/// Small device numbers are stored in the old way, in the first word; others in the second.
fn device(block: &[u8; 60]) -> (u32, u32) {
    match (le32(block, 0), le32(block, 4)) {
        (0, new) => (new >> 8 & 0xfff, new & 0xff | new >> 12 & 0xf_ff00),
        (old, _) => (old >> 8 & 0xff, old & 0xff),
    }
}

/// Seconds, and in the larger part of an inode, if it reaches that far, 30 bits of nanoseconds and 2 more of seconds.
fn timestamp(bytes: &[u8], at: usize, extra_at: usize) -> Timestamp {
    let s = i64::from(le32(bytes, at).cast_signed());
    let end = BASE_BYTES + usize::from(le16(bytes, BASE_BYTES));
    if bytes.len() <= BASE_BYTES || end < extra_at + 4 {
        return Timestamp { s, ns: 0 };
    }
    let extra = le32(bytes, extra_at);
    Timestamp { s: s + (i64::from(extra & 3) << 32), ns: (extra >> 2).min(999_999_999) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_store_a_device() {
        let block = |first: u32, second: u32| {
            let mut block = [0; 60];
            block[..4].copy_from_slice(&first.to_le_bytes());
            block[4..8].copy_from_slice(&second.to_le_bytes());
            device(&block)
        };
        assert_eq!(block(0x0103, 0), (1, 3));
        assert_eq!(block(0, 0x0011_0345), (0x103, 0x145));
        assert_eq!(block(0, 0), (0, 0));
    }

    #[test]
    fn times_before_1970_and_after_2038() {
        let time = |s: u32, extra: u32| {
            let mut bytes = [0; 256];
            bytes[0x80] = 32;
            bytes[0x10..0x14].copy_from_slice(&s.to_le_bytes());
            bytes[0x88..0x8c].copy_from_slice(&extra.to_le_bytes());
            timestamp(&bytes, 0x10, 0x88)
        };
        assert_eq!(time(u32::MAX, 0), Timestamp { s: -1, ns: 0 });
        assert_eq!(time(0, 5 << 2 | 1), Timestamp { s: 1 << 32, ns: 5 });
        assert_eq!(time(0, u32::MAX).ns, 999_999_999);
    }
}
