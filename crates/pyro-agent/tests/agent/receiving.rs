//! Receiving trees that are hostile, cut, or cannot be put in place: nothing outside the root is touched, and a staged
//! receive that fails leaves what was there.

use crate::host::Host;
use crate::host::Told;
use crate::trees::bytes;
use crate::trees::make_zoo;
use crate::trees::receive;
use crate::trees::scan;
use crate::trees::send;
use pyro_proto::message::ErrorCode;
use pyro_proto::message::RequestBody;
use pyro_proto::message::SignalTarget;
use pyro_proto::tool::ReceiveDone;
use pyro_proto::tool::Tool;
use pyro_proto::tree::Entry;
use pyro_proto::tree::EntryKind;
use pyro_proto::tree::Record;
use pyro_proto::tree::Timestamp;
use pyro_proto::tree::TreePath;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::path::PathBuf;

fn path(path: &str) -> TreePath {
    TreePath::new(path.as_bytes()).unwrap()
}

fn entry(at: &str, kind: EntryKind) -> Entry {
    let mode = if kind == EntryKind::Directory { 0o755 } else { 0o644 };
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    Entry { mode, uid, gid, mtime: Timestamp { s: 1_000_000, ns: 7 }, ..Entry::new(path(at), kind) }
}

fn file(at: &str, content: &str) -> Vec<Record> {
    vec![Record::Entry(entry(at, EntryKind::File)), Record::Data(content.into()), Record::End]
}

fn folder(at: &str) -> Vec<Record> {
    vec![Record::Entry(entry(at, EntryKind::Directory))]
}

fn link(kind: EntryKind, at: &str, target: &str) -> Vec<Record> {
    vec![Record::Entry(Entry { target: target.into(), ..entry(at, kind) })]
}

fn delete(at: &str) -> Vec<Record> {
    vec![Record::Delete(path(at))]
}

fn done() -> Vec<Record> {
    vec![Record::Done(Vec::new())]
}

fn wire(records: &[Vec<Record>]) -> Vec<u8> {
    let mut wire = Vec::new();
    records.iter().flatten().for_each(|record| record.encode(&mut wire));
    wire
}

/// An agent, a root with one of everything, and a folder beside it that nobody may touch.
struct Field {
    host: Host,
    root: PathBuf,
    outside: PathBuf,
}

impl Field {
    fn new() -> Self {
        let host = Host::new();
        let (root, outside) = (host.folder.path().join("root"), host.folder.path().join("outside"));
        make_zoo(&root);
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("secret"), "secret").unwrap();
        Self { host, root, outside }
    }

    fn receive(&mut self, staged: bool, input: &[u8]) -> Told {
        let told = self.host.tool_with(receive(&self.root, staged), input);
        assert_eq!(std::fs::read_to_string(self.outside.join("secret")).unwrap(), "secret");
        assert_eq!(std::fs::read_dir(&self.outside).unwrap().count(), 1);
        assert_eq!(std::fs::metadata(self.outside.join("secret")).unwrap().nlink(), 1);
        assert_eq!(
            std::fs::read_dir(&self.root).unwrap().filter(|entry| is_stage(entry.as_ref().unwrap())).count(),
            0
        );
        told
    }

    /// Everything that is there; a folder that was made again is the same one.
    fn state(&mut self) -> Vec<Record> {
        let mut records = self.host.tool(send(&self.root)).records;
        for record in &mut records {
            if let Record::Entry(entry) = record {
                entry.ctime = Timestamp::default();
                if entry.kind == EntryKind::Directory {
                    entry.inode = 0;
                }
                if entry.path.is_root() {
                    // Stages come and go in it.
                    entry.mtime = Timestamp::default();
                }
            }
        }
        records
    }

    fn read(&self, at: &str) -> String {
        std::fs::read_to_string(self.root.join(at)).unwrap()
    }
}

fn is_stage(entry: &std::fs::DirEntry) -> bool {
    entry.file_name().to_string_lossy().starts_with(".pyro-stage-")
}

