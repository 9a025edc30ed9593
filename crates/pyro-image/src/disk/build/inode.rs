//! An inode's bytes. It must not know where they go.

use crate::disk::ext4::FileKind;
use crate::disk::ext4::Inode;
use pyro_proto::tree::Timestamp;

/// Bytes of an inode.
pub(super) const INODE_BYTES: usize = 256;
/// Where its count of links is.
pub(super) const LINKS_AT: u64 = 26;
/// Most links of what is no folder.
pub(super) const LINKS_MAX: u16 = 65_000;
/// A link's target that is shorter lies in the inode itself.
pub(super) const INLINE_BYTES: usize = 60;
const FLAG_EXTENTS: u32 = 0x8_0000;
const BLOCK_AT: usize = 40;
/// Blocks are counted in sectors of 512 bytes.
const SECTORS: u64 = 8;

/// An inode's bytes.
pub(super) struct Record {
    bytes: [u8; INODE_BYTES],
    blocks: u64,
}

impl Record {
    /// Everything but content and attributes of something on another disk.
    pub(super) fn of(inode: &Inode) -> Self {
        let mode = inode.mode & 0o7777 | kind_bits(inode.kind);
        let mut record = Self::new(mode, inode.uid, inode.gid);
        record.time(12, 132, inode.ctime);
        record.time(16, 136, inode.mtime);
        // When it was last read is not known.
        record.time(8, 140, inode.mtime);
        record
    }

    /// A folder that only root may enter.
    pub(super) fn private_folder() -> Self {
        Self::new(0o700 | kind_bits(FileKind::Directory), 0, 0)
    }

    fn new(mode: u32, uid: u32, gid: u32) -> Self {
        const EXTRA_BYTES: u16 = 32;
        let mut record = Self { bytes: [0; INODE_BYTES], blocks: 0 };
        let halves = |number: u32| {
            let [a, b, c, d] = number.to_le_bytes();
            ([a, b], [c, d])
        };
        let ((uid_low, uid_high), (gid_low, gid_high)) = (halves(uid), halves(gid));
        record.put(0, &halves(mode).0);
        record.put(2, &uid_low);
        record.put(24, &gid_low);
        record.put(26, &1_u16.to_le_bytes());
        record.put(120, &uid_high);
        record.put(122, &gid_high);
        record.put(128, &EXTRA_BYTES.to_le_bytes());
        record
    }

    fn put(&mut self, at: usize, field: &[u8]) {
        self.bytes[at..at + field.len()].copy_from_slice(field);
    }

    /// Seconds, and behind the inode's first 128 bytes nanoseconds and two more bits of seconds.
    fn time(&mut self, at: usize, extra_at: usize, time: Timestamp) {
        let [a, b, c, d, ..] = time.s.to_le_bytes();
        let low = [a, b, c, d];
        let epoch = (time.s - i64::from(i32::from_le_bytes(low))) >> 32 & 3;
        self.put(at, &low);
        self.put(extra_at, &(time.ns << 2 | u32::try_from(epoch).unwrap_or(0)).to_le_bytes());
    }

    /// Where its attributes are.
    pub(super) fn attributes(&mut self, block: u64) {
        self.put(104, &u32::try_from(block).unwrap_or(u32::MAX).to_le_bytes());
        self.blocks += 1;
        self.count_blocks();
    }

    /// A short link's target.
    pub(super) fn inline(mut self, target: &[u8]) -> Self {
        self.put(BLOCK_AT, target);
        self.size(target.len() as u64);
        self
    }

    /// A device's numbers; of something without any, nothing.
    pub(super) fn device(mut self, (major, minor): (u32, u32)) -> Self {
        if major < 256 && minor < 256 {
            self.put(BLOCK_AT, &(major << 8 | minor).to_le_bytes());
        } else {
            self.put(BLOCK_AT + 4, &(minor & 0xff | major << 8 | (minor & !0xff) << 12).to_le_bytes());
        }
        self
    }

    /// Its content.
    pub(super) fn tree(mut self, root: &[u8; 60], blocks: u64, size_bytes: u64) -> Self {
        self.put(BLOCK_AT, root);
        self.put(32, &FLAG_EXTENTS.to_le_bytes());
        self.size(size_bytes);
        self.blocks += blocks;
        self.count_blocks();
        self
    }

    fn size(&mut self, size_bytes: u64) {
        let [a, b, c, d, e, f, g, h] = size_bytes.to_le_bytes();
        self.put(4, &[a, b, c, d]);
        self.put(108, &[e, f, g, h]);
    }

    fn count_blocks(&mut self) {
        let [a, b, c, d, e, f, ..] = (self.blocks * SECTORS).to_le_bytes();
        self.put(28, &[a, b, c, d]);
        self.put(116, &[e, f]);
    }

    /// How many names it has.
    pub(super) fn links(mut self, links: u16) -> Self {
        self.put(26, &links.to_le_bytes());
        self
    }

    pub(super) const fn bytes(&self) -> &[u8; INODE_BYTES] {
        &self.bytes
    }
}

const fn kind_bits(kind: FileKind) -> u32 {
    match kind {
        FileKind::Fifo => 0x1000,
        FileKind::CharDevice => 0x2000,
        FileKind::Directory => 0x4000,
        FileKind::BlockDevice => 0x6000,
        FileKind::File => 0x8000,
        FileKind::Symlink => 0xa000,
        FileKind::Socket => 0xc000,
    }
}
