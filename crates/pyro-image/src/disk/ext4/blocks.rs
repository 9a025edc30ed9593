//! Blocks of the disk: those with metadata kept for a while, those with content not; what the journal holds goes before what
//! the disk says. It must not know what is in a block.

use super::Ext4Error;
use super::superblock;
use super::superblock::Superblock;
use crate::disk::read_at::ReadAt;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

/// Blocks kept in each of two generations: 2 times 8 MiB of 4 KiB blocks.
const KEPT_MAX: usize = 2048;

/// Where the journal has the newest content of blocks.
pub(super) type Replayed = HashMap<u64, Newer>;

/// A block in the journal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Newer {
    /// Which block of the disk it is.
    pub(super) block: u64,
    /// Its first four bytes are not as they should be, because the journal would have taken them for its own.
    pub(super) escaped: bool,
}

/// The journal's own first bytes of each of its blocks.
pub(super) const JOURNAL_MAGIC: [u8; 4] = 0xc03b_3998_u32.to_be_bytes();

pub(super) struct Blocks {
    disk: Box<dyn ReadAt>,
    disk_bytes: u64,
    block_bytes: usize,
    count: u64,
    replayed: Replayed,
    kept: Mutex<Kept>,
}

/// Two generations: what is used moves to the young one, and when that is full, the old one is dropped.
#[derive(Default)]
struct Kept {
    young: HashMap<u64, Arc<[u8]>>,
    old: HashMap<u64, Arc<[u8]>>,
}

impl Kept {
    fn get(&mut self, block: u64) -> Option<Arc<[u8]>> {
        if let Some(found) = self.young.get(&block) {
            return Some(Arc::clone(found));
        }
        let found = self.old.remove(&block)?;
        self.put(block, Arc::clone(&found));
        Some(found)
    }

    fn put(&mut self, block: u64, bytes: Arc<[u8]>) {
        if self.young.len() >= KEPT_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(block, bytes);
    }
}

/// Reads the superblock of a disk.
pub(super) fn open(disk: Box<dyn ReadAt>) -> Result<(Blocks, Superblock), Ext4Error> {
    let disk_bytes = disk.size_bytes().map_err(|source| Ext4Error::Read { offset: 0, source })?;
    if disk_bytes < superblock::AT + superblock::BYTES as u64 {
        return Err(Ext4Error::NotExt4);
    }
    let mut bytes = [0; superblock::BYTES];
    read(&*disk, &mut bytes, superblock::AT)?;
    let found = Superblock::parse(&bytes, disk_bytes)?;
    let (block_bytes, count) = (found.block_bytes, found.blocks);
    let (replayed, kept) = (Replayed::new(), Mutex::default());
    Ok((Blocks { disk, disk_bytes, block_bytes, count, replayed, kept }, found))
}

impl Blocks {
    /// Blocks of the file system.
    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    /// Takes what the journal holds into account.
    pub(super) fn replay(&mut self, replayed: Replayed) {
        self.replayed = replayed;
        self.kept = Mutex::default();
    }

    /// The superblock as the journal has it. Its geometry must be the one the journal was found with.
    pub(super) fn superblock(&self) -> Result<Superblock, Ext4Error> {
        let at = usize::try_from(superblock::AT).unwrap_or_default();
        let block = self.get((at / self.block_bytes) as u64)?;
        let bytes = block.get(at % self.block_bytes..).and_then(<[u8]>::first_chunk);
        let found = Superblock::parse(bytes.ok_or(Ext4Error::NotExt4)?, self.disk_bytes)?;
        if found.block_bytes != self.block_bytes || found.blocks != self.count {
            return Err(Ext4Error::Journal { what: "it changes the size of the file system" });
        }
        Ok(Superblock { needs_recovery: true, ..found })
    }

    /// A block of metadata.
    pub(super) fn get(&self, block: u64) -> Result<Arc<[u8]>, Ext4Error> {
        if let Some(found) = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(block) {
            return Ok(found);
        }
        let mut bytes = vec![0; self.block_bytes];
        self.read(&mut bytes, block, 0)?;
        let bytes = Arc::<[u8]>::from(bytes);
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).put(block, Arc::clone(&bytes));
        Ok(bytes)
    }

    /// Fills `buffer` from byte `within` of `block` on, across the blocks that follow it.
    pub(super) fn read(&self, buffer: &mut [u8], block: u64, within: usize) -> Result<(), Ext4Error> {
        let size = self.block_bytes as u64;
        let beyond = Ext4Error::Superblock { what: "something points beyond the last block" };
        let start = block.checked_mul(size).and_then(|start| start.checked_add(within as u64));
        let end = start.and_then(|start| start.checked_add(buffer.len() as u64));
        let (Some(start), Some(end)) = (start, end) else { return Err(beyond) };
        if end > self.count * size {
            return Err(beyond);
        }
        if self.replayed.is_empty() {
            return read(&*self.disk, buffer, start);
        }
        let (mut rest, mut offset) = (buffer, start);
        while !rest.is_empty() {
            let within = usize::try_from(offset % size).unwrap_or_default();
            let length = (self.block_bytes - within).min(rest.len());
            let (piece, after) = rest.split_at_mut(length);
            self.read_piece(piece, offset / size, within)?;
            (rest, offset) = (after, offset + length as u64);
        }
        Ok(())
    }

    /// Reads within one block, from the journal if it has that.
    fn read_piece(&self, piece: &mut [u8], block: u64, within: usize) -> Result<(), Ext4Error> {
        let newer = self.replayed.get(&block);
        let from = newer.map_or(block, |newer| newer.block);
        read(&*self.disk, piece, from * self.block_bytes as u64 + within as u64)?;
        if newer.is_some_and(|newer| newer.escaped) {
            for (byte, magic) in piece.iter_mut().zip(JOURNAL_MAGIC.iter().skip(within)) {
                *byte = *magic;
            }
        }
        Ok(())
    }
}

fn read(disk: &dyn ReadAt, buffer: &mut [u8], offset: u64) -> Result<(), Ext4Error> {
    disk.read_exact_at(buffer, offset).map_err(|source| Ext4Error::Read { offset, source })
}