/// Bytes with one path put in the place of another of the same length, which the codec would not write.
fn forged(records: &[Vec<Record>], from: &str, to: &str) -> Vec<u8> {
    let mut wire = wire(records);
    assert_eq!(from.len(), to.len());
    let at = wire.windows(from.len()).position(|part| part == from.as_bytes()).unwrap();
    wire[at..at + to.len()].copy_from_slice(to.as_bytes());
    wire
}

#[test]
fn paths_that_leave_the_root_change_nothing() {
    let mut field = Field::new();
    let before = field.state();
    for staged in [false, true] {
        let inputs = [
            forged(&[file("xx/outside", "y"), done()], "xx/outside", "../outside"),
            forged(&[file("xetc/new", "y"), done()], "xetc/new", "/etc/new"),
            forged(&[file("a/xx/b", "y"), done()], "a/xx/b", "a/../b"),
            forged(&[delete("xx"), done()], "xx", ".."),
            forged(&[folder("a/x"), done()], "a/x", "a/."),
            forged(
                &[link(EntryKind::HardLink, "new", "xx/outside/secret"), done()],
                "xx/outside/secret",
                "../outside/secret",
            ),
            wire(&[link(EntryKind::HardLink, "new", "/outside"), done()]),
            wire(&[delete(""), done()]),
            wire(&[file("", "the root as a file"), done()]),
            wire(&[link(EntryKind::Symlink, "", "/etc"), done()]),
            wire(&[file(".pyro-stage-x", "y"), done()]),
            wire(&[vec![Record::Entry(entry("device", EntryKind::Special))], done()]),
            wire(&[vec![Record::Data(vec![1])], done()]),
            wire(&[vec![Record::End], done()]),
            wire(&[vec![Record::Path(path("file"))], done()]),
            b"\x63\0\0\0\0".to_vec(),
            vec![0xff; 300_000],
        ];
        for (at, input) in inputs.iter().enumerate() {
            let (code, text) = field.receive(staged, input).refused();
            assert_eq!(code, ErrorCode::BadRequest, "{staged} {at} {text}");
            assert_eq!(field.state(), before, "{staged} {at}");
        }
    }
}

#[test]
fn nothing_is_written_through_a_link() {
    let mut field = Field::new();
    let outside = field.outside.to_str().unwrap().to_owned();
    let way = || link(EntryKind::Symlink, "way", &outside);
    for staged in [false, true] {
        let attempts = [
            vec![way(), file("way/new", "y"), done()],
            vec![way(), file("way/secret", "y"), done()],
            vec![way(), folder("way/new"), done()],
            vec![way(), link(EntryKind::Symlink, "way/new", "x"), done()],
            vec![way(), link(EntryKind::HardLink, "mine", "way/secret"), done()],
            vec![
                folder("deep"),
                folder("deep/er"),
                file("deep/er/a", "1"),
                link(EntryKind::Symlink, "deep/er", &outside),
                file("deep/er/secret", "y"),
                done(),
            ],
            vec![file("plain", "x"), file("plain/new", "y"), done()],
        ];
        for (at, attempt) in attempts.iter().enumerate() {
            let before = field.state();
            let (code, text) = field.receive(staged, &wire(attempt)).refused();
            assert_eq!(code, ErrorCode::NotADirectory, "{staged} {at} {text}");
            if staged {
                assert_eq!(field.state(), before, "{at}");
            }
            for left in ["way", "deep", "plain"] {
                let _ = std::fs::remove_file(field.root.join(left));
                let _ = std::fs::remove_dir_all(field.root.join(left));
            }
        }
        // A removal by way of a link removes nothing, and an entry over a link replaces the link.
        field
            .receive(staged, &wire(&[way(), delete("way/secret"), file("way", "now a file"), done()]))
            .done::<ReceiveDone>();
        assert_eq!(field.read("way"), "now a file");
        symlink(&field.outside, field.root.join("old")).unwrap();
        field
            .receive(staged, &wire(&[folder("old"), file("old/secret", "mine"), done()]))
            .done::<ReceiveDone>();
        assert_eq!(field.read("old/secret"), "mine");
        std::fs::remove_dir_all(field.root.join("old")).unwrap();
        // Another name of a file outside is not written through either.
        std::fs::hard_link(field.outside.join("secret"), field.root.join("same")).unwrap();
        field.receive(staged, &wire(&[file("same", "other"), done()])).done::<ReceiveDone>();
        assert_eq!(field.read("same"), "other");
        std::fs::remove_file(field.root.join("same")).unwrap();
    }
}

