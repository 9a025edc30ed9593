//! Listing and sending trees, and what comes back when a sent tree is received: the same.

use crate::host::Host;
use crate::host::Told;
use proptest::prelude::*;
use pyro_proto::bytes::ByteString;
use pyro_proto::message::ErrorCode;
use pyro_proto::tool::ReceiveDone;
use pyro_proto::tool::ScanDone;
use pyro_proto::tool::Tool;
use pyro_proto::tree::Entry;
use pyro_proto::tree::EntryKind;
use pyro_proto::tree::Record;
use pyro_proto::tree::TreePath;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;

pub(crate) fn bytes(path: &Path) -> ByteString {
    path.as_os_str().as_bytes().to_vec().into()
}

pub(crate) fn scan(root: &Path) -> Tool {
    Tool::Scan { root: bytes(root), exclude: Vec::new(), depth_max: None, entries_max: u64::MAX }
}

pub(crate) fn send(root: &Path) -> Tool {
    Tool::Send { root: bytes(root), exclude: Vec::new(), listed: false, bytes_max: u64::MAX }
}

pub(crate) fn receive(root: &Path, staged: bool) -> Tool {
    Tool::Receive { root: bytes(root), staged, report: false }
}

impl Told {
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let entry =
            |record: &Record| if let Record::Entry(entry) = record { Some(entry.clone()) } else { None };
        self.records.iter().filter_map(entry).collect()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.entries().iter().map(|entry| entry.path.to_string()).collect()
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        let text =
            |record: &Record| if let Record::Warning(text) = record { Some(text.clone()) } else { None };
        self.records.iter().filter_map(text).collect()
    }

    pub(crate) fn done<T: serde::de::DeserializeOwned>(&self) -> T {
        serde_json::from_slice(self.last.as_ref().unwrap()).unwrap()
    }

    pub(crate) fn refused(&self) -> (ErrorCode, String) {
        let error = self.last.as_ref().unwrap_err();
        (error.code, error.message.clone())
    }
}

/// Entries as they must be the same in a copy.
pub(crate) fn comparable(told: &Told) -> Vec<Entry> {
    let mut entries = told.entries();
    for entry in &mut entries {
        (entry.inode, entry.ctime) = (0, Default::default());
    }
    entries
}

/// The stream that a send wrote, as a receive reads it.
pub(crate) fn as_input(told: &Told) -> Vec<u8> {
    let mut wire = Vec::new();
    let all = told.records.iter().filter(|record| !matches!(record, Record::Warning(_)));
    all.for_each(|record| record.encode(&mut wire));
    Record::Done(Vec::new()).encode(&mut wire);
    wire
}

