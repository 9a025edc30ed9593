//! The header of an overlay, read with suspicion. It must not follow what the header points at.

use super::CLUSTER_BITS;
use super::CLUSTER_BYTES;
use super::HEADER_BYTES;
use super::INCOMPATIBLE_EXTENDED_L2;
use super::L1_ENTRY_BYTES;
use super::L2_SPAN_BYTES;
use super::MAGIC;
use super::Qcow2Error;
use super::SIZE_BYTES_MAX;
use super::VERSION;

/// Refcounts may be wrong: a reader does not look at them.
const INCOMPATIBLE_DIRTY: u64 = 1;

/// What a reader needs to know.
pub(super) struct Header {
    pub(super) size_bytes: u64,
    pub(super) l1_at: u64,
    pub(super) l1_entries: u64,
}

impl Header {
    /// Reads the first bytes of a file of `file_bytes`.
    pub(super) fn parse(bytes: &[u8; HEADER_BYTES as usize], file_bytes: u64) -> Result<Self, Qcow2Error> {
        let unsupported = |what| Err(Qcow2Error::Unsupported { what });
        if be32(bytes, 0) != MAGIC {
            return Err(Qcow2Error::NotQcow2);
        }
        if be32(bytes, 4) != VERSION {
            return unsupported("a version other than 3");
        }
        if be64(bytes, 8) != 0 || be32(bytes, 16) != 0 {
            return unsupported("a backing file named in the image");
        }
        if be32(bytes, 20) != CLUSTER_BITS {
            return unsupported("clusters other than of 64 KiB");
        }
        if be32(bytes, 32) != 0 {
            return unsupported("encryption");
        }
        if be32(bytes, 60) != 0 {
            return unsupported("internal snapshots");
        }
        match be64(bytes, 72) & !INCOMPATIBLE_DIRTY {
            INCOMPATIBLE_EXTENDED_L2 => {}
            0 => return unsupported("clusters without subclusters"),
            _ => return unsupported("a feature unknown here"),
        }
        let header = Self {
            size_bytes: be64(bytes, 24),
            l1_at: be64(bytes, 40),
            l1_entries: u64::from(be32(bytes, 36)),
        };
        header.check(file_bytes)
    }

    fn check(self, file_bytes: u64) -> Result<Self, Qcow2Error> {
        let corrupt = |what| Err(Qcow2Error::Corrupt { what, offset: 0 });
        if self.size_bytes == 0 || self.size_bytes > SIZE_BYTES_MAX {
            return corrupt("its disk is empty or beyond 16 TiB");
        }
        let needed = self.size_bytes.div_ceil(L2_SPAN_BYTES);
        if self.l1_entries < needed {
            return corrupt("its L1 table is too short for its disk");
        }
        let end = self.l1_at.checked_add(needed * L1_ENTRY_BYTES);
        if self.l1_at < CLUSTER_BYTES
            || !self.l1_at.is_multiple_of(CLUSTER_BYTES)
            || end.is_none_or(|end| end > file_bytes)
        {
            return corrupt("its L1 table is not where one can be");
        }
        // Entries for what lies beyond the disk are of no interest.
        Ok(Self { l1_entries: needed, ..self })
    }
}

fn be32(bytes: &[u8; HEADER_BYTES as usize], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |field| u32::from_be_bytes(*field))
}

fn be64(bytes: &[u8; HEADER_BYTES as usize], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |field| u64::from_be_bytes(*field))
}