#[test]
fn what_is_in_the_way_is_replaced() {
    for staged in [false, true] {
        let mut field = Field::new();
        let input = [
            file("folder", "a file now"),
            folder("file"),
            file("file/inside", "in"),
            link(EntryKind::Symlink, "folder.after", "file"),
            folder("symlink"),
            file("twice", "first"),
            file("twice", "second"),
            folder("twice-too"),
            file("twice-too", "file"),
            file("missing/folders/are/made", "yes"),
            link(EntryKind::HardLink, "again", "twice"),
            link(EntryKind::HardLink, "link-to-z", "file/inside"),
            delete("sparse"),
            delete("not-there"),
            delete("not/there"),
            done(),
        ];
        let told: ReceiveDone = field.receive(staged, &wire(&input)).done();
        assert_eq!((told.entries, told.deleted), (12, 3), "{staged}");
        assert_eq!((field.read("folder"), field.read("file/inside")), ("a file now".into(), "in".into()));
        assert_eq!((field.read("twice"), field.read("twice-too")), ("second".into(), "file".into()));
        assert_eq!((field.read("again"), field.read("link-to-z")), ("second".into(), "in".into()));
        assert_eq!(field.read("missing/folders/are/made"), "yes");
        assert_eq!(std::fs::read_link(field.root.join("folder.after")).unwrap(), Path::new("file"));
        assert!(field.root.join("symlink").symlink_metadata().unwrap().is_dir());
        assert!(field.root.join("sparse").symlink_metadata().is_err());
        let meta = std::fs::metadata(field.root.join("file")).unwrap();
        assert_eq!((meta.mtime(), meta.mtime_nsec(), meta.mode() & 0o7777), (1_000_000, 7, 0o755));
    }
}

#[test]
fn names_that_are_too_long_are_refused_by_name() {
    let mut field = Field::new();
    let before = field.state();
    let long = "x".repeat(256);
    for staged in [false, true] {
        let (code, text) = field.receive(staged, &wire(&[file(&long, "y"), done()])).refused();
        assert_eq!(code, ErrorCode::BadRequest);
        assert!(text.contains("/root/xxxx"), "{text}");
        assert_eq!(field.state(), before);
        let mut wire = wire(&[delete("a")]);
        wire[1..5].copy_from_slice(&4096_u32.to_le_bytes());
        wire.truncate(5);
        wire.resize(5 + 4096, b'a');
        assert_eq!(field.receive(staged, &wire).refused().0, ErrorCode::BadRequest);
    }
    // The longest there can be.
    let deep = "d/".repeat(2046) + "efg";
    let told: ReceiveDone = field.receive(true, &wire(&[file(&deep, "deep"), done()])).done();
    assert_eq!(told.entries, 1);
    assert!(field.host.tool(scan(&field.root)).names().contains(&deep));
    let gone: ReceiveDone = field.receive(false, &wire(&[delete("d"), done()])).done();
    assert_eq!(gone.deleted, 1);
}

#[test]
fn an_input_that_is_cut_changes_nothing() {
    let mut field = Field::new();
    let before = field.state();
    let whole = wire(&[delete("folder"), file("file", "new"), folder("new"), file("new/a", "b"), done()]);
    for length in (0..whole.len()).step_by(23) {
        assert_eq!(field.receive(true, &whole[..length]).refused().0, ErrorCode::Truncated, "{length}");
    }
    assert_eq!(field.state(), before);
    assert!(field.receive(true, &whole).last.is_ok());
    assert_eq!((field.read("file"), field.read("new/a")), ("new".into(), "b".into()));
    assert!(!field.root.join("folder").exists());
}

