//! The file system reader, on trees that mkfs wrote.

use crate::support::BASE;
use crate::support::RW;
use crate::support::debugfs;
use crate::support::described;
use crate::support::facts;
use crate::support::mkfs;
use crate::support::open;
use pyro_image::disk::Ext4Error;
use pyro_image::disk::MergedRoot;
use pyro_image::disk::ext4::FileKind;
use pyro_image::disk::ext4::Run;
use std::ffi::OsStr;
use std::fs::File;
use std::fs::Permissions;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::symlink;
use std::path::Path;

/// All that makes trees difficult, without anything that takes root.
pub(crate) fn difficult(tree: &Path, target_max: usize) {
    let name = |bytes: &[u8]| tree.join(OsStr::from_bytes(bytes));
    std::fs::write(name(b"\xff\xfe not text"), "x").unwrap();
    std::fs::write(name(&[b'n'; 255]), "the longest name").unwrap();
    for length in [1, 59, 60, 61, 200, target_max] {
        symlink("t".repeat(length), tree.join(format!("link-{length}"))).unwrap();
    }
    std::fs::hard_link(name(&[b'n'; 255]), tree.join("another name")).unwrap();
    std::fs::set_permissions(name(&[b'n'; 255]), Permissions::from_mode(0o6751)).unwrap();
    let mut deep = tree.to_owned();
    for _ in 0..60 {
        deep.push("deeper");
        std::fs::create_dir(&deep).unwrap();
    }
    std::fs::write(deep.join("bottom"), "found").unwrap();
    let sparse = File::create(tree.join("sparse")).unwrap();
    for index in 0..700_u64 {
        sparse.write_all_at(format!("piece {index}").as_bytes(), index * 12_288).unwrap();
    }
    sparse.set_len(10 << 20).unwrap();
    std::fs::write(tree.join("whole"), (0..3_000_000_u32).map(|n| (n >> 7) as u8).collect::<Vec<_>>())
        .unwrap();
    File::create(tree.join("empty")).unwrap().set_len(0).unwrap();
    File::create(tree.join("hole")).unwrap().set_len(5_000_001).unwrap();
    std::fs::create_dir(tree.join("many")).unwrap();
    for index in 0..5000 {
        std::fs::write(tree.join(format!("many/file number {index}")), index.to_string()).unwrap();
    }
}

#[test]
fn a_tree_reads_as_it_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    difficult(&tree, 4000);
    let expected = facts(&tree);
    for (options, mib) in [(BASE, 64), (RW, 64)] {
        let image = dir.path().join("image");
        mkfs(&image, Some(&tree), options, mib);
        let mut found = described(&MergedRoot::of_base(open(&image)), "/");
        assert!(found.remove(&b"lost+found"[..]).is_some());
        assert_eq!(found.len(), expected.len());
        for (path, fact) in &expected {
            assert!(found.get(path) == Some(fact), "{} differs", String::from_utf8_lossy(path));
        }
        std::fs::remove_file(&image).unwrap();
    }
}

#[test]
fn blocks_of_1_kib_and_inodes_of_128_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, image) = (dir.path().join("tree"), dir.path().join("image"));
    std::fs::create_dir(&tree).unwrap();
    difficult(&tree, 1000);
    mkfs(&image, Some(&tree), &["-b", "1024", "-I", "128", "-O", "^64bit,^metadata_csum"], 64);
    let mut found = described(&MergedRoot::of_base(open(&image)), "/");
    found.remove(&b"lost+found"[..]);
    assert!(found == facts(&tree));
}

#[test]
fn ranges_and_holes() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, image) = (dir.path().join("tree"), dir.path().join("image"));
    std::fs::create_dir(&tree).unwrap();
    let file = File::create(tree.join("file")).unwrap();
    file.write_all_at(b"begin", 0).unwrap();
    file.write_all_at(b"end", 100_000).unwrap();
    mkfs(&image, Some(&tree), BASE, 16);
    let fs = open(&image);
    let inode = fs.inode(fs.find(&fs.root().unwrap(), b"file").unwrap().unwrap()).unwrap();
    assert_eq!(inode.size_bytes, 100_003);
    assert_eq!(fs.run_at(&inode, 1).unwrap(), Run::Data(4095));
    assert_eq!(fs.run_at(&inode, 5000).unwrap(), Run::Hole(98_304 - 5000));
    assert_eq!(fs.run_at(&inode, 100_003).unwrap(), Run::End);
    let mut buffer = [1; 8];
    assert_eq!(fs.read_at(&inode, &mut buffer, 99_997).unwrap(), 6);
    assert_eq!(&buffer, b"\0\0\0end\x01\x01");
    assert_eq!(fs.read_at(&inode, &mut buffer, u64::MAX).unwrap(), 0);
    let folder = fs.root().unwrap();
    assert!(matches!(fs.read_at(&folder, &mut buffer, 0), Err(Ext4Error::Kind { inode: 2, .. })));
}

