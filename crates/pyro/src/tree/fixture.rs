//! Trees for this room's tests: made, encoded, and compared. It must not be used by anything that is shipped.

use super::*;
use pyro_proto::tree::Entry;
use pyro_proto::tree::EntryKind;
use pyro_proto::tree::Record;
use pyro_proto::tree::TreeDecoder;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;

/// Makes files whose content is their path, and folders where a path ends in a slash.
pub(super) fn write(root: &Path, paths: &[&str]) {
    for path in paths {
        let at = root.join(path);
        if path.ends_with('/') {
            fs::create_dir_all(at).unwrap();
        } else {
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            fs::write(at, path).unwrap();
        }
    }
}

pub(super) fn fifo(path: &Path) {
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
}

/// One of everything that survives a journey.
pub(super) fn zoo(root: &Path) {
    write(
        root,
        &["bin/run.sh", "src/main.rs", "empty/", "deep/er/and/deeper/file", "node_modules/ts/bin/tsc"],
    );
    fs::set_permissions(root.join("bin/run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(root.join("src/main.rs"), fs::Permissions::from_mode(0o440)).unwrap();
    fs::write(root.join("big"), (0..300_000u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>()).unwrap();
    fs::write(root.join("nothing"), "").unwrap();
    fs::write(root.join(std::ffi::OsStr::from_bytes(b"odd \xff\xfe\n")), "odd").unwrap();
    fs::write(root.join("n".repeat(250)), "long").unwrap();
    let deep = ["d".repeat(90), "e".repeat(90), "f".repeat(90)].join("/");
    write(root, &[&format!("{deep}/end")]);
    fs::hard_link(root.join("big"), root.join("src/big-too")).unwrap();
    fs::create_dir(root.join("node_modules/.bin")).unwrap();
    symlink("../ts/bin/tsc", root.join("node_modules/.bin/tsc")).unwrap();
    symlink("nowhere", root.join("dangling")).unwrap();
    let sparse = fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(3 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"middle", 1 << 20).unwrap();
    let mtime = |path: &str, s, ns| {
        let file = fs::File::open(root.join(path)).unwrap();
        let time = std::time::UNIX_EPOCH + std::time::Duration::new(s, ns);
        file.set_times(fs::FileTimes::new().set_modified(time)).unwrap();
    };
    mtime("src/main.rs", 1_000_000_000, 123_456_789);
    mtime("deep/er", 86_400, 0);
    fs::set_permissions(root.join("deep/er/and"), fs::Permissions::from_mode(0o555)).unwrap();
}

/// Lets a folder of [`zoo`] be removed again.
pub(super) fn unlock(root: &Path) {
    let _ = fs::set_permissions(root.join("deep/er/and"), fs::Permissions::from_mode(0o755));
}

/// The stream of a folder.
pub(super) fn encoded(root: &Path) -> Vec<u8> {
    encode(|encoder| {
        let mut walker = Walker::new(root, WalkOptions::default()).unwrap();
        let sent = send(&mut walker, encoder).unwrap();
        assert!(sent.warnings.is_empty() && sent.unsteady.is_empty(), "{sent:?}");
    })
}

/// The stream of whatever is encoded, with an empty document at its end.
pub(super) fn encode(work: impl FnOnce(&mut Encoder<'_>)) -> Vec<u8> {
    let mut wire = Vec::new();
    let mut sink = |bytes: Vec<u8>| {
        wire.extend_from_slice(&bytes);
        Ok(())
    };
    let mut encoder = Encoder::new(&mut sink);
    work(&mut encoder);
    encoder.done(b"{}").unwrap();
    wire
}

pub(super) fn decoded(wire: &[u8]) -> Vec<Record> {
    let mut decoder = TreeDecoder::new();
    decoder.push(wire);
    let records = std::iter::from_fn(|| decoder.next_record().unwrap()).collect();
    assert!(!decoder.is_cut());
    records
}

/// What a folder holds, so that two can be compared: entries without what differs from disk to disk, and content.
pub(super) fn contents(root: &Path) -> Vec<(Entry, Vec<u8>)> {
    let walker = Walker::new(root, WalkOptions::default()).unwrap();
    let source = walker.source().clone();
    walker
        .map(|entry| {
            let mut entry = entry.unwrap();
            (entry.inode, entry.ctime) = (0, Default::default());
            if entry.kind == EntryKind::Symlink {
                entry.mode = 0;
            }
            let content = match entry.kind {
                EntryKind::File => fs::read(source.shown(&entry.path)).unwrap(),
                _ => Vec::new(),
            };
            (entry, content)
        })
        .collect()
}

/// Disk blocks of a file.
pub(super) fn blocks(path: &Path) -> u64 {
    fs::metadata(path).unwrap().blocks()
}