#[test]
fn a_failure_at_the_end_takes_everything_back() {
    let mut field = Field::new();
    let (before, time) = (field.state(), std::fs::metadata(&field.root).unwrap().mtime());
    let bad = "x".repeat(256);
    let failures = [
        file(&bad, "y"),
        file(&format!("new/{bad}"), "y"),
        folder(&bad),
        link(EntryKind::HardLink, "other", "no/such"),
        link(EntryKind::HardLink, "other", "new"),
    ];
    for (at, failure) in failures.iter().enumerate() {
        let mut closed = entry("folder/empty", EntryKind::Directory);
        closed.mode = 0;
        let input = [
            vec![Record::Entry(closed)],
            folder(""),
            folder("new"),
            folder("new/inner"),
            file("new/inner/a", "b"),
            file("made/up/parents", "x"),
            file("file", "other content"),
            file("file", "and once more"),
            link(EntryKind::HardLink, "new/same", "file"),
            link(EntryKind::Symlink, "folder/z", "/etc"),
            delete("folder"),
            file("folder", "a file"),
            delete("folder"),
            folder("folder"),
            file("folder/x", "x"),
            folder("link-to-z"),
            delete("sparse"),
            failure.clone(),
            done(),
        ];
        let told = field.receive(true, &wire(&input));
        assert!(told.last.is_err(), "{at}");
        assert_eq!(field.state(), before, "{at} {:?}", told.refused());
        assert_eq!(std::fs::metadata(&field.root).unwrap().mtime(), time);
    }
}

#[test]
fn a_receive_that_is_killed_changes_nothing_and_is_cleared_away() {
    let mut field = Field::new();
    let before = field.state();
    let running = field.host.start_tool(receive(&field.root, true), true).unwrap();
    let input = wire(&[delete("folder"), file("file", "new"), file("more", &"x".repeat(60_000))]);
    for piece in input.chunks(32 * 1024) {
        field.host.write(running.out, pyro_proto::Kind::Data, piece);
    }
    // All of it was read when the file that came last is there.
    let staged = || {
        let entries = std::fs::read_dir(&field.root).unwrap();
        let stage = entries.map(Result::unwrap).find(is_stage);
        stage.and_then(|stage| std::fs::metadata(stage.path().join("2")).ok()).map_or(0, |meta| meta.len())
    };
    while staged() < 60_000 {
        std::thread::yield_now();
    }
    field
        .host
        .ask(RequestBody::Signal { job: running.request, signal: 9, target: SignalTarget::Tree })
        .unwrap();
    let exit = field.host.finish(&running).exit;
    assert_eq!(exit.ending, pyro_proto::exec::Ending::Signal(9));
    assert_eq!(field.state(), before);
    assert_eq!(
        field.host.tool(scan(&field.root)).names().iter().filter(|name| name.contains("stage")).count(),
        0
    );
    assert!(std::fs::read_dir(&field.root).unwrap().map(Result::unwrap).any(|entry| is_stage(&entry)));
    field.receive(true, &wire(&[done()])).done::<ReceiveDone>();
    assert_eq!(field.state(), before);
}

#[test]
fn two_receives_at_once_leave_each_other_alone() {
    let mut field = Field::new();
    let first = field.host.start_tool(receive(&field.root, true), true).unwrap();
    field.host.write(first.out, pyro_proto::Kind::Data, &wire(&[file("one", "1")]));
    while !std::fs::read_dir(&field.root).unwrap().map(Result::unwrap).any(|entry| is_stage(&entry)) {
        std::thread::yield_now();
    }
    let tool = receive(&field.root, true);
    field.host.tool_with(tool, &wire(&[file("two", "2"), done()])).done::<ReceiveDone>();
    field.host.feed(first.out, &wire(&[done()]));
    field.host.finish_tool(&first).done::<ReceiveDone>();
    assert_eq!((field.read("one"), field.read("two")), ("1".into(), "2".into()));
}