#[test]
fn blocks_that_are_allocated_and_not_written_are_zeros() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    let content = dir.path().join("content");
    std::fs::write(&content, vec![7; 40_960]).unwrap();
    mkfs(&image, None, BASE, 16);
    let write = format!("write {} file", content.display());
    // Marks the only extent as not written.
    debugfs(&image, &[&write, "punch file 1 1", "fallocate file 0 20", "sif file size 81920"]);
    let fs = open(&image);
    let inode = fs.inode(fs.find(&fs.root().unwrap(), b"file").unwrap().unwrap()).unwrap();
    let mut bytes = vec![1; 81_920];
    assert_eq!(fs.read_at(&inode, &mut bytes, 0).unwrap(), 81_920);
    assert!(bytes[..4096].iter().all(|byte| *byte == 7));
    assert!(bytes[4096..8192].iter().all(|byte| *byte == 0), "what was punched out");
    assert!(bytes[8192..40_960].iter().all(|byte| *byte == 7));
    assert!(bytes[40_960..].iter().all(|byte| *byte == 0), "what was only allocated");
}

#[test]
fn attributes_in_the_inode_and_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    let value = dir.path().join("value");
    std::fs::write(&value, vec![b'v'; 3000]).unwrap();
    mkfs(&image, None, BASE, 16);
    let large = format!("ea_set -f {} d user.large", value.display());
    debugfs(&image, &["mkdir d", "ea_set d trusted.overlay.opaque y", "ea_set d user.empty \"\"", &large]);
    let fs = open(&image);
    let inode = fs.inode(fs.find(&fs.root().unwrap(), b"d").unwrap().unwrap()).unwrap();
    let mut found = fs.xattrs(&inode).unwrap();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    let found: Vec<_> = found.iter().map(|it| (it.name.as_slice(), it.value.len())).collect();
    assert_eq!(found, [(&b"trusted.overlay.opaque"[..], 1), (b"user.empty", 0), (b"user.large", 3000)]);
}

#[test]
fn devices_times_and_wide_owners() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    mkfs(&image, None, BASE, 16);
    let commands = ["mknod null c 1 3", "mknod disk b 8 17", "mknod pipe p", "mknod gone c 0 0"];
    debugfs(&image, &commands);
    debugfs(
        &image,
        &[
            "sif pipe uid 70000",
            "sif pipe gid 80000",
            "sif pipe mtime @4294967297",
            "sif pipe ctime_extra 20",
        ],
    );
    let fs = open(&image);
    let root = fs.root().unwrap();
    let node = |name: &[u8]| fs.inode(fs.find(&root, name).unwrap().unwrap()).unwrap();
    assert_eq!((node(b"null").kind, node(b"null").device), (FileKind::CharDevice, (1, 3)));
    assert_eq!((node(b"disk").kind, node(b"disk").device), (FileKind::BlockDevice, (8, 17)));
    assert!(node(b"gone").is_whiteout() && !node(b"null").is_whiteout());
    let pipe = node(b"pipe");
    assert_eq!((pipe.kind, pipe.uid, pipe.gid), (FileKind::Fifo, 70_000, 80_000));
    assert_eq!(pipe.mtime.s, 4_294_967_297);
    assert_eq!(pipe.ctime.ns, 5);
}

#[test]
fn what_is_no_ext4_or_has_unknown_features_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    std::fs::write(&image, vec![0; 1 << 20]).unwrap();
    let open = || pyro_image::disk::Ext4::open(Box::new(File::open(&image).unwrap()));
    assert!(matches!(open(), Err(Ext4Error::NotExt4)));
    mkfs(&image, None, &["-O", "inline_data"], 16);
    assert!(matches!(open(), Err(Ext4Error::Features { bits: 0x8000 })));
    mkfs(&image, None, BASE, 16);
    File::options().write(true).open(&image).unwrap().set_len(8 << 20).unwrap();
    assert!(matches!(open(), Err(Ext4Error::Superblock { .. })), "a disk that was cut");
}