fn set_time(path: &Path, s: i64, ns: i64) {
    let time = rustix::fs::Timespec { tv_sec: s, tv_nsec: ns };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// One of everything.
pub(crate) fn make_zoo(root: &Path) {
    std::fs::create_dir_all(root.join("folder/empty")).unwrap();
    std::fs::write(root.join("file"), "content").unwrap();
    std::fs::write(root.join("folder/z"), vec![7; 300_000]).unwrap();
    std::fs::write(root.join("folder.after"), "").unwrap();
    std::fs::hard_link(root.join("folder/z"), root.join("link-to-z")).unwrap();
    symlink("/etc/passwd", root.join("symlink")).unwrap();
    symlink(OsStr::from_bytes(b"dangling\xff"), root.join("folder/dangling")).unwrap();
    std::fs::write(root.join(OsStr::from_bytes(b"not\xffutf8\n")), "x").unwrap();
    std::fs::write(root.join("n".repeat(255)), "long").unwrap();
    let sparse = std::fs::File::create(root.join("sparse")).unwrap();
    sparse.write_all_at(b"middle", 1 << 20).unwrap();
    sparse.set_len(3 << 20).unwrap();
    let mode = |path: &str, mode| {
        std::fs::set_permissions(root.join(path), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("file", 0o4751);
    mode("folder/empty", 0o1777);
    mode("folder/z", 0o400);
    mode("folder", 0o2555);
    for (path, s, ns) in [
        ("file", 1, 999_999_999),
        ("symlink", -77, 5),
        ("folder/empty", 1 << 33, 1),
        ("folder", 9, 9),
        ("", 123, 456),
    ] {
        set_time(&root.join(path), s, ns);
    }
}

#[test]
fn a_scan_tells_everything_in_order() {
    let mut host = Host::new();
    let root = host.folder.path().join("zoo");
    make_zoo(&root);
    rustix::fs::mkfifoat(rustix::fs::CWD, root.join("fifo"), rustix::fs::Mode::RWXU).unwrap();
    let told = host.tool(scan(&root));
    let names = told.names();
    let long = "n".repeat(255);
    let expected = [
        "",
        "fifo",
        "file",
        "folder",
        "folder/dangling",
        "folder/empty",
        "folder/z",
        "folder.after",
        "link-to-z",
        &long,
        "not\u{fffd}utf8\n",
        "sparse",
        "symlink",
    ];
    assert_eq!(names, expected);
    let entries = told.entries();
    let of = |path: &str| entries.iter().find(|entry| entry.path.as_bytes() == path.as_bytes()).unwrap();
    assert_eq!((of("file").mode, of("file").size_bytes, of("file").mtime.ns), (0o4751, 7, 999_999_999));
    assert_eq!(
        (of("symlink").kind, of("symlink").target.as_slice()),
        (EntryKind::Symlink, &b"/etc/passwd"[..])
    );
    assert_eq!(
        (of("link-to-z").kind, of("link-to-z").target.as_slice()),
        (EntryKind::HardLink, &b"folder/z"[..])
    );
    assert_eq!((of("fifo").kind, of("symlink").mtime.s), (EntryKind::Special, -77));
    assert!(of("file").inode > 0 && of("file").ctime.s > 0);
    let done: ScanDone = told.done();
    assert_eq!((done.entries, done.bytes, done.truncated), (13, 7 + 300_000 + 1 + 4 + (3 << 20), false));
}

#[test]
fn a_scan_can_be_kept_short() {
    let mut host = Host::new();
    let root = host.folder.path().join("zoo");
    make_zoo(&root);
    let tool = |exclude: &[&str], depth_max, entries_max| Tool::Scan {
        root: bytes(&root),
        exclude: exclude.iter().map(|glob| ByteString::from(*glob)).collect(),
        depth_max,
        entries_max,
    };
    assert_eq!(host.tool(tool(&[], Some(0), 99)).names(), [""]);
    assert_eq!(
        host.tool(tool(&["n*", "s*", "folder.*"], Some(1), 99)).names(),
        ["", "file", "folder", "link-to-z"]
    );
    let excluded = host.tool(tool(&["/folder", "n*"], None, 99)).names();
    assert_eq!(excluded, ["", "file", "folder.after", "link-to-z", "sparse", "symlink"]);
    let cut = host.tool(tool(&[], None, 3));
    assert!(cut.names().len() == 3 && cut.done::<ScanDone>().truncated);
    let one = host.tool(scan(&root.join("file")));
    assert_eq!((one.names(), one.entries()[0].kind), (vec![String::new()], EntryKind::File));
    let (code, text) = host.tool(scan(&root.join("no/such"))).refused();
    assert!(code == ErrorCode::NotFound && text.contains("no/such"), "{text}");
}

#[test]
fn what_is_sent_is_received_the_same() {
    for staged in [false, true] {
        let mut host = Host::new();
        let (from, to) = (host.folder.path().join("from"), host.folder.path().join("new/folder/to"));
        make_zoo(&from);
        let sent = host.tool(send(&from));
        assert!(sent.warnings().is_empty(), "{:?}", sent.warnings());
        let done: ReceiveDone = host.tool_with(receive(&to, staged), &as_input(&sent)).done();
        assert_eq!((done.entries, done.deleted), (12, 0));
        let (theirs, ours) = (host.tool(scan(&from)), host.tool(scan(&to)));
        assert_eq!(comparable(&theirs), comparable(&ours));
        assert_eq!(std::fs::read(to.join("folder/z")).unwrap(), vec![7; 300_000]);
        let again = host.tool(send(&to));
        assert_eq!(as_input_without_inodes(&sent), as_input_without_inodes(&again));
        use std::os::unix::fs::MetadataExt as _;
        assert!(std::fs::metadata(to.join("sparse")).unwrap().blocks() < 100, "holes are kept");
        // Once more over what is there now.
        host.tool_with(receive(&to, staged), &as_input(&sent)).done::<ReceiveDone>();
        assert_eq!(comparable(&theirs), comparable(&host.tool(scan(&to))));
    }
}

fn as_input_without_inodes(told: &Told) -> Vec<Record> {
    let mut records = told.records.clone();
    for record in &mut records {
        if let Record::Entry(entry) = record {
            (entry.inode, entry.ctime) = (0, Default::default());
        }
    }
    records
}

#[test]
fn special_files_are_named_and_left_out_of_a_send() {
    let mut host = Host::new();
    let root = host.folder.path().join("root");
    std::fs::create_dir(&root).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, root.join("fifo"), rustix::fs::Mode::RWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    let told = host.tool(send(&root));
    assert_eq!((told.names(), told.warnings().len()), (vec![String::new()], 2));
    assert!(told.warnings()[0].contains("fifo") && told.warnings()[1].contains("socket"));
}

#[test]
fn a_send_of_too_much_fails() {
    let mut host = Host::new();
    let root = host.folder.path().join("root");
    std::fs::create_dir(&root).unwrap();
    std::fs::write(root.join("a"), [1; 60]).unwrap();
    std::fs::write(root.join("b"), [1; 40]).unwrap();
    let tool = |bytes_max| Tool::Send { root: bytes(&root), exclude: Vec::new(), listed: false, bytes_max };
    assert!(host.tool(tool(100)).last.is_ok());
    assert_eq!(host.tool(tool(99)).refused().0, ErrorCode::TooLarge);
}

#[test]
fn a_list_decides_what_is_sent() {
    let mut host = Host::new();
    let root = host.folder.path().join("zoo");
    make_zoo(&root);
    symlink("folder", root.join("way")).unwrap();
    let mut wire = Vec::new();
    for path in ["folder/z", "missing", "no/such", "way/z", "link-to-z", "folder", "file/x", "symlink"] {
        Record::Path(TreePath::new(path.as_bytes()).unwrap()).encode(&mut wire);
    }
    let tool = Tool::Send { root: bytes(&root), exclude: Vec::new(), listed: true, bytes_max: u64::MAX };
    let told = host.tool_with(tool, &wire);
    assert_eq!(told.names(), ["folder/z", "link-to-z", "folder", "symlink"]);
}

/// What a random tree is made of: folders, files with content, links.
#[derive(Clone, Debug)]
enum Node {
    File(Vec<u8>, u32),
    Link(Vec<u8>),
    Folder(Vec<(Vec<u8>, Self)>, u32),
}

fn any_node() -> impl Strategy<Value = Node> {
    let bytes = prop::collection::vec(any::<u8>(), 0..200);
    let leaf = prop_oneof![
        (bytes, 0u32..0o1000).prop_map(|(content, mode)| Node::File(content, mode)),
        prop::collection::vec(1u8.., 1..50).prop_map(Node::Link),
    ];
    let name = prop::collection::vec(
        any::<u8>().prop_map(|byte| if byte == 0 || byte == b'/' { b'_' } else { byte }),
        1..6,
    );
    leaf.prop_recursive(4, 40, 6, move |inner| {
        (prop::collection::vec((name.clone(), inner), 0..6), 0u32..0o2000)
            .prop_map(|(nodes, mode)| Node::Folder(nodes, mode))
    })
}

fn plant(path: &Path, node: &Node) {
    if path.symlink_metadata().is_ok() {
        return;
    }
    let mode = match node {
        Node::File(content, mode) => {
            std::fs::write(path, content).unwrap();
            *mode
        }
        Node::Link(target) => return symlink(OsStr::from_bytes(target), path).unwrap(),
        Node::Folder(nodes, mode) => {
            std::fs::create_dir(path).unwrap();
            for (name, node) in nodes.iter().filter(|(name, _)| name != b"." && name != b"..") {
                plant(&path.join(OsStr::from_bytes(name)), node);
            }
            *mode | 0o700
        }
    };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn any_tree_survives_the_way_there_and_back() {
    let mut host = Host::new();
    let mut number = 0;
    let config = ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let host = std::cell::RefCell::new(&mut host);
    let number = std::cell::RefCell::new(&mut number);
    runner
        .run(&(any_node(), any::<bool>()), |(node, staged)| {
            let (mut host, mut number) = (host.borrow_mut(), number.borrow_mut());
            **number += 1;
            let base = host.folder.path().join(format!("case-{number}"));
            std::fs::create_dir(&base).unwrap();
            plant(&base.join("from"), &Node::Folder(vec![(b"top".to_vec(), node)], 0o755));
            let sent = host.tool(send(&base.join("from")));
            host.tool_with(receive(&base.join("to"), staged), &as_input(&sent)).done::<ReceiveDone>();
            let (theirs, ours) = (host.tool(send(&base.join("from"))), host.tool(send(&base.join("to"))));
            prop_assert_eq!(as_input_without_inodes(&theirs), as_input_without_inodes(&ours));
            Ok(())
        })
        .unwrap();
}
