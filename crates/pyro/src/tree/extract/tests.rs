//! Round trips of real trees, and what a hostile guest cannot do.

use super::super::fixture;
use super::*;
use crate::code;
use crate::code::Coded;
use pyro_proto::tree::Timestamp;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;

fn entry(path: &str, kind: EntryKind) -> Entry {
    let mut entry = Entry::new(TreePath::new(path).unwrap(), kind);
    entry.mode = if kind == EntryKind::Directory { 0o755 } else { 0o644 };
    entry.mtime = Timestamp { s: 1_000_000, ns: 5 };
    entry
}

fn folder(path: &str) -> Vec<Record> {
    vec![Record::Entry(entry(path, EntryKind::Directory))]
}

fn file(path: &str, content: &str) -> Vec<Record> {
    vec![Record::Entry(entry(path, EntryKind::File)), Record::Data(content.as_bytes().to_vec()), Record::End]
}

fn link(path: &str, kind: EntryKind, target: &str) -> Vec<Record> {
    vec![Record::Entry(Entry { target: target.as_bytes().to_vec(), ..entry(path, kind) })]
}

fn symlink_record(path: &str, target: &str) -> Vec<Record> {
    link(path, EntryKind::Symlink, target)
}

fn feed(mut extractor: Extractor, records: Vec<Vec<Record>>) -> Result<Extracted, ExtractError> {
    for record in records.into_iter().flatten().chain([Record::Done(b"{}".to_vec())]) {
        extractor.record(record)?;
    }
    extractor.finish()
}

fn create(
    target: &Path,
    records: Vec<Vec<Record>>,
    options: ExtractOptions,
) -> Result<Extracted, ExtractError> {
    feed(Extractor::create(target, options)?, records)
}

