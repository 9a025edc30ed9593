//! The tree that says where a file's blocks are, built from its leaves up. It must not know what is in the blocks.

use super::BuildError;

/// Entries of a block of the tree.
pub(super) const BLOCK_ENTRIES: usize = 340;
/// Entries of the part that is in the inode.
const ROOT_ENTRIES: usize = 4;
const MAGIC: u16 = 0xf30a;
/// Most blocks of one extent.
const LENGTH_MAX: u64 = 32_768;
const ROOT_BYTES: usize = 60;
const BLOCK_BYTES: usize = 4096;

/// Blocks of a file that lie behind one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    logical: u64,
    at: u64,
    length: u64,
}

/// A tree: its root, as it is in the inode, and how many blocks the rest took.
pub(super) struct Tree {
    pub(super) root: [u8; ROOT_BYTES],
    pub(super) blocks: u64,
}

impl Extent {
    pub(super) const fn blocks(&self) -> u64 {
        self.length
    }

    /// Adds blocks behind those there are, to the last extent if they lie behind it.
    pub(super) fn push(extents: &mut Vec<Self>, logical: u64, at: u64, length: u64) {
        if let Some(last) = extents.last_mut()
            && last.logical + last.length == logical
            && last.at + last.length == at
            && last.length + length <= LENGTH_MAX
        {
            last.length += length;
            return;
        }
        extents.push(Self { logical, at, length });
    }
}

/// Builds the tree; `put` writes a block of it and says where.
pub(super) fn tree(
    extents: Vec<Extent>,
    put: &mut dyn FnMut(&[u8]) -> Result<u64, BuildError>,
) -> Result<Tree, BuildError> {
    let (mut entries, mut depth, mut blocks) = (extents, 0, 0);
    while entries.len() > ROOT_ENTRIES {
        let mut above = Vec::new();
        for chunk in entries.chunks(BLOCK_ENTRIES) {
            let block = encode(chunk, depth, BLOCK_ENTRIES, BLOCK_BYTES);
            let at = put(&block)?;
            blocks += 1;
            above.push(Extent { logical: chunk.first().map_or(0, |first| first.logical), at, length: 0 });
        }
        (entries, depth) = (above, depth + 1);
    }
    let mut root = [0; ROOT_BYTES];
    root.copy_from_slice(&encode(&entries, depth, ROOT_ENTRIES, ROOT_BYTES));
    Ok(Tree { root, blocks })
}

fn encode(entries: &[Extent], depth: u16, most: usize, bytes: usize) -> Vec<u8> {
    let mut node = Vec::with_capacity(bytes);
    let count = |count: usize| u16::try_from(count).unwrap_or(u16::MAX).to_le_bytes();
    node.extend_from_slice(&MAGIC.to_le_bytes());
    node.extend_from_slice(&count(entries.len()));
    node.extend_from_slice(&count(most));
    node.extend_from_slice(&depth.to_le_bytes());
    node.extend_from_slice(&[0; 4]);
    for entry in entries {
        // Images have less than 2^32 blocks, so the high parts of places are always 0.
        let low = |number: u64| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
        node.extend_from_slice(&low(entry.logical));
        if depth == 0 {
            node.extend_from_slice(&u16::try_from(entry.length).unwrap_or(u16::MAX).to_le_bytes());
            node.extend_from_slice(&[0; 2]);
            node.extend_from_slice(&low(entry.at));
        } else {
            node.extend_from_slice(&low(entry.at));
            node.extend_from_slice(&[0; 4]);
        }
    }
    node.resize(bytes, 0);
    node
}
