//! How much a walk may hold and do, on disks that may be forged: names of the folders it is in, and holes of files. This file
//! must not read a disk.

use super::MergedError;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

/// Most bytes of names that are held at once, of all folders from the root to where a walk is.
const NAMES_BYTES_MAX: usize = 512 << 20;
/// What a name in a map takes beside its bytes, about.
const NAME_BYTES: usize = 96;

/// Names that a walk holds.
#[derive(Debug)]
pub(in crate::disk) struct Held {
    bytes: usize,
    bytes_max: usize,
}

impl Default for Held {
    fn default() -> Self {
        Self { bytes: 0, bytes_max: NAMES_BYTES_MAX }
    }
}

impl Held {
    /// Takes the names of a folder into account; says for how many bytes, to be given to [`Self::release`].
    pub(in crate::disk) fn hold<T>(&mut self, names: &BTreeMap<Vec<u8>, T>) -> Result<usize, MergedError> {
        let bytes = names.keys().map(|name| name.len() + NAME_BYTES).sum();
        self.bytes += bytes;
        if self.bytes > self.bytes_max {
            return Err(MergedError::TooManyNames { bytes_max: self.bytes_max });
        }
        Ok(bytes)
    }

    pub(in crate::disk) const fn release(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// Holes that may still be found. Each ends where something on the disk says so, and an honest disk says it for one file only.
#[derive(Debug)]
pub(super) struct Holes(AtomicU64);

impl Holes {
    /// Enough for reading all files of a disk with so many blocks several times.
    pub(super) const fn for_blocks(blocks: u64) -> Self {
        Self(AtomicU64::new(blocks.saturating_mul(8).saturating_add(1 << 16)))
    }

    /// Whether another one may be found.
    pub(super) fn take(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_open_folders_count_together() {
        let names =
            |count: u32| (0..count).map(|n| (n.to_be_bytes().to_vec(), ())).collect::<BTreeMap<_, _>>();
        let mut held = Held { bytes: 0, bytes_max: 1000 };
        let first = held.hold(&names(6)).unwrap();
        assert_eq!(first, 600);
        let second = held.hold(&names(4)).unwrap();
        held.release(second);
        assert!(matches!(held.hold(&names(5)), Err(MergedError::TooManyNames { bytes_max: 1000 })));
    }
}
