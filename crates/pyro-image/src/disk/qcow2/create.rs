//! Makes an overlay in which nothing has been written yet. It must not read one.

use super::CLUSTER_BITS;
use super::CLUSTER_BYTES;
use super::HEADER_BYTES;
use super::INCOMPATIBLE_EXTENDED_L2;
use super::L1_ENTRY_BYTES;
use super::L2_SPAN_BYTES;
use super::MAGIC;
use super::SIZE_BYTES_MAX;
use super::VERSION;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const REFCOUNT_TABLE_AT: u64 = CLUSTER_BYTES;
const REFCOUNT_BLOCK_AT: u64 = 2 * CLUSTER_BYTES;
const L1_AT: u64 = 3 * CLUSTER_BYTES;
/// Refcounts have 16 bits, so one block counts 32,768 clusters: the 6 or so that a new overlay has and 2 GiB of data.
const REFCOUNT_ORDER: u32 = 4;

/// Writes an empty overlay for a disk of `size_bytes` into `file`, which must be empty itself. All of it reads as the layer
/// below, which the overlay does not name. Takes three blocks of the host's file system, whatever the size.
///
/// # Errors
/// `InvalidInput` when the size is 0, no multiple of 512 or beyond 16 TiB, `AlreadyExists` when the file is not empty, and
/// whatever writing fails with.
pub fn create_overlay(file: &File, size_bytes: u64) -> io::Result<()> {
    if size_bytes == 0 || !size_bytes.is_multiple_of(512) || size_bytes > SIZE_BYTES_MAX {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    if file.metadata()?.len() != 0 {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let l1_entries = size_bytes.div_ceil(L2_SPAN_BYTES);
    let clusters = (L1_AT + l1_entries * L1_ENTRY_BYTES).div_ceil(CLUSTER_BYTES);
    // The tables are holes that read as zeros, but for one refcount of 1 for each cluster there is.
    file.set_len(clusters * CLUSTER_BYTES)?;
    file.write_all_at(&[0, 1].repeat(usize::try_from(clusters).unwrap_or_default()), REFCOUNT_BLOCK_AT)?;
    file.write_all_at(&REFCOUNT_BLOCK_AT.to_be_bytes(), REFCOUNT_TABLE_AT)?;
    file.write_all_at(&header(size_bytes, u32::try_from(l1_entries).unwrap_or_default()), 0)
}

fn header(size_bytes: u64, l1_entries: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    let mut put = |field: &[u8]| bytes.extend_from_slice(field);
    put(&MAGIC.to_be_bytes());
    put(&VERSION.to_be_bytes());
    // No backing file: its name's place and length.
    put(&[0; 12]);
    put(&CLUSTER_BITS.to_be_bytes());
    put(&size_bytes.to_be_bytes());
    // No encryption.
    put(&[0; 4]);
    put(&l1_entries.to_be_bytes());
    put(&L1_AT.to_be_bytes());
    put(&REFCOUNT_TABLE_AT.to_be_bytes());
    put(&1_u32.to_be_bytes());
    // No internal snapshots: how many, and where.
    put(&[0; 12]);
    put(&INCOMPATIBLE_EXTENDED_L2.to_be_bytes());
    // No compatible and no autoclear features.
    put(&[0; 16]);
    put(&REFCOUNT_ORDER.to_be_bytes());
    put(&HEADER_BYTES.to_be_bytes());
    // The end of the header's extensions.
    put(&[0; 8]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn an_overlay_is_small_whatever_the_disk() {
        for size_bytes in [64 << 20, 2 << 30, (1 << 40) + 512, SIZE_BYTES_MAX] {
            let file = tempfile::tempfile().unwrap();
            create_overlay(&file, size_bytes).unwrap();
            let metadata = file.metadata().unwrap();
            assert!(metadata.blocks() * 512 <= 3 * 4096, "{} blocks", metadata.blocks());
            assert!(metadata.len() < 1 << 20);
        }
    }

    #[test]
    fn sizes_that_no_disk_has_and_files_that_hold_something_are_refused() {
        for size_bytes in [0, 511, 513, SIZE_BYTES_MAX + 512, u64::MAX] {
            let error = create_overlay(&tempfile::tempfile().unwrap(), size_bytes).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
        let file = tempfile::tempfile().unwrap();
        file.set_len(1).unwrap();
        let error = create_overlay(&file, 64 << 20).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    }
}
