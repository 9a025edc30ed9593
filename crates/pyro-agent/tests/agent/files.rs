//! Work on single files, and looking for text in many.

use crate::host::Host;
use crate::host::Told;
use crate::trees::bytes;
use pyro_proto::message::ErrorCode;
use pyro_proto::message::RequestBody;
use pyro_proto::tool::ReadDone;
use pyro_proto::tool::SearchDone;
use pyro_proto::tool::Tool;
use pyro_proto::tool::WriteDone;
use pyro_proto::tree::EntryKind;
use pyro_proto::tree::Record;
use pyro_proto::tree::TreePath;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;

fn read(path: &Path, offset: u64, length: u64) -> Tool {
    Tool::Read { path: bytes(path), offset, length }
}

fn write(path: &Path) -> Tool {
    Tool::Write { path: bytes(path), mode: None, make_parents: false, create_new: false }
}

fn delete(path: &Path, recursive: bool) -> Tool {
    Tool::Delete { path: bytes(path), recursive }
}

fn content(pieces: &[&str], whole: bool) -> Vec<u8> {
    let mut wire = Vec::new();
    pieces.iter().for_each(|piece| Record::Data(piece.as_bytes().to_vec()).encode(&mut wire));
    if whole {
        Record::Done(Vec::new()).encode(&mut wire);
    }
    wire
}

