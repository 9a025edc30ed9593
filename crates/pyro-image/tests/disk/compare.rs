//! What changed between two states of one workspace.

use crate::support::BASE;
use crate::support::RW;
use crate::support::debugfs;
use crate::support::mkfs;
use crate::support::open;
use pyro_image::disk::Change;
use pyro_image::disk::MergedRoot;
use pyro_image::disk::compare;
use pyro_proto::tree::EntryKind;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::path::PathBuf;

struct Disks {
    dir: tempfile::TempDir,
    base: PathBuf,
    old: PathBuf,
    new: PathBuf,
}

/// Two copies of a workspace.
fn disks() -> Disks {
    let dir = tempfile::tempdir().unwrap();
    let (tree, rw) = (dir.path().join("tree"), dir.path().join("rw-tree"));
    std::fs::create_dir_all(tree.join("etc")).unwrap();
    for folder in ["upper", "work", "tmp", "docker", "workspace/src/deep"] {
        std::fs::create_dir_all(rw.join(folder)).unwrap();
    }
    for name in ["a", "b", "c", "d", "src/e", "src/deep/f"] {
        std::fs::write(rw.join("workspace").join(name), vec![b'1'; 200_000]).unwrap();
    }
    symlink("a", rw.join("workspace/link")).unwrap();
    std::fs::hard_link(rw.join("workspace/c"), rw.join("workspace/c2")).unwrap();
    let paths = [dir.path().join("base"), dir.path().join("old"), dir.path().join("new")];
    let [base, old, new] = paths;
    mkfs(&base, Some(&tree), BASE, 16);
    mkfs(&old, Some(&rw), RW, 32);
    std::fs::copy(&old, &new).unwrap();
    Disks { dir, base, old, new }
}

impl Disks {
    fn changes(&self) -> Vec<Change> {
        let root = |rw: &Path| MergedRoot::new(open(&self.base), open(rw)).unwrap();
        compare(&root(&self.old), &root(&self.new), b"/workspace").unwrap()
    }

    fn shown(&self) -> Vec<String> {
        let sign = |side: bool, sign| if side { sign } else { "" };
        let show = |change: &Change| {
            format!("{}{}{}", sign(change.old.is_some(), "-"), sign(change.new.is_some(), "+"), change.path)
        };
        self.changes().iter().map(show).collect()
    }

    fn content(&self, name: &str, content: &[u8]) -> String {
        let path = self.dir.path().join("content");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        format!("write {} {name}", path.display())
    }
}

#[test]
fn a_copy_has_no_changes() {
    assert!(disks().shown().is_empty());
}

#[test]
fn every_kind_of_change() {
    let disks = disks();
    let mut changed = vec![b'1'; 200_000];
    changed[150_000] = b'2';
    let write = [disks.content("workspace/a", &changed), "write /dev/null workspace/new".to_owned()];
    debugfs(&disks.new, &["rm workspace/a", &write[0]]);
    debugfs(
        &disks.new,
        &[
            "rm workspace/b",
            "rm workspace/src/deep/f",
            "rmdir workspace/src/deep",
            "sif workspace/d mode 0100755",
            "rm workspace/link",
            "symlink workspace/link b",
            "rm workspace/src/e",
            "mkdir workspace/src/e",
            "sif workspace/src mode 040700",
            // debugfs gives the new file its inode, and may do so within a second.
            "sif workspace/a ctime 20300101000000",
            &write[1],
        ],
    );
    assert_eq!(
        disks.shown(),
        ["-+a", "-b", "-+d", "-+link", "+new", "-+src", "-src/deep", "-src/deep/f", "-+src/e"]
    );
    let changes = disks.changes();
    let find = |path: &str| changes.iter().find(|change| change.path.as_bytes() == path.as_bytes()).unwrap();
    assert_eq!(find("d").new.as_ref().unwrap().mode, 0o755);
    assert_eq!(find("link").old.as_ref().unwrap().target, b"a");
    assert_eq!(find("link").new.as_ref().unwrap().target, b"b");
    let kinds = find("src/e");
    assert_eq!(kinds.old.as_ref().unwrap().kind, EntryKind::File);
    assert_eq!(kinds.new.as_ref().unwrap().kind, EntryKind::Directory);
}

#[test]
fn a_time_that_changed_is_no_change_and_content_behind_it_is() {
    let disks = disks();
    debugfs(&disks.new, &["sif workspace/d mtime 20300101000000", "sif workspace/c ctime 20300101000000"]);
    assert!(disks.shown().is_empty());
    // The same inode with other content, written in place: only the time tells.
    let bytes = std::fs::read(&disks.new).unwrap();
    let root = MergedRoot::new(open(&disks.base), open(&disks.new)).unwrap();
    let node = root.lookup(b"/workspace/c", true).unwrap();
    let mut content = vec![0; 200_000];
    root.read_at(&node, 0, &mut content).unwrap();
    let bmap = crate::support::run(
        "/sbin/debugfs",
        &["-R".as_ref(), "bmap workspace/c 3".as_ref(), disks.new.as_os_str()],
    );
    let block: usize = String::from_utf8(bmap.stdout).unwrap().trim().parse().unwrap();
    let mut changed = bytes;
    changed[block * 4096 + 7] = b'2';
    std::fs::write(&disks.new, changed).unwrap();
    assert_eq!(disks.shown(), ["-+c", "-+c2"]);
}

#[test]
fn a_root_that_came_or_went_does_so_as_a_whole() {
    let disks = disks();
    let root = |rw: &Path| MergedRoot::new(open(&disks.base), open(rw)).unwrap();
    debugfs(&disks.new, &["mkdir workspace/more", "mkdir workspace/more/inner"]);
    let changes = compare(&root(&disks.old), &root(&disks.new), b"/workspace/more").unwrap();
    let paths: Vec<String> = changes.iter().map(|change| change.path.to_string()).collect();
    assert_eq!(paths, ["", "inner"]);
    assert!(changes.iter().all(|change| change.old.is_none()));
    let back = compare(&root(&disks.new), &root(&disks.old), b"/workspace/more").unwrap();
    assert!(back.len() == 2 && back.iter().all(|change| change.new.is_none()));
    assert!(compare(&root(&disks.old), &root(&disks.new), b"/workspace/nowhere").is_err());
}