#[test]
fn attributes_are_those_of_the_entries() {
    for staged in [false, true] {
        let mut field = Field::new();
        std::fs::set_permissions(field.root.join("file"), std::fs::Permissions::from_mode(0o4710)).unwrap();
        let is_root = rustix::process::geteuid().is_root();
        let owners = if is_root { (33, 44) } else { (0, 0) };
        let of = |at: &str| {
            let meta = std::fs::symlink_metadata(field.root.join(at)).unwrap();
            let owners = if is_root { (meta.uid(), meta.gid()) } else { (0, 0) };
            (meta.mode() & 0o7777, owners)
        };
        let mut input = [
            file("file", "replaced"),
            file("new", "x"),
            folder("made"),
            link(EntryKind::Symlink, "way", "x"),
            done(),
        ];
        for record in input.iter_mut().flatten() {
            if let Record::Entry(entry) = record
                && is_root
            {
                (entry.uid, entry.gid) = owners;
            }
        }
        let tool = receive(&field.root, staged);
        field.host.tool_with(tool, &wire(&input)).done::<ReceiveDone>();
        assert_eq!((of("file"), of("new")), ((0o644, owners), (0o644, owners)));
        assert_eq!((of("made"), of("way").1), ((0o755, owners), owners));
        assert_eq!(std::fs::metadata(field.root.join("file")).unwrap().mtime(), 1_000_000);
    }
}

#[test]
fn a_receive_that_is_asked_tells_how_the_files_lie_there() {
    for staged in [false, true] {
        let mut field = Field::new();
        let input = wire(&[
            folder("new"),
            file("file", "another"),
            file("new/other", "x"),
            link(EntryKind::HardLink, "new/again", "new/other"),
            link(EntryKind::Symlink, "new/way", "other"),
            done(),
        ]);
        let root = bytes(&field.root);
        let tool = Tool::Receive { root, staged, report: true };
        let told = field.host.tool_with(tool, &input);
        assert_eq!(told.done::<ReceiveDone>().entries, 5);
        // What was told last of a path counts.
        let told: BTreeMap<_, _> =
            told.entries().into_iter().map(|entry| (entry.path.clone(), entry)).collect();
        let names: Vec<String> = told.keys().map(ToString::to_string).collect();
        assert_eq!(names, ["file", "new/again", "new/other"]);
        let stamp = |entry: &Entry| (entry.inode, entry.ctime, entry.mtime, entry.size_bytes);
        for found in field.host.tool(scan(&field.root)).entries() {
            if let Some(told) = told.get(&found.path) {
                assert_eq!(stamp(told), stamp(&found), "{}, staged: {staged}", found.path);
            }
        }
    }
}

#[test]
fn large_files_take_little_memory() {
    let mut host = Host::new();
    let root = host.folder.path().join("root");
    let mut input = wire(&[vec![Record::Entry(entry("big", EntryKind::File))]]);
    for at in 0..500_u32 {
        Record::Data(vec![at as u8; 64 * 1024]).encode(&mut input);
    }
    input.extend(wire(&[vec![Record::Hole(5 << 20), Record::End], done()]));
    for staged in [false, true] {
        let told = host.tool_with(receive(&root, staged), &input);
        assert_eq!(told.done::<ReceiveDone>().bytes, 500 * 64 * 1024);
        assert!(told.max_rss_kib < 12 * 1024, "{} KiB", told.max_rss_kib);
    }
    let told = host.tool(send(&root));
    assert!(told.max_rss_kib < 12 * 1024, "{} KiB", told.max_rss_kib);
    let bytes: usize =
        told.records.iter().map(|record| if let Record::Data(data) = record { data.len() } else { 0 }).sum();
    assert_eq!(bytes, 500 * 64 * 1024);
}

