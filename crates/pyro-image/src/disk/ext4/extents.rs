//! Where a file's content is: its tree of extents, searched for one place at a time, so that a hostile tree costs no more
//! than an honest one. It must not know what the content is.

use super::Ext4;
use super::Ext4Error;
use super::FileKind;
use super::Inode;
use super::fields::join;
use super::fields::le16;
use super::fields::le32;

const MAGIC: u16 = 0xf30a;
/// A tree of this depth has room for every block a file can have.
const DEPTH_MAX: u16 = 5;
const ENTRY_BYTES: usize = 12;
/// An extent with more blocks than this holds that many less, allocated and not written.
const WRITTEN_BLOCKS_MAX: u16 = 32_768;
const LOGICAL_END: u64 = 1 << 32;

/// What a file has from some place on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// So many bytes that are stored.
    Data(u64),
    /// So many zeros that are not.
    Hole(u64),
    /// The file is over.
    End,
}

/// Where blocks of a file are, or `None` for a hole, and how many the answer is for.
type Mapped = (Option<u64>, u64);

impl Ext4 {
    /// Fills `buffer` from byte `offset` of a regular file on; says how much of it, less only where the file ends.
    ///
    /// # Errors
    /// [`Ext4Error`].
    pub fn read_at(&self, inode: &Inode, buffer: &mut [u8], offset: u64) -> Result<usize, Ext4Error> {
        if inode.kind != FileKind::File {
            return Err(Ext4Error::Kind { inode: inode.number, wanted: "regular file" });
        }
        self.read_content(inode, buffer, offset)
    }

    /// What a regular file has from byte `offset` on. A run may be cut: more of the same may follow.
    ///
    /// # Errors
    /// [`Ext4Error`].
    pub fn run_at(&self, inode: &Inode, offset: u64) -> Result<Run, Ext4Error> {
        let Some(rest) = inode.size_bytes.checked_sub(offset).filter(|rest| *rest > 0) else {
            return Ok(Run::End);
        };
        let size = self.superblock.block_bytes as u64;
        let (place, blocks) = self.map(inode, offset / size)?;
        let bytes = (blocks * size - offset % size).min(rest);
        Ok(if place.is_some() { Run::Data(bytes) } else { Run::Hole(bytes) })
    }

    /// The same as [`Self::read_at`] of whatever kind has content.
    pub(super) fn read_content(
        &self,
        inode: &Inode,
        buffer: &mut [u8],
        offset: u64,
    ) -> Result<usize, Ext4Error> {
        let rest = usize::try_from(inode.size_bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(rest);
        let (mut rest, mut offset) = (&mut buffer[..wanted], offset);
        let size = self.superblock.block_bytes as u64;
        while !rest.is_empty() {
            let (place, blocks) = self.map(inode, offset / size)?;
            let run = usize::try_from(blocks * size - offset % size).unwrap_or(usize::MAX);
            let length = run.min(rest.len());
            let (piece, after) = rest.split_at_mut(length);
            match place {
                Some(block) => {
                    self.blocks.read(piece, block, usize::try_from(offset % size).unwrap_or_default())?;
                }
                None => piece.fill(0),
            }
            (rest, offset) = (after, offset + length as u64);
        }
        Ok(wanted)
    }

    /// Where block `logical` of a file is.
    pub(super) fn map(&self, inode: &Inode, logical: u64) -> Result<Mapped, Ext4Error> {
        let corrupt = |what| Ext4Error::Corrupt { inode: inode.number, what };
        if !inode.has_extents {
            return Err(Ext4Error::Unsupported { inode: inode.number, what: "blocks without extents" });
        }
        let mut search = Search { logical, end: LOGICAL_END };
        if logical >= LOGICAL_END {
            return Err(corrupt("it has a block beyond the last a file can have"));
        }
        let mut depth = le16(&inode.block, 6);
        if depth > DEPTH_MAX {
            return Err(corrupt("its tree of extents is too deep"));
        }
        let mut step = search.node(&inode.block, depth).map_err(corrupt)?;
        while let Step::Child(block) = step {
            depth = depth.checked_sub(1).ok_or(corrupt("its tree of extents is too deep"))?;
            step = search.node(&self.blocks.get(block)?, depth).map_err(corrupt)?;
        }
        let Step::Found(place, blocks) = step else {
            return Err(corrupt("its tree of extents ends nowhere"));
        };
        let end = place.map(|place| place.checked_add(blocks));
        if end.is_some_and(|end| end.is_none_or(|end| end > self.blocks.count())) {
            return Err(corrupt("an extent lies beyond the last block"));
        }
        Ok((place, blocks))
    }
}

/// A search for one block; what is found holds at most up to `end`, where the next subtree begins.
struct Search {
    logical: u64,
    end: u64,
}

enum Step {
    Child(u64),
    Found(Option<u64>, u64),
}

impl Search {
    fn node(&mut self, node: &[u8], depth: u16) -> Result<Step, &'static str> {
        let (entries, depth_found) = (usize::from(le16(node, 2)), le16(node, 6));
        let end = (entries + 1) * ENTRY_BYTES;
        if le16(node, 0) != MAGIC || depth_found != depth {
            return Err("a node of its tree of extents is none");
        }
        let Some(bytes) = node.get(ENTRY_BYTES..end) else {
            return Err("a node of its tree of extents is longer than its block");
        };
        let (entries, _) = bytes.as_chunks::<ENTRY_BYTES>();
        let after = entries.partition_point(|entry| u64::from(le32(entry, 0)) <= self.logical);
        if let Some(next) = entries.get(after) {
            self.end = self.end.min(u64::from(le32(next, 0)));
        }
        let hole = Step::Found(None, self.end.saturating_sub(self.logical).max(1));
        let Some(entry) = after.checked_sub(1).and_then(|index| entries.get(index)) else { return Ok(hole) };
        if depth > 0 {
            return Ok(Step::Child(join(u32::from(le16(entry, 8)), le32(entry, 4))));
        }
        let (length, written) = match le16(entry, 4) {
            length @ ..=WRITTEN_BLOCKS_MAX => (length, true),
            length => (length - WRITTEN_BLOCKS_MAX, false),
        };
        let within = self.logical.saturating_sub(u64::from(le32(entry, 0)));
        let Some(left) = u64::from(length).checked_sub(within).filter(|left| *left > 0) else {
            return Ok(hole);
        };
        let place = join(u32::from(le16(entry, 6)), le32(entry, 8));
        if place == 0 {
            return Err("an extent lies at the superblock");
        }
        let left = left.min(self.end.saturating_sub(self.logical)).max(1);
        Ok(Step::Found(written.then_some(place.saturating_add(within)), left))
    }
}