fn update(
    target: &Path,
    records: Vec<Vec<Record>>,
    options: ExtractOptions,
) -> Result<Extracted, ExtractError> {
    feed(Extractor::update(target, options)?, records)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_tree_survives_the_journey() {
    let from = tempfile::tempdir().unwrap();
    fixture::zoo(from.path());
    let to = tempfile::tempdir().unwrap();
    let target = to.path().join("copy");
    let wire = fixture::encoded(from.path());
    let mut extractor = Extractor::create(&target, ExtractOptions::default()).unwrap();
    wire.chunks(7000).for_each(|piece| extractor.push(piece).unwrap());
    let extracted = extractor.finish().unwrap();
    assert_eq!(fixture::contents(&target), fixture::contents(from.path()));
    assert_eq!(extracted.kind, EntryKind::Directory);
    assert_eq!(fs::metadata(target.join("big")).unwrap().nlink(), 2);
    assert!(fixture::blocks(&target.join("sparse")) < 1000, "holes were filled");
    assert_eq!(names(to.path()), ["copy"]);
    fixture::unlock(from.path());
    fixture::unlock(&target);
}

#[test]
fn a_single_file_or_link_is_a_tree_too() {
    let to = tempfile::tempdir().unwrap();
    let options = ExtractOptions::default();
    let one = create(&to.path().join("one"), vec![file("", "content")], options).unwrap();
    assert_eq!(one.kind, EntryKind::File);
    assert_eq!(fs::read_to_string(to.path().join("one")).unwrap(), "content");
    let link = create(&to.path().join("link"), vec![symlink_record("", "one")], options).unwrap();
    assert_eq!(link.kind, EntryKind::Symlink);
    assert_eq!(fs::read_link(to.path().join("link")).unwrap(), Path::new("one"));
    assert_eq!(names(to.path()), ["link", "one"]);
    let twice = create(&to.path().join("two"), vec![file("", "a"), file("x", "b")], options);
    assert!(matches!(twice, Err(ExtractError::Order(_))));
    assert_eq!(names(to.path()), ["link", "one"]);
}

#[test]
fn a_target_that_exists_is_left_alone() {
    let to = tempfile::tempdir().unwrap();
    fixture::write(to.path(), &["there"]);
    symlink("nowhere", to.path().join("dangling")).unwrap();
    for name in ["there", "dangling"] {
        let error = Extractor::create(to.path().join(name), ExtractOptions::default()).unwrap_err();
        assert_eq!(error.code(), code::OUTPUT_EXISTS);
    }
    // Also one that appears meanwhile.
    let mut extractor = Extractor::create(to.path().join("late"), ExtractOptions::default()).unwrap();
    file("", "guest").into_iter().for_each(|record| extractor.record(record).unwrap());
    fs::write(to.path().join("late"), "host").unwrap();
    extractor.record(Record::Done(Vec::new())).unwrap();
    assert!(matches!(extractor.finish(), Err(ExtractError::Exists { .. })));
    assert_eq!(fs::read_to_string(to.path().join("late")).unwrap(), "host");
    assert_eq!(names(to.path()), ["dangling", "late", "there"]);
}

/// Each of these is refused, and neither the target nor anything else is there afterwards.
#[test]
fn hostile_trees_are_refused_and_leave_nothing() {
    let keep = ExtractOptions { links: Links::Keep, ..ExtractOptions::default() };
    let small = ExtractOptions { bytes_max: 5, entries_max: 3, ..ExtractOptions::default() };
    let normal = ExtractOptions::default();
    let cases: Vec<(&str, Vec<Vec<Record>>, ExtractOptions, &str)> = vec![
        ("absolute link", vec![folder(""), symlink_record("a", "/etc/passwd")], normal, code::LINK_ESCAPES),
        (
            "climbing link",
            vec![folder(""), folder("d"), symlink_record("d/a", "../../x")],
            normal,
            code::LINK_ESCAPES,
        ),
        (
            "links that climb together",
            vec![folder(""), symlink_record("s", "."), symlink_record("t", "s/s/s/../..")],
            normal,
            code::LINK_ESCAPES,
        ),
        (
            "through a link",
            vec![folder(""), symlink_record("out", "../.."), file("out/x", "x")],
            keep,
            code::OUTPUT_FAILED,
        ),
        (
            "through an absolute link",
            vec![folder(""), symlink_record("out", "/tmp"), file("out/x", "x")],
            keep,
            code::OUTPUT_FAILED,
        ),
        ("below a file", vec![folder(""), file("f", "x"), file("f/x", "x")], normal, code::OUTPUT_FAILED),
        (
            "a hard link through a link",
            vec![folder(""), symlink_record("out", "/etc"), link("h", EntryKind::HardLink, "out/hostname")],
            keep,
            code::OUTPUT_FAILED,
        ),
        (
            "a hard link to a link",
            vec![folder(""), symlink_record("out", "/etc/hostname"), link("h", EntryKind::HardLink, "out")],
            keep,
            code::OUTPUT_FAILED,
        ),
        (
            "a hard link to nothing",
            vec![folder(""), link("h", EntryKind::HardLink, "x")],
            normal,
            code::OUTPUT_FAILED,
        ),
        ("too many bytes", vec![folder(""), file("a", "123456")], small, code::QUOTA_EXCEEDED),
        (
            "too many entries",
            vec![folder(""), folder("a"), folder("b"), folder("c")],
            small,
            code::QUOTA_EXCEEDED,
        ),
        (
            "a full folder replaced",
            vec![folder(""), file("d/f", ""), file("d", "")],
            normal,
            code::OUTPUT_EXISTS,
        ),
        ("a second root", vec![folder(""), symlink_record("", "x")], normal, code::GUEST_PROTOCOL),
        (
            "deletions",
            vec![folder(""), vec![Record::Delete(TreePath::new("a").unwrap())]],
            normal,
            code::GUEST_PROTOCOL,
        ),
        (
            "content without a file",
            vec![folder(""), vec![Record::Data(vec![1])]],
            normal,
            code::GUEST_PROTOCOL,
        ),
        (
            "a file in a file",
            vec![vec![Record::Entry(entry("", EntryKind::File))], folder("x")],
            normal,
            code::GUEST_PROTOCOL,
        ),
        (
            "a hole beyond all",
            vec![vec![Record::Entry(entry("", EntryKind::File)), Record::Hole(u64::MAX), Record::End]],
            normal,
            code::OUTPUT_FAILED,
        ),
        (
            "a failure",
            vec![vec![Record::Failed(br#"{"code":"not_found","message":"no such thing"}"#.to_vec())]],
            normal,
            code::GUEST_REFUSED,
        ),
        ("nothing at all", vec![], normal, code::GUEST_PROTOCOL),
    ];
    for (name, records, options, expected) in cases {
        let to = tempfile::tempdir().unwrap();
        let error = create(&to.path().join("target"), records, options).expect_err(name);
        assert_eq!(error.code(), expected, "{name}: {error}");
        assert_eq!(names(to.path()), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_stream_that_is_cut_leaves_nothing() {
    let from = tempfile::tempdir().unwrap();
    fixture::zoo(from.path());
    let wire = fixture::encoded(from.path());
    for cut in [0, 100, 3000, wire.len() / 2, wire.len() - 1] {
        let to = tempfile::tempdir().unwrap();
        let mut extractor = Extractor::create(to.path().join("target"), ExtractOptions::default()).unwrap();
        extractor.push(&wire[..cut]).unwrap();
        assert!(matches!(extractor.finish(), Err(ExtractError::Cut)));
        assert_eq!(names(to.path()), Vec::<String>::new());
    }
    fixture::unlock(from.path());
}

/// Each harmless by what it says, and together a way out: what is only judged at the end must not outlive an early end.
#[test]
fn a_pull_that_is_cut_leaves_no_link_that_leads_out() {
    let links = || [symlink_record("s", "."), symlink_record("t", "s/s/../.."), symlink_record("fine", "f")];
    let to = tempfile::tempdir().unwrap();
    let mut extractor = Extractor::update(to.path(), ExtractOptions::default()).unwrap();
    let records = links().into_iter().chain([folder("d"), file("f", "x")]).flatten();
    records.for_each(|record| extractor.record(record).unwrap());
    assert!(matches!(extractor.finish(), Err(ExtractError::Cut)));
    assert_eq!(names(to.path()), ["d", "f", "fine", "s"]);
    // Nor does the first of several that are refused keep the others.
    let two = links().into_iter().chain([symlink_record("u", "s/../..")]).collect();
    assert!(matches!(
        update(to.path(), two, ExtractOptions::default()),
        Err(ExtractError::LinkEscapes { .. })
    ));
    assert_eq!(names(to.path()), ["d", "f", "fine", "s"]);
}

#[test]
fn folders_that_are_only_named_in_paths_count() {
    let few = ExtractOptions { entries_max: 4, ..ExtractOptions::default() };
    let to = tempfile::tempdir().unwrap();
    let outcome = |path: &str| create(&to.path().join("t"), vec![folder(""), file(path, "x")], few);
    assert!(matches!(outcome("a/b/c/f"), Err(ExtractError::TooMany { entries_max: 4 })));
    assert_eq!(outcome("a/b/f").unwrap().entries, 2);
    let again = |path: &str| update(&to.path().join("t"), vec![folder(""), file(path, "x")], few);
    // What is there already is not made.
    assert_eq!(again("a/b/g").unwrap().entries, 2);
    assert!(matches!(again("c/d/e/f"), Err(ExtractError::TooMany { .. })));
}

#[test]
fn set_id_bits_are_dropped_and_devices_are_not_made() {
    let to = tempfile::tempdir().unwrap();
    let target = to.path().join("t");
    let mut set_id = entry("suid", EntryKind::File);
    set_id.mode = 0o6755;
    let mut sticky = entry("d", EntryKind::Directory);
    sticky.mode = 0o3777;
    let records = vec![
        folder(""),
        vec![Record::Entry(set_id), Record::End],
        vec![Record::Entry(sticky)],
        vec![Record::Entry(entry("null", EntryKind::Special))],
    ];
    let extracted = create(&target, records, ExtractOptions::default()).unwrap();
    let mode = |name: &str| fs::metadata(target.join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("suid"), mode("d")), (0o755, 0o777));
    assert_eq!(names(&target), ["d", "suid"]);
    assert_eq!(extracted.warnings.count(), 1);
}

#[test]
fn links_that_lead_out_can_be_left_out_or_kept() {
    let records = || {
        vec![
            folder(""),
            symlink_record("abs", "/etc"),
            symlink_record("s", "."),
            symlink_record("t", "s/s/../.."),
            file("f", "x"),
        ]
    };
    let to = tempfile::tempdir().unwrap();
    let skip = ExtractOptions { links: Links::Skip, ..ExtractOptions::default() };
    let extracted = create(&to.path().join("skip"), records(), skip).unwrap();
    assert_eq!(names(&to.path().join("skip")), ["f", "s"]);
    assert_eq!(extracted.warnings.count(), 2);
    let keep = ExtractOptions { links: Links::Keep, ..ExtractOptions::default() };
    create(&to.path().join("keep"), records(), keep).unwrap();
    assert_eq!(names(&to.path().join("keep")), ["abs", "f", "s", "t"]);
}

#[test]
fn an_existing_folder_is_brought_up_to_date() {
    let to = tempfile::tempdir().unwrap();
    let at = to.path();
    fixture::write(at, &["old", "same", "gone/a/b", "gone/c", "empty/", "keep"]);
    let outside = tempfile::NamedTempFile::new().unwrap();
    fs::write(outside.path(), "untouched").unwrap();
    symlink(outside.path(), at.join("link")).unwrap();
    let delete = |path: &str| vec![Record::Delete(TreePath::new(path).unwrap())];
    let records = || {
        vec![
            delete("gone"),
            folder(""),
            file("old", "new"),
            file("link", "no longer a link"),
            file("made/x", "x"),
            file("empty", "file now"),
        ]
    };
    assert!(matches!(update(at, records(), ExtractOptions::default()), Err(ExtractError::Order(_))));
    let mirror = ExtractOptions { mirror: true, ..ExtractOptions::default() };
    let extracted = update(at, records(), mirror).unwrap();
    assert_eq!(names(at), ["empty", "keep", "link", "made", "old", "same"]);
    assert_eq!(fs::read_to_string(at.join("old")).unwrap(), "new");
    assert_eq!(fs::read_to_string(at.join("link")).unwrap(), "no longer a link");
    assert_eq!(fs::read_to_string(outside.path()).unwrap(), "untouched");
    assert_eq!(fs::metadata(at.join("old")).unwrap().mtime(), 1_000_000);
    assert_eq!(extracted.deleted, 4);
}

#[test]
fn a_full_folder_gives_way_to_a_file_only_in_a_mirror() {
    let to = tempfile::tempdir().unwrap();
    fixture::write(to.path(), &["d/host-file"]);
    let error = update(to.path(), vec![folder(""), file("d", "x")], ExtractOptions::default()).unwrap_err();
    assert_eq!(error.code(), code::OUTPUT_EXISTS);
    assert_eq!(names(to.path()), ["d"]);
    let mirror = ExtractOptions { mirror: true, ..ExtractOptions::default() };
    update(to.path(), vec![folder(""), file("d", "x")], mirror).unwrap();
    assert_eq!(fs::read_to_string(to.path().join("d")).unwrap(), "x");
}

/// What is written in an existing folder is never seen half, and is no way out of it through links of the host's own.
#[test]
fn an_update_passes_through_no_link() {
    let to = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    symlink(outside.path(), to.path().join("data")).unwrap();
    let error =
        update(to.path(), vec![folder(""), file("data/x", "x")], ExtractOptions::default()).unwrap_err();
    assert_eq!(error.code(), code::OUTPUT_FAILED);
    assert_eq!(names(outside.path()), Vec::<String>::new());

    fs::write(to.path().join("f"), "old").unwrap();
    let mut extractor = Extractor::update(to.path(), ExtractOptions::default()).unwrap();
    extractor.record(Record::Entry(entry("", EntryKind::Directory))).unwrap();
    extractor.record(Record::Entry(entry("f", EntryKind::File))).unwrap();
    extractor.record(Record::Data(b"half".to_vec())).unwrap();
    assert_eq!(fs::read_to_string(to.path().join("f")).unwrap(), "old");
    drop(extractor);
    assert_eq!(names(to.path()), ["data", "f"]);
}

#[test]
fn a_deep_tree_of_a_failed_export_is_removed() {
    let to = tempfile::tempdir().unwrap();
    let mut extractor = Extractor::create(to.path().join("t"), ExtractOptions::default()).unwrap();
    let deep = ["d"; 1500].join("/");
    for record in [folder(""), file(&deep, "x")].concat() {
        extractor.record(record).unwrap();
    }
    drop(extractor);
    assert_eq!(names(to.path()), Vec::<String>::new());
}
