//! Reads an overlay: where each part of its disk is kept. What is in the file is hostile: it was written by an emulator that a
//! guest may have taken over. So nothing is used before it was checked, and no more is kept than [`TABLES_MAX`] tables. This
//! file must not write, and must not know what lies below the overlay.

use super::CLUSTER_BYTES;
use super::HEADER_BYTES;
use super::L1_ENTRY_BYTES;
use super::L2_ENTRY_BYTES;
use super::L2_SPAN_BYTES;
use super::SUBCLUSTER_BYTES;
use super::SUBCLUSTERS;
use super::header::Header;
use crate::disk::read_at::ReadAt;
use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

/// Most L2 tables kept: 64 KiB each, for 4 GiB of the disk.
const TABLES_MAX: usize = 16;
/// Where L1 and L2 entries hold a place in the file.
const PLACE_MASK: u64 = 0x00ff_ffff_ffff_fe00;
const COPIED: u64 = 1 << 63;
const COMPRESSED: u64 = 1 << 62;

/// Why an overlay cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Qcow2Error {
    /// It starts with something else.
    #[error("it is no qcow2 image")]
    NotQcow2,
    /// It uses what no overlay of ours does.
    #[error("it has {what}, which is not supported")]
    Unsupported {
        /// What it has.
        what: &'static str,
    },
    /// It contradicts itself.
    #[error("it is damaged: {what} (at byte {offset} of its disk)")]
    Corrupt {
        /// What is wrong.
        what: &'static str,
        /// The byte of its disk that was looked for.
        offset: u64,
    },
    /// The file cannot be read.
    #[error("reading it at byte {offset}")]
    Read {
        /// Where in the file.
        offset: u64,
        /// What the system said.
        source: io::Error,
    },
}

/// Where a part of an overlay's disk is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the overlay's file, at this byte.
    Data(u64),
    /// Nowhere: it reads as zeros.
    Zero,
    /// In the layer below.
    Below,
}

/// An overlay, open for reading.
pub struct Qcow2<F> {
    file: F,
    file_bytes: u64,
    size_bytes: u64,
    l1: Vec<u64>,
    tables: Mutex<Vec<(u64, Arc<Vec<u8>>)>>,
}

impl<F> std::fmt::Debug for Qcow2<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Qcow2").field("size_bytes", &self.size_bytes).finish_non_exhaustive()
    }
}

impl<F: ReadAt> Qcow2<F> {
    /// Reads the header and the L1 table.
    ///
    /// # Errors
    /// [`Qcow2Error`]; everything that no overlay of [`super::create_overlay`] has is refused.
    pub fn open(file: F) -> Result<Self, Qcow2Error> {
        let file_bytes = file.size_bytes().map_err(|source| Qcow2Error::Read { offset: 0, source })?;
        let mut header = [0; HEADER_BYTES as usize];
        if file_bytes < u64::from(HEADER_BYTES) {
            return Err(Qcow2Error::NotQcow2);
        }
        read(&file, &mut header, 0)?;
        let header = Header::parse(&header, file_bytes)?;
        // The header's check bounds it: half a MiB for the largest disk.
        let mut l1 = vec![0; usize::try_from(header.l1_entries * L1_ENTRY_BYTES).unwrap_or_default()];
        read(&file, &mut l1, header.l1_at)?;
        let l1 = l1.as_chunks().0.iter().map(|entry| u64::from_be_bytes(*entry)).collect();
        Ok(Self { file, file_bytes, size_bytes: header.size_bytes, l1, tables: Mutex::new(Vec::new()) })
    }

    /// Bytes of its disk.
    pub const fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Where byte `offset` of the disk is kept, and for how many bytes from there on that holds: at least one, and never
    /// beyond the disk's end. Beyond the disk, all is zeros.
    ///
    /// # Errors
    /// [`Qcow2Error::Read`], and `Corrupt` or `Unsupported` when the entry for that byte is no good.
    pub fn locate(&self, offset: u64) -> Result<(Place, u64), Qcow2Error> {
        let Some(rest) = self.size_bytes.checked_sub(offset).filter(|rest| *rest > 0) else {
            return Ok((Place::Zero, u64::MAX - offset));
        };
        let (index, within) = (offset / L2_SPAN_BYTES, offset % L2_SPAN_BYTES);
        let entry = usize::try_from(index).ok().and_then(|index| self.l1.get(index)).copied().unwrap_or(0);
        let Some(table_at) = self.table_at(entry, offset)? else {
            return Ok((Place::Below, rest.min(L2_SPAN_BYTES - within)));
        };
        let table = self.table(table_at)?;
        let (place, run) = locate_in(&table, within, offset)?;
        if let Place::Data(at) = place {
            self.check_data(at, offset)?;
        }
        Ok((place, run.min(rest)))
    }

