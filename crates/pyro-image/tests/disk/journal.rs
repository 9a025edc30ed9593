//! Disks of which the journal was not played back, as a guest leaves one that is killed.

use crate::support::RW;
use crate::support::debugfs;
use crate::support::described;
use crate::support::mkfs;
use crate::support::names;
use crate::support::open;
use crate::support::run;
use pyro_image::disk::Ext4;
use pyro_image::disk::Ext4Error;
use pyro_image::disk::MergedRoot;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::path::PathBuf;

const BLOCK: usize = 4096;

/// Two states of one disk, and the numbers of the blocks that differ.
struct States {
    dir: tempfile::TempDir,
    before: PathBuf,
    after: PathBuf,
    blocks: Vec<usize>,
}

fn states() -> States {
    let dir = tempfile::tempdir().unwrap();
    let (before, after) = (dir.path().join("before"), dir.path().join("after"));
    let content = dir.path().join("content");
    // The content begins as the journal's own blocks do, so it has to be escaped there.
    std::fs::write(&content, [&0xc03b_3998_u32.to_be_bytes()[..], &[b'c'; 6000]].concat()).unwrap();
    mkfs(&before, None, RW, 16);
    debugfs(&before, &["mkdir old", "mkdir stays"]);
    std::fs::copy(&before, &after).unwrap();
    let write = format!("write {} new/file", content.display());
    debugfs(&after, &["rmdir old", "mkdir new", &write, "symlink link target"]);
    let (old, new) = (std::fs::read(&before).unwrap(), std::fs::read(&after).unwrap());
    let differ = |index: &usize| old[index * BLOCK..][..BLOCK] != new[index * BLOCK..][..BLOCK];
    let blocks = (0..old.len() / BLOCK).filter(differ).collect();
    States { dir, before, after, blocks }
}

impl States {
    /// Writes the blocks of the later state into the earlier one's journal.
    fn journal(&self, blocks: &[usize], options: &str) -> String {
        self.write(&self.after, blocks, options)
    }

    fn write(&self, state: &Path, blocks: &[usize], options: &str) -> String {
        let later = std::fs::read(state).unwrap();
        let path = self.dir.path().join(format!("blocks-{}-{}", blocks.len(), blocks[0]));
        let bytes: Vec<u8> =
            blocks.iter().flat_map(|index| later[index * BLOCK..][..BLOCK].to_vec()).collect();
        std::fs::write(&path, bytes).unwrap();
        let list: Vec<String> = blocks.iter().map(usize::to_string).collect();
        format!("jw {options} -b {} {}", list.join(","), path.display())
    }
}

fn tree(image: &Path) -> crate::support::Facts {
    let fs = open(image);
    described(&MergedRoot::of_base(fs), "/")
}

fn after_e2fsck(image: &Path) -> crate::support::Facts {
    let copy = image.with_extension("checked");
    std::fs::copy(image, &copy).unwrap();
    run("/sbin/e2fsck", &[OsStr::new("-E"), OsStr::new("journal_only"), OsStr::new("-fy"), copy.as_os_str()]);
    described(&MergedRoot::of_base(open(&copy)), "/")
}

#[test]
fn whole_transactions_count_with_checksums_and_without() {
    for kind in ["jo", "jo -c -v 3"] {
        let states = states();
        let (first, second) = states.blocks.split_at(states.blocks.len() / 2);
        let commands = [kind, &states.journal(first, ""), &states.journal(second, ""), "jc"];
        debugfs(&states.before, &commands);
        let found = tree(&states.before);
        assert_eq!(names(&found), ["link", "lost+found", "new", "new/file", "stays"]);
        assert!(found[&b"new/file"[..]].content.ends_with(b"ccc"));
        assert_eq!(found[&b"new/file"[..]].content[..4], 0xc03b_3998_u32.to_be_bytes());
        assert_eq!(found, after_e2fsck(&states.before), "{kind}");
    }
}

#[test]
fn a_transaction_without_its_end_does_not_count() {
    let states = states();
    let whole = states.write(&states.before, &states.blocks[1..], "");
    let cut = states.journal(&states.blocks, "-c");
    debugfs(&states.before, &["jo -c -v 3", &whole, &cut, "jc"]);
    assert_eq!(names(&tree(&states.before)), ["lost+found", "old", "stays"]);
}

#[test]
fn revoked_blocks_are_not_played_back_and_later_ones_are() {
    let states = states();
    let list: Vec<String> = states.blocks.iter().map(usize::to_string).collect();
    let revoke = format!("jw -r {}", list.join(","));
    let commands = ["jo -c -v 3", &states.journal(&states.blocks, ""), &revoke, "jc"];
    debugfs(&states.before, &commands);
    assert_eq!(names(&tree(&states.before)), ["lost+found", "old", "stays"]);
    assert_eq!(tree(&states.before), after_e2fsck(&states.before));

    let again = self::states();
    let write = again.journal(&again.blocks, "");
    let list: Vec<String> = again.blocks.iter().map(usize::to_string).collect();
    let revoke = format!("jw -r {}", list.join(","));
    debugfs(&again.before, &["jo -c -v 3", &revoke, &write, "jc"]);
    assert_eq!(names(&tree(&again.before)), ["link", "lost+found", "new", "new/file", "stays"]);
}

#[test]
fn a_whole_transaction_with_a_damaged_block_is_an_error() {
    let states = states();
    debugfs(&states.before, &["jo -c -v 3", &states.journal(&states.blocks, ""), "jc"]);
    let image = File::options().read(true).write(true).open(&states.before).unwrap();
    let bytes = std::fs::read(&states.before).unwrap();
    // The content stands in the journal with its first four bytes gone, and nowhere else.
    let at = bytes.windows(64).position(|window| window == [b'c'; 64]).unwrap();
    image.write_all_at(b"d", at as u64).unwrap();
    let error = Ext4::open(Box::new(image)).unwrap_err();
    assert!(matches!(error, Ext4Error::Journal { .. }), "{error}");
}