/// For people with a clock: `cargo test --release -p pyro-agent --test agent -- --ignored --nocapture many_small`.
#[test]
#[ignore = "it only measures"]
fn many_small_files_are_quick() {
    let mut host = Host::new();
    let mut input = Vec::new();
    for folder_number in 0..100 {
        input.extend(wire(&[folder(&format!("d{folder_number}"))]));
        for at in 0..100 {
            input.extend(wire(&[file(&format!("d{folder_number}/f{at}"), &"x".repeat(1000))]));
        }
    }
    input.extend(wire(&[done()]));
    for staged in [false, true] {
        let root = host.folder.path().join(format!("root-{staged}"));
        for round in ["new", "again"] {
            let began = std::time::Instant::now();
            host.tool_with(receive(&root, staged), &input).done::<ReceiveDone>();
            println!("receive, staged {staged}, {round}: {:?}", began.elapsed());
        }
        for (name, tool) in [("scan", scan(&root)), ("send", send(&root))] {
            let began = std::time::Instant::now();
            assert_eq!(host.tool(tool).entries().len(), 10_101);
            println!("{name}: {:?}", began.elapsed());
        }
    }
}

fn entry_of(records: &[Record], at: &str) -> Entry {
    let found = records.iter().find_map(|record| match record {
        Record::Entry(entry) if entry.path == path(at) => Some(entry.clone()),
        _ => None,
    });
    found.unwrap()
}

#[test]
fn what_changed_meanwhile_is_not_replaced() {
    let mut field = Field::new();
    std::fs::create_dir(field.root.join("work")).unwrap();
    std::fs::write(field.root.join("work/a"), "old").unwrap();
    let seen = field.host.tool(send(&field.root)).records;
    let absent = Entry::new(path("work/new"), EntryKind::File);
    let expected = vec![Record::Expect(entry_of(&seen, "work/a")), Record::Expect(absent)];
    let input = wire(&[expected, delete("work/a"), done()]);
    // Something came where nothing was, and went again; then the file is another one.
    std::fs::write(field.root.join("work/new"), "").unwrap();
    assert_eq!(field.receive(true, &input).refused().0, ErrorCode::Changed);
    std::fs::remove_file(field.root.join("work/new")).unwrap();
    assert_eq!(field.receive(false, &input).refused().0, ErrorCode::BadRequest);
    std::fs::write(field.root.join("aside"), "old").unwrap();
    std::fs::rename(field.root.join("aside"), field.root.join("work/a")).unwrap();
    let (_, message) = field.receive(true, &input).refused();
    assert!(message.contains("work/a' was changed meanwhile"), "{message}");
    assert_eq!(field.read("work/a"), "old");
    let seen = field.host.tool(send(&field.root)).records;
    let input = wire(&[vec![Record::Expect(entry_of(&seen, "work/a"))], delete("work/a"), done()]);
    assert_eq!(field.receive(true, &input).done::<ReceiveDone>().deleted, 1);
    // What a folder's place is to be taken by must find it empty.
    let gone = Entry::new(path("work"), EntryKind::File);
    let instead = wire(&[vec![Record::Prune(path("work")), Record::Expect(gone)], file("work", "x"), done()]);
    std::fs::write(field.root.join("work/left"), "").unwrap();
    assert_eq!(field.receive(true, &instead).refused().0, ErrorCode::IsADirectory);
    std::fs::remove_file(field.root.join("work/left")).unwrap();
    field.receive(true, &instead).done::<ReceiveDone>();
    assert_eq!(field.read("work"), "x");
}

#[test]
fn folders_go_only_when_they_are_empty() {
    let mut field = Field::new();
    std::fs::create_dir_all(field.root.join("work/deep/er")).unwrap();
    std::fs::write(field.root.join("work/deep/er/a"), "a").unwrap();
    std::fs::write(field.root.join("work/b"), "b").unwrap();
    let prunes: Vec<Record> =
        ["work/deep/er", "work/deep", "work"].map(|at| Record::Prune(path(at))).to_vec();
    let before = field.state();
    let late = link(EntryKind::HardLink, "work/c", "work/none");
    field.receive(true, &wire(&[delete("work/deep/er/a"), prunes.clone(), late, done()])).refused();
    assert_eq!(field.state(), before);
    field.receive(true, &wire(&[delete("work/deep/er/a"), prunes, done()])).done::<ReceiveDone>();
    assert!(!field.root.join("work/deep").exists());
    assert_eq!(field.read("work/b"), "b");
}