    /// Fills `buffer` with what is at byte `at` of the file; bytes beyond its end are zeros, as the emulator has it for a
    /// last cluster that was not written to its end.
    pub(in crate::disk) fn read_file(&self, buffer: &mut [u8], at: u64) -> Result<(), Qcow2Error> {
        let there = self.file_bytes.saturating_sub(at);
        let split = usize::try_from(there).unwrap_or(usize::MAX).min(buffer.len());
        let (data, beyond) = buffer.split_at_mut(split);
        beyond.fill(0);
        read(&self.file, data, at)
    }

    fn table_at(&self, entry: u64, offset: u64) -> Result<Option<u64>, Qcow2Error> {
        let at = entry & PLACE_MASK;
        if entry & !(PLACE_MASK | COPIED) != 0 {
            return Err(Qcow2Error::Corrupt { what: "an L1 entry has bits that mean nothing", offset });
        }
        if at == 0 {
            return Ok(None);
        }
        let ends = at.checked_add(CLUSTER_BYTES).is_some_and(|end| end <= self.file_bytes);
        if !at.is_multiple_of(CLUSTER_BYTES) || !ends {
            return Err(Qcow2Error::Corrupt { what: "an L2 table is not where one can be", offset });
        }
        Ok(Some(at))
    }

    fn check_data(&self, at: u64, offset: u64) -> Result<(), Qcow2Error> {
        let cluster = at & !(CLUSTER_BYTES - 1);
        if cluster == 0 || cluster >= self.file_bytes {
            return Err(Qcow2Error::Corrupt { what: "a cluster is not where one can be", offset });
        }
        Ok(())
    }

    /// The table at byte `at` of the file: the one used last stands last, and the first goes when there are too many.
    fn table(&self, at: u64) -> Result<Arc<Vec<u8>>, Qcow2Error> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = tables.iter().rposition(|(place, _)| *place == at) {
            if found + 1 < tables.len() {
                tables[found..].rotate_left(1);
            }
        } else {
            let mut table = vec![0; CLUSTER_BYTES as usize];
            read(&self.file, &mut table, at)?;
            if tables.len() >= TABLES_MAX {
                tables.remove(0);
            }
            tables.push((at, Arc::new(table)));
        }
        tables
            .last()
            .map(|(_, table)| Arc::clone(table))
            .ok_or(Qcow2Error::Corrupt { what: "a table is gone", offset: at })
    }
}

fn read(file: &impl ReadAt, buffer: &mut [u8], offset: u64) -> Result<(), Qcow2Error> {
    file.read_exact_at(buffer, offset).map_err(|source| Qcow2Error::Read { offset, source })
}

/// What a table says of its byte `within`, and for how many bytes: clusters that are wholly below are taken together.
fn locate_in(table: &[u8], within: u64, offset: u64) -> Result<(Place, u64), Qcow2Error> {
    let (place, mut run) = subcluster(entry(table, within / CLUSTER_BYTES), within % CLUSTER_BYTES, offset)?;
    if place == Place::Below {
        let mut next = within + run;
        while next < L2_SPAN_BYTES
            && next.is_multiple_of(CLUSTER_BYTES)
            && entry(table, next / CLUSTER_BYTES) == (0, 0)
        {
            next += CLUSTER_BYTES;
            run += CLUSTER_BYTES;
        }
    }
    Ok((place, run))
}

fn entry(table: &[u8], index: u64) -> (u64, u64) {
    let at = usize::try_from(index * L2_ENTRY_BYTES).unwrap_or(usize::MAX);
    let word =
        |at: usize| table.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u64::from_be_bytes(*word));
    (word(at), word(at.saturating_add(8)))
}

/// What an entry says of byte `within` of its cluster, and for how many bytes.
fn subcluster((place, bits): (u64, u64), within: u64, offset: u64) -> Result<(Place, u64), Qcow2Error> {
    let corrupt = |what| Err(Qcow2Error::Corrupt { what, offset });
    if place & COMPRESSED != 0 {
        return Err(Qcow2Error::Unsupported { what: "compressed clusters" });
    }
    let at = place & PLACE_MASK;
    if place & !(PLACE_MASK | COPIED) != 0 || !at.is_multiple_of(CLUSTER_BYTES) {
        return corrupt("an L2 entry has bits that mean nothing");
    }
    // The lower half says which subclusters are in the file, the upper one which read as zeros.
    let (allocated, zero) = (bits & 0xffff_ffff, bits >> 32);
    if allocated & zero != 0 || (at == 0 && allocated != 0) {
        return corrupt("an L2 entry contradicts itself");
    }
    let state = |index: u64| (allocated >> index & 1, zero >> index & 1);
    let first = within / SUBCLUSTER_BYTES;
    let same = (first..SUBCLUSTERS).take_while(|index| state(*index) == state(first)).count() as u64;
    let run = (first + same) * SUBCLUSTER_BYTES - within;
    let place = match state(first) {
        (1, _) => Place::Data(at + within),
        (_, 1) => Place::Zero,
        _ => Place::Below,
    };
    Ok((place, run))
}
