//! Images of a whole tree: what e2fsck says of them, and that they read as what they were made from.

use crate::support::BASE;
use crate::support::RW;
use crate::support::described;
use crate::support::mkfs;
use crate::support::open;
use crate::support::run;
use pyro_image::disk::MergedRoot;
use pyro_image::disk::build_image;
use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::path::PathBuf;

/// Builds an image, and fails unless the checker finds nothing to say.
fn built(root: &MergedRoot, dir: &Path) -> PathBuf {
    let image = dir.join("image");
    let out = File::options().read(true).write(true).create_new(true).open(&image).unwrap();
    let mut heard = Vec::new();
    let built = build_image(root, &out, [7; 16], &mut |done, all| heard.push((done, all))).unwrap();
    assert!(heard.is_sorted() && heard.iter().all(|(done, all)| *done > 0 && done <= all), "{heard:?}");
    assert_eq!(out.metadata().unwrap().len(), built.size_bytes);
    run("e2fsck", &[OsStr::new("-fn"), image.as_os_str()]);
    image
}

/// Fails unless an image holds the same as what it was made from.
fn assert_same(root: &MergedRoot, image: &Path) {
    let copy = MergedRoot::of_base(open(image));
    let (mut expected, mut found) = (described(root, "/"), described(&copy, "/"));
    for facts in [&mut expected, &mut found] {
        facts.remove(&b"lost+found"[..]);
    }
    assert_eq!(expected.keys().collect::<Vec<_>>(), found.keys().collect::<Vec<_>>());
    for (path, fact) in expected {
        assert!(found[&path] == fact, "{} differs", String::from_utf8_lossy(&path));
    }
}

#[test]
fn everything_that_makes_trees_difficult() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, base, rw) = (dir.path().join("tree"), dir.path().join("base"), dir.path().join("rw"));
    std::fs::create_dir(&tree).unwrap();
    crate::ext4::difficult(&tree, 4000);
    mkfs(&base, Some(&tree), BASE, 64);
    mkfs(&rw, None, RW, 16);
    crate::support::debugfs(
        &rw,
        &[
            "mkdir upper",
            "mkdir workspace",
            "mkdir upper/many",
            "mknod upper/empty c 0 0",
            "mknod upper/null c 1 3",
            "mknod upper/disk b 8 1",
            "mknod upper/fifo p",
            "ea_set upper/many user.name value",
            "ea_set upper/many security.capability 0123456789",
            "ea_set upper/many trusted.overlay.impure y",
        ],
    );
    let root = MergedRoot::new(open(&base), open(&rw)).unwrap();
    let image = built(&root, dir.path());
    assert_same(&root, &image);
    let fs = open(&image);
    let many = fs.find(&fs.root().unwrap(), b"many").unwrap().unwrap();
    let names: Vec<String> = fs
        .xattrs(&fs.inode(many).unwrap())
        .unwrap()
        .into_iter()
        .map(|attribute| String::from_utf8(attribute.name).unwrap())
        .collect();
    assert_eq!(names, ["user.name", "security.capability"]);
}

#[test]
fn an_environment_of_several_groups_and_files_that_cross_them() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, base) = (dir.path().join("tree"), dir.path().join("base"));
    std::fs::create_dir(&tree).unwrap();
    // Larger than a group's 128 MiB, and without a hole in it.
    std::fs::write(tree.join("large"), vec![3; 150 << 20]).unwrap();
    mkfs(&base, Some(&tree), BASE, 200);
    let root = MergedRoot::of_base(open(&base));
    let image = built(&root, dir.path());
    assert_same(&root, &image);
}
