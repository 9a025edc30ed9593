//! Plays a journal back in memory: finds, of each block that whole transactions wrote, the last copy the journal has of it. It
//! must not write, and must not hold the copies themselves.
//!
//! ```text
//!   journal = superblock | log, a ring
//!   log     = (descriptor  block...  |  revoke)*  commit     one transaction: numbers go up by one
//! ```
//!
//! A transaction counts when its commit block is there and right; the log ends before the first that does not. A revoked
//! block is not played back from this or any earlier transaction, since it has become a file's content in the meantime.

use super::Ext4;
use super::Ext4Error;
use super::Inode;
use super::blocks::JOURNAL_MAGIC;
use super::blocks::Newer;
use super::blocks::Replayed;
use super::crc::crc32c;
use super::fields::be16;
use super::fields::be32;
use super::fields::join;
use super::fields::u8_at;
use std::sync::Arc;

/// Most blocks of a journal: 1 GiB of them, where ours have 16 MiB.
const BLOCKS_MAX: u32 = 1 << 18;
/// Most blocks that one transaction revokes.
const REVOKED_MAX: usize = 1 << 20;
const HEADER_BYTES: usize = 12;
/// The checksum at the end of descriptors and revocations.
const TAIL_BYTES: usize = 4;

const DESCRIPTOR: u32 = 1;
const COMMIT: u32 = 2;
const SUPERBLOCK: u32 = 4;
const REVOKE: u32 = 5;

const INCOMPAT_64BIT: u32 = 0x2;
const INCOMPAT_CHECKSUM_V3: u32 = 0x10;
/// Revocations; not the older checksums, not commits out of order, not fast commits: Linux turns none of them on by itself.
const INCOMPAT_KNOWN: u32 = 0x1 | INCOMPAT_64BIT | INCOMPAT_CHECKSUM_V3;

const TAG_ESCAPED: u32 = 1;
const TAG_SAME_UUID: u32 = 2;
const TAG_LAST: u32 = 8;

/// What the journal holds of blocks of the disk.
pub(super) fn replay(fs: &Ext4) -> Result<Replayed, Ext4Error> {
    if fs.superblock.journal_inode == 0 {
        return Err(Ext4Error::Journal { what: "it is on another disk" });
    }
    let inode = fs.inode(fs.superblock.journal_inode)?;
    let journal = Journal::open(fs, &inode)?;
    journal.play()
}

struct Journal<'a> {
    fs: &'a Ext4,
    inode: &'a Inode,
    /// The log: its first block, the block after its last, where it starts, and the number of the transaction there.
    first: u32,
    end: u32,
    start: u32,
    sequence: u32,
    wide: bool,
    /// The seed of checksums, if there are any.
    seed: Option<u32>,
}

/// A transaction that is not yet known to be whole.
#[derive(Default)]
struct Pending {
    blocks: Vec<Tag>,
    revoked: Vec<u64>,
}

struct Tag {
    block: u64,
    newer: Newer,
    /// Its content has the checksum it should have.
    right: bool,
}

impl<'a> Journal<'a> {
    fn open(fs: &'a Ext4, inode: &'a Inode) -> Result<Self, Ext4Error> {
        let damaged = |what| Err(Ext4Error::Journal { what });
        let block = block_of(fs, inode, 0)?.1;
        if block.get(..4) != Some(&JOURNAL_MAGIC) || be32(&block, 4) != SUPERBLOCK {
            return damaged("it has no superblock");
        }
        let incompat = be32(&block, 0x28);
        if incompat & !INCOMPAT_KNOWN != 0 {
            return damaged("it has features that are not supported");
        }
        let (first, end, start) = (be32(&block, 0x14), be32(&block, 0x10), be32(&block, 0x1c));
        let size = fs.superblock.block_bytes;
        let fits = u64::from(end) * size as u64 <= inode.size_bytes;
        let starts = start == 0 || (first..end).contains(&start);
        if be32(&block, 0xc) as usize != size
            || end > BLOCKS_MAX
            || !fits
            || first == 0
            || !starts
            || first >= end
        {
            return damaged("its superblock contradicts itself");
        }
        let seed = (incompat & INCOMPAT_CHECKSUM_V3 != 0).then(|| crc32c(!0, &block[0x30..0x40]));
        if seed.is_some() && !superblock_is_right(&block) {
            return damaged("its superblock has the wrong checksum");
        }
        let wide = incompat & INCOMPAT_64BIT != 0;
        Ok(Self { fs, inode, first, end, start, sequence: be32(&block, 0x18), wide, seed })
    }

    fn play(&self) -> Result<Replayed, Ext4Error> {
        let mut replayed = Replayed::new();
        if self.start == 0 {
            return Ok(replayed);
        }
        let (mut at, mut sequence, mut pending) = (self.start, self.sequence, Pending::default());
        // The log is a ring, and is not read for longer than once around.
        let mut left = self.end - self.first;
        while left > 0 {
            let block = self.block(at)?;
            if block.get(..4) != Some(&JOURNAL_MAGIC) || be32(&block, 8) != sequence {
                break;
            }
            let taken = match be32(&block, 4) {
                DESCRIPTOR if self.tail_is_right(&block) => {
                    1 + self.descriptor(&block, at, sequence, left - 1, &mut pending)?
                }
                REVOKE if self.tail_is_right(&block) => {
                    self.revocations(&block, &mut pending)?;
                    1
                }
                COMMIT if self.commit_is_right(&block) => {
                    pending.settle(&mut replayed)?;
                    pending = Pending::default();
                    sequence = sequence.wrapping_add(1);
                    1
                }
                _ => break,
            };
            at = self.next(at, taken);
            left = left.saturating_sub(taken);
        }
        Ok(replayed)
    }

