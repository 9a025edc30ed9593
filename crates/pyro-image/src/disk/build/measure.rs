//! How much room a tree needs on an image: never less than it takes, a little more at most. It must not write anything.

use super::BLOCK;
use super::BuildError;
use super::extents::BLOCK_ENTRIES;
use super::folder::entry_bytes;
use super::inode::INLINE_BYTES;
use crate::disk::ext4::FileKind;
use crate::disk::ext4::Run;
use crate::disk::merged::Disk;
use crate::disk::merged::MergedError;
use crate::disk::merged::MergedRoot;
use crate::disk::merged::Node;
use crate::disk::merged::Visit;
use std::collections::HashSet;

/// Bytes of a folder's block that are sure to be used: an entry that does not fit leaves less than its own length.
const FOLDER_BYTES: u64 = BLOCK - 264;

/// Blocks after which a run of them surely is cut: a group less its own tables.
const GROUP_BLOCKS_MIN: u64 = 24_000;

/// What a tree needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Measured {
    pub(super) inodes: u64,
    pub(super) blocks: u64,
}

/// Adds everything up.
pub(super) fn measure(root: &MergedRoot) -> Result<Measured, BuildError> {
    let (mut sum, mut seen, mut names_bytes) = (Measured::default(), HashSet::<(Disk, u32)>::new(), 0);
    let most = root.room_bytes().saturating_mul(2) / BLOCK + 1;
    root.walk_nodes(&root.root()?, |entry, node| {
        let name = entry.path.components().last().unwrap_or_default();
        names_bytes += entry_bytes(name.len());
        let again = !node.is_folder()
            && node.metadata().links > 1
            && !seen.insert((node.disk(), node.metadata().number));
        if !again {
            sum.inodes += 1;
            sum.blocks += blocks(root, node)?;
        }
        // Files that share content on a forged disk would need more than both disks have.
        if sum.blocks > most {
            return Err(MergedError::TooMuch { disk: node.disk() });
        }
        Ok(Visit::Continue)
    })?;
    // Runs are cut at the borders of groups; names beyond what a count of links can say become files.
    sum.blocks += names_bytes / FOLDER_BYTES + sum.blocks / GROUP_BLOCKS_MIN + 16;
    Ok(sum)
}

fn blocks(root: &MergedRoot, node: &Node) -> Result<u64, MergedError> {
    let attributes = u64::from(!root.xattrs(node)?.is_empty());
    let content = match node.metadata().kind {
        FileKind::File => file(root, node)?,
        FileKind::Symlink => u64::from(node.metadata().size_bytes >= INLINE_BYTES as u64),
        FileKind::Directory => 1,
        FileKind::CharDevice | FileKind::BlockDevice | FileKind::Fifo | FileKind::Socket => 0,
    };
    Ok(attributes + content)
}

fn file(root: &MergedRoot, node: &Node) -> Result<u64, MergedError> {
    let (mut offset, mut next, mut blocks, mut runs) = (0, 0, 0, 0);
    loop {
        match root.run_at(node, offset)? {
            Run::End => break,
            Run::Hole(bytes) => offset += bytes,
            Run::Data(bytes) => {
                let first = (offset / BLOCK).max(next);
                offset += bytes;
                next = offset.div_ceil(BLOCK).max(first);
                blocks += next - first;
                runs += 1;
            }
        }
    }
    let extents = runs + blocks / GROUP_BLOCKS_MIN + 2;
    // Each level of the tree is a fraction of the one below it.
    let leaves = extents.div_ceil(BLOCK_ENTRIES as u64);
    let tree = if extents > 4 { leaves + leaves.div_ceil(BLOCK_ENTRIES as u64) + 2 } else { 0 };
    Ok(blocks + tree)
}