fn data(told: &Told) -> Vec<u8> {
    let data = |record: &Record| if let Record::Data(data) = record { data.clone() } else { Vec::new() };
    told.records.iter().flat_map(data).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_is_read_where_asked() {
    let mut host = Host::new();
    let root = host.folder.path().to_owned();
    let all: Vec<u8> = (0..200_000_u32).map(|at| (at % 251) as u8).collect();
    std::fs::write(root.join("file"), &all).unwrap();
    symlink("file", root.join("way")).unwrap();
    for (offset, length) in [(0, u64::MAX), (100, 70_000), (199_999, 5), (200_000, 5), (u64::MAX, 5), (7, 0)]
    {
        let told = host.tool(read(&root.join("way"), offset, length));
        let begin = usize::try_from(offset).unwrap_or(usize::MAX).min(all.len());
        let end = begin.saturating_add(usize::try_from(length).unwrap()).min(all.len());
        assert!(data(&told) == all[begin..end], "{offset} {length}");
        assert_eq!(told.done::<ReadDone>(), ReadDone { size_bytes: 200_000, bytes: (end - begin) as u64 });
        assert_eq!((told.entries()[0].kind, told.entries()[0].path.is_root()), (EntryKind::File, true));
    }
    let kernel = host.tool(read(Path::new("/proc/self/status"), 0, 1 << 20));
    assert!(kernel.done::<ReadDone>().bytes > 100);
    rustix::fs::mkfifoat(rustix::fs::CWD, root.join("fifo"), rustix::fs::Mode::RWXU).unwrap();
    for (path, code) in
        [("fifo", ErrorCode::BadRequest), ("", ErrorCode::IsADirectory), ("no", ErrorCode::NotFound)]
    {
        assert_eq!(host.tool(read(&root.join(path), 0, 1)).refused().0, code, "{path}");
    }
}

#[test]
fn a_file_is_replaced_as_a_whole() {
    let mut host = Host::new();
    let root = host.folder.path().join("root");
    std::fs::create_dir(&root).unwrap();
    let at = root.join("file");
    let done: WriteDone = host.tool_with(write(&at), &content(&["a", "b"], true)).done();
    assert_eq!(done, WriteDone { bytes: 2, created: true });
    assert_eq!(std::fs::metadata(&at).unwrap().mode() & 0o7777, 0o644);
    std::fs::set_permissions(&at, std::fs::Permissions::from_mode(0o2751)).unwrap();
    symlink("../root/file", root.join("way")).unwrap();
    symlink("new", root.join("dangling")).unwrap();
    let (old, cut) = (std::fs::File::open(&at).unwrap(), content(&["never"], false));
    assert_eq!(host.tool_with(write(&at), &cut).refused().0, ErrorCode::Truncated);
    let done: WriteDone = host.tool_with(write(&root.join("way")), &content(&["c"], true)).done();
    assert_eq!(done, WriteDone { bytes: 1, created: false });
    assert_eq!(
        (std::fs::read(&at).unwrap(), std::fs::metadata(&at).unwrap().mode() & 0o7777),
        (b"c".to_vec(), 0o2751)
    );
    assert_eq!(std::io::read_to_string(old).unwrap(), "ab");
    host.tool_with(write(&root.join("dangling")), &content(&["d"], true)).done::<WriteDone>();
    assert_eq!(std::fs::read(root.join("new")).unwrap(), b"d");
    assert_eq!(names(&root), ["dangling", "file", "new", "way"]);
    let refusals = [
        (
            Tool::Write { path: bytes(&at), mode: None, make_parents: false, create_new: true },
            ErrorCode::AlreadyExists,
        ),
        (write(&root), ErrorCode::IsADirectory),
        (write(&root.join("no/such")), ErrorCode::NotFound),
        (write(&root.join("file/x")), ErrorCode::NotADirectory),
        (write(Path::new("/")), ErrorCode::Busy),
        (write(Path::new("relative")), ErrorCode::BadRequest),
    ];
    for (tool, code) in refusals {
        assert_eq!(host.tool_with(tool.clone(), &content(&["x"], true)).refused().0, code, "{tool:?}");
    }
    let new = root.join("a/b/c");
    let tool = Tool::Write { path: bytes(&new), mode: Some(0o600), make_parents: true, create_new: true };
    host.tool_with(tool, &content(&["e"], true)).done::<WriteDone>();
    assert_eq!(std::fs::metadata(&new).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(names(&root), ["a", "dangling", "file", "new", "way"]);
}

#[test]
fn things_are_described_renamed_and_removed() {
    let mut host = Host::new();
    let root = host.folder.path().join("root");
    std::fs::create_dir_all(root.join("full/inner")).unwrap();
    std::fs::write(root.join("full/inner/file"), "x").unwrap();
    std::fs::write(root.join("file"), "xyz").unwrap();
    std::fs::write(root.join("other"), "").unwrap();
    symlink("/etc", root.join("way")).unwrap();
    let stat = host.tool(Tool::Stat { path: bytes(&root.join("way")) });
    assert_eq!(
        (stat.entries()[0].kind, stat.entries()[0].target.as_slice()),
        (EntryKind::Symlink, &b"/etc"[..])
    );
    assert_eq!(host.tool(Tool::Stat { path: bytes(&root.join("file")) }).entries()[0].size_bytes, 3);
    assert_eq!(host.tool(Tool::Stat { path: bytes(&root.join("no")) }).refused().0, ErrorCode::NotFound);
    let mut rename = |from: &str, to: &str, replace| {
        host.tool(Tool::Move { from: bytes(&root.join(from)), to: bytes(&root.join(to)), replace })
    };
    let (code, text) = rename("file", "other", false).refused();
    assert!(code == ErrorCode::AlreadyExists && text.contains("other"), "{text}");
    assert_eq!(rename("no", "new", false).refused().0, ErrorCode::NotFound);
    assert!(rename("file", "other", true).last.is_ok() && rename("other", "full/moved", false).last.is_ok());
    for (path, recursive, code) in [
        ("full", false, ErrorCode::IsADirectory),
        ("no", true, ErrorCode::NotFound),
        ("no", false, ErrorCode::NotFound),
    ] {
        assert_eq!(host.tool(delete(&root.join(path), recursive)).refused().0, code);
    }
    assert_eq!(host.tool(delete(Path::new("/"), true)).refused().0, ErrorCode::Busy);
    assert_eq!(host.tool(delete(Path::new("/proc"), true)).refused().0, ErrorCode::Busy);
    assert!(host.tool(delete(&root.join("way"), false)).last.is_ok());
    assert!(host.tool(delete(&root.join("full/"), true)).last.is_ok());
    assert!(Path::new("/etc").exists() && names(&root).is_empty());
    assert!(host.tool(Tool::Sync).last.is_ok());
}

#[test]
fn digests_are_of_regular_files_alone() {
    let mut host = Host::new();
    let root = host.folder.path().join("root");
    std::fs::create_dir_all(root.join("folder")).unwrap();
    std::fs::write(root.join("folder/abc"), "abc").unwrap();
    symlink("folder", root.join("way")).unwrap();
    symlink("folder/abc", root.join("link")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, root.join("fifo"), rustix::fs::Mode::RWXU).unwrap();
    let running = host.start_tool(Tool::Hash { root: bytes(&root) }, true).unwrap();
    let path = |path: &str| TreePath::new(path.as_bytes()).unwrap();
    let mut wire = Vec::new();
    for at in ["no", "folder", "way/abc", "link", "fifo", "folder/abc"] {
        Record::Path(path(at)).encode(&mut wire);
    }
    host.write(running.out, pyro_proto::Kind::Data, &wire);
    // The answer comes although the list has not ended.
    while host.data.get(&running.out).is_none_or(Vec::is_empty) {
        host.step();
    }
    host.write(running.out, pyro_proto::Kind::Eof, &[]);
    let told = host.finish_tool(&running);
    let [Record::Digest(at, digest)] = told.records.as_slice() else { panic!("{:?}", told.records) };
    assert_eq!((at, &digest[..4]), (&path("folder/abc"), &[0xba, 0x78, 0x16, 0xbf][..]));
    assert!(told.last.is_ok());
}

#[test]
fn text_is_found_by_line_and_column() {
    let mut host = Host::new();
    let root = host.folder.path().join("root");
    std::fs::create_dir_all(root.join("src/deep")).unwrap();
    std::fs::create_dir_all(root.join("target")).unwrap();
    std::fs::write(root.join("src/a.rs"), b"one\nfn needle() {}\r\n\xffthe Needle\n").unwrap();
    std::fs::write(root.join("src/deep/b.txt"), b"no\n\xff\xfe needle without an end").unwrap();
    std::fs::write(root.join("target/c.rs"), "needle\n").unwrap();
    std::fs::write(root.join("src/binary"), b"needle\0").unwrap();
    std::fs::write(root.join("src/long"), [vec![b'x'; 700_000], b"needle\nneedle\n".to_vec()].concat())
        .unwrap();
    symlink("/etc", root.join("src/way")).unwrap();
    let mut search = |pattern: &str, fixed, ignore_case, include: &[&str], matches_max| -> SearchDone {
        let told = host.tool(Tool::Search {
            root: bytes(&root),
            pattern: pattern.into(),
            fixed,
            ignore_case,
            include: include.iter().map(|glob| (*glob).into()).collect(),
            exclude: vec!["target".into()],
            matches_max,
        });
        told.done()
    };
    let brief = |done: &SearchDone| -> Vec<(String, u64, u64)> {
        let brief = |found: &pyro_proto::tool::SearchMatch| {
            (String::from_utf8(found.path.0.clone()).unwrap(), found.line, found.column)
        };
        done.matches.iter().map(brief).collect()
    };
    let found = |path: &str, line, column| (path.to_owned(), line, column);
    let plain = search("needle", true, false, &[], 100);
    let expected = [
        found("src/a.rs", 2, 4),
        found("src/deep/b.txt", 2, 4),
        found("src/long", 1, 700_001),
        found("src/long", 2, 1),
    ];
    assert_eq!(brief(&plain), expected);
    assert_eq!(
        (plain.matches[0].text.as_bytes(), plain.files, plain.truncated),
        (&b"fn needle() {}"[..], 4, false)
    );
    let regex = search("^.{0,5}[n]eedle", false, true, &["*.rs", "*.txt"], 100);
    assert_eq!(
        brief(&regex),
        [found("src/a.rs", 2, 1), found("src/a.rs", 3, 1), found("src/deep/b.txt", 2, 1)]
    );
    let first = search("e", false, false, &["*.rs"], 2);
    assert!(first.matches.len() == 2 && first.truncated);
}

#[test]
fn more_matches_than_fit_in_an_answer_are_cut() {
    let mut host = Host::new();
    let root = host.folder.path().join("root");
    std::fs::create_dir(&root).unwrap();
    std::fs::write(root.join("a"), format!("{}\n", "y".repeat(2000)).repeat(1000)).unwrap();
    let told = host.tool(Tool::Search {
        root: bytes(&root),
        pattern: "y".into(),
        fixed: false,
        ignore_case: false,
        include: Vec::new(),
        exclude: Vec::new(),
        matches_max: u32::MAX,
    });
    let done: SearchDone = told.done();
    assert!(done.truncated && done.matches.len() > 100 && done.matches[0].text.0.len() == 1024);
    let bad = Tool::Search {
        root: bytes(&root),
        pattern: "(".into(),
        fixed: false,
        ignore_case: false,
        include: Vec::new(),
        exclude: Vec::new(),
        matches_max: 1,
    };
    assert_eq!(host.tool(bad).refused().0, ErrorCode::BadRequest);
}

#[test]
fn a_held_disk_is_not_written_to() {
    let mut host = Host::new();
    let refused = |result: Result<_, pyro_proto::message::WireError>| {
        result.map(|_: pyro_proto::message::ReplyBody| ()).unwrap_err().code
    };
    for ms_max in [0, pyro_proto::limits::HOLD_DISK_MS_MAX + 1] {
        assert_eq!(refused(host.ask(RequestBody::HoldDisk { ms_max })), ErrorCode::BadRequest);
    }
    assert_eq!(refused(host.ask(RequestBody::ReleaseDisk)), ErrorCode::NotHeld);
    host.ask(RequestBody::HoldDisk { ms_max: 60_000 }).unwrap();
    assert_eq!(refused(host.ask(RequestBody::HoldDisk { ms_max: 1 })), ErrorCode::Busy);
    let held = host.start_tool(Tool::Sync, false).map(|running| running.pid).unwrap_err();
    assert_eq!(held.code, ErrorCode::Busy);
    assert!(host.tool(Tool::Stat { path: "/".into() }).last.is_ok());
    host.ask(RequestBody::ReleaseDisk).unwrap();
    assert!(host.tool(Tool::Sync).last.is_ok());
    // A host that leaves holds nothing any more.
    host.ask(RequestBody::HoldDisk { ms_max: 60_000 }).unwrap();
    host.sync();
    host.ask(RequestBody::Attach(crate::host::attach("token"))).unwrap();
    assert_eq!(refused(host.ask(RequestBody::ReleaseDisk)), ErrorCode::NotHeld);
}

#[test]
fn names_and_attributes_are_changed() {
    let mut host = Host::new();
    let root = host.folder.path().to_owned();
    let made = root.join("made");
    let make = |path: &Path, mode| Tool::MakeDirectory { path: bytes(path), mode };
    let remove = |path: &Path| Tool::RemoveDirectory { path: bytes(path) };
    assert!(host.tool(make(&made, Some(0o1777))).last.is_ok());
    assert_eq!(std::fs::metadata(&made).unwrap().mode() & 0o7777, 0o1777);
    assert_eq!(host.tool(make(&made, None)).refused().0, ErrorCode::AlreadyExists);
    assert_eq!(host.tool(make(&root.join("no/such"), None)).refused().0, ErrorCode::NotFound);
    assert_eq!(host.tool(make(&root.join("bad"), Some(0o10_000))).refused().0, ErrorCode::BadRequest);
    std::fs::write(made.join("file"), "x").unwrap();
    assert_eq!(host.tool(remove(&made)).refused().0, ErrorCode::NotEmpty);
    assert_eq!(host.tool(remove(&made.join("file"))).refused().0, ErrorCode::NotADirectory);
    let way = root.join("way");
    let link = Tool::MakeLink { path: bytes(&way), target: bytes(Path::new("made/file")) };
    assert!(host.tool(link.clone()).last.is_ok());
    assert_eq!(std::fs::read_link(&way).unwrap(), Path::new("made/file"));
    assert_eq!(host.tool(link).refused().0, ErrorCode::AlreadyExists);
    // By way of the link, and nothing that was not asked for.
    let change = |mode, mtime_s| Tool::Change { path: bytes(&way), mode, uid: None, gid: None, mtime_s };
    assert!(host.tool(change(None, Some(1_000_000_000))).last.is_ok());
    let before = std::fs::metadata(made.join("file")).unwrap();
    assert!(host.tool(change(Some(0o640), None)).last.is_ok());
    let after = std::fs::metadata(made.join("file")).unwrap();
    assert_eq!((after.mode() & 0o7777, after.mtime()), (0o640, 1_000_000_000));
    assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
    std::fs::remove_file(made.join("file")).unwrap();
    assert_eq!(host.tool(change(Some(0o640), None)).refused().0, ErrorCode::NotFound);
    assert!(host.tool(remove(&made)).last.is_ok());
    assert!(!made.exists());
}
