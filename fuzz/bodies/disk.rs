//! How an input stands for a disk that is mostly zeros: its size in KiB, then pieces of it with their places. It must not
//! know what is on the disk.
//!
//! ```text
//!   input = size_kib u16 | (place u32 | length u16 | bytes)*        little-endian; what lies beyond the disk is dropped
//! ```

/// Largest disk an input may stand for, in KiB.
const SIZE_KIB_MAX: u16 = 4096;

/// The disk that an input stands for.
pub(crate) fn disk(input: &[u8]) -> Option<Vec<u8>> {
    let (size, mut rest) = input.split_first_chunk()?;
    let mut disk = vec![0; usize::from(u16::from_le_bytes(*size).min(SIZE_KIB_MAX)) << 10];
    while let Some((place, after)) = rest.split_first_chunk()
        && let Some((length, after)) = after.split_first_chunk()
    {
        let place = u32::from_le_bytes(*place) as usize;
        let length = usize::from(u16::from_le_bytes(*length)).min(after.len());
        let (piece, after) = after.split_at(length);
        if let Some(there) = disk.get_mut(place..place + length) {
            there.copy_from_slice(piece);
        }
        rest = after;
    }
    Some(disk)
}
