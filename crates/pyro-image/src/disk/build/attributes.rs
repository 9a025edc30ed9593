//! The block of an inode's extended attributes. It must not know what they mean, but that those of the overlay go: there is
//! none any more.

use crate::disk::ext4::Xattr;

const BLOCK_BYTES: usize = 4096;
const HEADER_BYTES: usize = 32;
const ENTRY_BYTES: usize = 16;
const MAGIC: u32 = 0xea02_0000;
/// How names begin, and the number they are stored with; longer ones before those that begin them.
const PREFIXES: [(&[u8], u8); 6] = [
    (b"system.posix_acl_access", 2),
    (b"system.posix_acl_default", 3),
    (b"user.", 1),
    (b"trusted.", 4),
    (b"security.", 6),
    (b"system.", 7),
];

/// They do not fit into a block.
pub(super) struct TooMany;

/// The block; nothing when there are no attributes.
pub(super) fn encode(attributes: &[Xattr]) -> Result<Option<Vec<u8>>, TooMany> {
    let kept = attributes.iter().filter(|attribute| !attribute.name.starts_with(b"trusted.overlay."));
    let mut kept: Vec<(u8, &[u8], &[u8])> = kept.filter_map(split).collect();
    if kept.is_empty() {
        return Ok(None);
    }
    // The order in which the kernel searches.
    kept.sort_by_key(|(prefix, name, _)| (*prefix, name.len(), *name));
    kept.dedup_by_key(|(prefix, name, _)| (*prefix, *name));
    let mut block = vec![0; BLOCK_BYTES];
    let (mut at, mut values, mut hash) = (HEADER_BYTES, BLOCK_BYTES, 0_u32);
    for (prefix, name, value) in kept {
        let value_at = values.checked_sub(value.len().next_multiple_of(4)).ok_or(TooMany)?;
        let end = at + (ENTRY_BYTES + name.len()).next_multiple_of(4);
        // Four zeros end the entries.
        if end + 4 > value_at {
            return Err(TooMany);
        }
        values = value_at;
        block[value_at..value_at + value.len()].copy_from_slice(value);
        let own = entry_hash(name, value);
        hash = hash.rotate_left(16) ^ own;
        let stored_at = if value.is_empty() { 0 } else { value_at };
        block[at] = u8::try_from(name.len()).map_err(|_| TooMany)?;
        block[at + 1] = prefix;
        block[at + 2..at + 4].copy_from_slice(&u16::try_from(stored_at).unwrap_or(0).to_le_bytes());
        block[at + 8..at + 12].copy_from_slice(&u32::try_from(value.len()).unwrap_or(0).to_le_bytes());
        block[at + 12..at + 16].copy_from_slice(&own.to_le_bytes());
        block[at + ENTRY_BYTES..at + ENTRY_BYTES + name.len()].copy_from_slice(name);
        at = end;
    }
    let header = [MAGIC, 1, 1, hash];
    for (index, field) in header.iter().enumerate() {
        block[index * 4..index * 4 + 4].copy_from_slice(&field.to_le_bytes());
    }
    Ok(Some(block))
}

/// The number of a name's beginning, the rest, and the value.
fn split(attribute: &Xattr) -> Option<(u8, &[u8], &[u8])> {
    PREFIXES.iter().find_map(|(prefix, number)| {
        Some((*number, attribute.name.strip_prefix(*prefix)?, attribute.value.as_slice()))
    })
}

fn entry_hash(name: &[u8], value: &[u8]) -> u32 {
    let hash = name.iter().fold(0_u32, |hash, byte| hash.rotate_left(5) ^ u32::from(*byte));
    value.chunks(4).fold(hash, |hash, chunk| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        hash.rotate_left(16) ^ u32::from_le_bytes(word)
    })
}
