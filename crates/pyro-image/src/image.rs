//! Writes a folder's tree into one read-only ext4 image that is just large enough. This file must not know where the tree
//! comes from.

use crate::child::Task;
use crate::error::ImageError;
use crate::namespace;
use crate::namespace::Ids;
use crate::program;
use crate::progress::Phase;
use crate::pull::Work;
use std::path::Path;

const BLOCK_BYTES: u64 = 4096;
const INODE_BYTES: u64 = 256;
/// The same for every image: two builds of one tree should not differ for nothing.
const UUID: &str = "70797230-726f-4f74-8000-000000000001";
const HASH_SEED: &str = "70797230-7365-4564-8000-000000000002";
/// The most an image may take, in 4 KiB blocks: 64 GiB.
const BLOCKS_MAX: u64 = 16 << 20;

/// What a tree takes in an ext4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Extent {
    inodes: u64,
    blocks: u64,
}

impl Extent {
    /// Adds one file: `kind` as find's `%y`, its size in bytes and its number of links.
    fn add(&mut self, kind: &str, size_bytes: u64, links: u64) {
        let links = links.max(1);
        let content = size_bytes.div_ceil(BLOCK_BYTES);
        let blocks = match kind {
            // Large files have blocks for the tree of their extents too.
            "f" => content + content / 1024,
            // A folder's size says nothing on some file systems, and grows while it is filled.
            "d" => content.max(1) + 1,
            // Short targets live in the inode.
            "l" if size_bytes < 60 => 0,
            "l" => 1,
            _ => 0,
        };
        // Each name of a file with several is listed once, and counted for its share.
        self.blocks += blocks.div_ceil(if kind == "d" { 1 } else { links });
        self.inodes += 1;
    }

    /// Blocks of an image for it with `slack_percent` to spare.
    fn image_blocks(self, slack_percent: u64) -> u64 {
        let inode_blocks = (self.image_inodes() * INODE_BYTES).div_ceil(BLOCK_BYTES);
        let needed = self.blocks + inode_blocks;
        let groups = needed.div_ceil(32768) + 1;
        // Each group has bitmaps and may have a copy of the descriptors; the rest is for what mkfs keeps itself.
        needed + groups * 8 + needed * slack_percent / 100 + 1024
    }

    fn image_inodes(self) -> u64 {
        self.inodes + self.inodes / 50 + 64
    }
}

/// The image's file name.
pub(crate) const FILE: &str = "rootfs.ext4";

/// A tree to write: the folder `root` inside `dir`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tree<'a> {
    pub(crate) dir: &'a Path,
    /// Whose namespace the owners of its files are meant in.
    pub(crate) ids: Ids,
}

/// What mkfs is given whatever the size.
pub(crate) fn options() -> String {
    format!(
        "-q -F -b 4096 -m 0 -L pyro-base -U {UUID} -I 256 -O ^has_journal,^resize_inode \
         -E hash_seed={HASH_SEED},lazy_itable_init=0,nodiscard,root_owner=0:0"
    )
}

/// An image's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) blocks: u64,
    pub(crate) inodes: u64,
}

/// What find prints of a tree for [`sizes`].
pub(crate) const FIND_FORMAT: &str = "%y %s %n\\n";

/// Sizes to try for a tree, from what find printed of it: one is as a rule enough, mkfs knows better what it needs itself.
pub(crate) fn sizes(found: &str) -> impl Iterator<Item = Size> + use<> {
    let mut extent = Extent::default();
    for line in found.lines() {
        let mut words = line.split(' ');
        let kind = words.next().unwrap_or_default();
        let mut number = || words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        let (size_bytes, links) = (number(), number());
        extent.add(kind, size_bytes, links);
    }
    let size = move |slack| Size { blocks: extent.image_blocks(slack), inodes: extent.image_inodes() };
    [2, 12, 40].into_iter().map(size).filter(|size| size.blocks <= BLOCKS_MAX)
}

/// Writes the tree as the ext4 image [`FILE`] beside it.
pub(crate) fn write(work: &Work<'_>, tree: &Tree<'_>) -> Result<(), ImageError> {
    work.progress.phase(Phase::Image);
    let mut last = None;
    for size in sizes(&measure(work, tree)?) {
        // mkfs keeps the size of a file that exists.
        let _ = std::fs::remove_file(tree.dir.join(FILE));
        match make(work, tree, size)? {
            None => return Ok(()),
            Some(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(too_large))
}

/// The error for a tree for which there are no [`sizes`].
pub(crate) fn too_large() -> ImageError {
    ImageError::Step {
        operation: "writing the disk image",
        status: "not started".to_owned(),
        tail: "the root file system is larger than 64 GiB".to_owned(),
    }
}

/// Runs mkfs; `Some` is a failure that more room may cure.
fn make(work: &Work<'_>, tree: &Tree<'_>, size: Size) -> Result<Option<ImageError>, ImageError> {
    let mut command = namespace::with_ids(work.config, program::MKFS, tree.ids)?;
    command.args(options().split_whitespace()).args(["-N", &size.inodes.to_string()]);
    command.args(["-d", "root", FILE, &size.blocks.to_string()]).current_dir(tree.dir);
    let operation = "writing the disk image";
    let ended = Task::new(operation, command, work.cancel).lend(&work.lent).end(&mut |_| {})?;
    if ended.status.success() {
        return Ok(None);
    }
    let error = crate::kernel::failure(tree.dir, operation, &ended);
    let too_small = ended.stderr.contains("Could not allocate");
    if too_small { Ok(Some(error)) } else { Err(error) }
}

fn measure(work: &Work<'_>, tree: &Tree<'_>) -> Result<String, ImageError> {
    let mut command = namespace::with_ids(work.config, program::FIND, tree.ids)?;
    command.args(["root", "-xdev", "-printf", FIND_FORMAT]).current_dir(tree.dir);
    let operation = "measuring the root file system";
    let ended = Task::new(operation, command, work.cancel).lend(&work.lent).end(&mut |_| {})?;
    if !ended.status.success() {
        return Err(namespace::failure(operation, &ended));
    }
    Ok(String::from_utf8_lossy(&ended.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_files_take() {
        let mut extent = Extent::default();
        extent.add("f", 1, 1);
        extent.add("f", 4097, 1);
        extent.add("f", 0, 1);
        extent.add("l", 59, 1);
        extent.add("l", 60, 1);
        extent.add("d", 0, 2);
        extent.add("c", 0, 1);
        assert_eq!(extent, Extent { inodes: 7, blocks: 1 + 2 + 1 + 2 });
    }

    #[test]
    fn sizes_grow_and_nonsense_counts_for_nothing() {
        let sizes: Vec<Size> = sizes("d 4096 2\nf 100000 1\n\nx\nf -3 what\n").collect();
        assert_eq!(sizes.len(), 3);
        assert!(sizes[0].blocks < sizes[2].blocks);
        assert_eq!(super::sizes(&format!("f {} 1", 1_u64 << 40)).count(), 0);
    }

    #[test]
    fn an_image_has_room_for_its_tree_and_little_more() {
        let extent = Extent { inodes: 11_000, blocks: 60_000 };
        let blocks = extent.image_blocks(2);
        assert!(blocks > 60_000 + 700, "{blocks}");
        assert!(blocks < 64_000, "{blocks}");
    }
}