    /// Reads the tags of a descriptor; says how many blocks of content follow it.
    fn descriptor(
        &self,
        block: &[u8],
        at: u32,
        sequence: u32,
        left: u32,
        pending: &mut Pending,
    ) -> Result<u32, Ext4Error> {
        let tag_bytes = if self.seed.is_some() { 16 } else { 8 + if self.wide { 4 } else { 0 } };
        let end = block.len() - if self.seed.is_some() { TAIL_BYTES } else { 0 };
        let (mut position, mut count) = (HEADER_BYTES, 0);
        while let Some(tag) =
            block.get(position..position + tag_bytes).filter(|_| position + tag_bytes <= end)
        {
            if count == left {
                // It cannot be whole: the log has no room for its content.
                break;
            }
            count += 1;
            let flags = if self.seed.is_some() { be32(tag, 4) } else { u32::from(be16(tag, 6)) };
            let high = if self.wide { be32(tag, 8) } else { 0 };
            let (place, content) = self.block_at(self.next(at, count))?;
            let right = self
                .seed
                .is_none_or(|seed| crc32c(crc32c(seed, &sequence.to_be_bytes()), &content) == be32(tag, 12));
            let newer = Newer { block: place, escaped: flags & TAG_ESCAPED != 0 };
            pending.blocks.push(Tag { block: join(high, be32(tag, 0)), newer, right });
            position += tag_bytes + if flags & TAG_SAME_UUID == 0 { 16 } else { 0 };
            if flags & TAG_LAST != 0 {
                break;
            }
        }
        Ok(count)
    }

    fn revocations(&self, block: &[u8], pending: &mut Pending) -> Result<(), Ext4Error> {
        let size = if self.wide { 8 } else { 4 };
        let used = be32(block, HEADER_BYTES) as usize;
        let end = block.len() - if self.seed.is_some() { TAIL_BYTES } else { 0 };
        if pending.revoked.len() > REVOKED_MAX {
            return Err(Ext4Error::Journal { what: "a transaction revokes more blocks than one may" });
        }
        if used > end {
            return Err(Ext4Error::Journal { what: "a list of revoked blocks is longer than its block" });
        }
        let list = block.get(HEADER_BYTES + 4..used).unwrap_or_default();
        pending.revoked.extend(list.chunks_exact(size).map(|entry| match self.wide {
            true => join(be32(entry, 0), be32(entry, 4)),
            false => u64::from(be32(entry, 0)),
        }));
        Ok(())
    }

    fn tail_is_right(&self, block: &[u8]) -> bool {
        let (body, tail) = block.split_at(block.len() - TAIL_BYTES);
        self.seed.is_none_or(|seed| crc32c(crc32c(seed, body), &[0; TAIL_BYTES]) == be32(tail, 0))
    }

    fn commit_is_right(&self, block: &[u8]) -> bool {
        let sum = |seed| crc32c(crc32c(crc32c(seed, &block[..0x10]), &[0; 4]), &block[0x14..]);
        self.seed.is_none_or(|seed| sum(seed) == be32(block, 0x10))
    }

    fn next(&self, at: u32, by: u32) -> u32 {
        self.first + (at - self.first + by) % (self.end - self.first)
    }

    fn block(&self, at: u32) -> Result<Arc<[u8]>, Ext4Error> {
        Ok(self.block_at(at)?.1)
    }

    fn block_at(&self, at: u32) -> Result<(u64, Arc<[u8]>), Ext4Error> {
        block_of(self.fs, self.inode, at)
    }
}

impl Pending {
    /// The transaction is whole: takes over what it wrote, then forgets what it revoked.
    fn settle(self, replayed: &mut Replayed) -> Result<(), Ext4Error> {
        for tag in self.blocks {
            if !tag.right {
                return Err(Ext4Error::Journal {
                    what: "a block of a whole transaction has the wrong checksum",
                });
            }
            replayed.insert(tag.block, tag.newer);
        }
        for block in self.revoked {
            replayed.remove(&block);
        }
        Ok(())
    }
}

/// A block of the journal: where it is on the disk, and what it holds.
fn block_of(fs: &Ext4, inode: &Inode, at: u32) -> Result<(u64, Arc<[u8]>), Ext4Error> {
    let (Some(place), _) = fs.map(inode, u64::from(at))? else {
        return Err(Ext4Error::Journal { what: "it has a hole" });
    };
    let mut block = vec![0; fs.superblock.block_bytes];
    fs.blocks.read(&mut block, place, 0)?;
    Ok((place, block.into()))
}

fn superblock_is_right(block: &[u8]) -> bool {
    let crc32c_kind = 4;
    let sum = crc32c(crc32c(crc32c(!0, &block[..0xfc]), &[0; 4]), &block[0x100..0x400]);
    u8_at(block, 0x50) == crc32c_kind && sum == be32(block, 0xfc)
}
