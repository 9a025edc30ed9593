//! Walks of real trees, and ignore rules held against git's own.

use super::super::fixture;
use super::*;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::process::Command;

fn paths(root: &Path, options: WalkOptions) -> Vec<String> {
    let walker = Walker::new(root, options).unwrap();
    walker.map(|entry| entry.unwrap().path.to_string()).collect()
}

fn honouring() -> WalkOptions {
    WalkOptions { ignore_files: true, ..WalkOptions::default() }
}

#[test]
fn folders_come_first_and_names_in_byte_order() {
    let root = tempfile::tempdir().unwrap();
    fixture::write(root.path(), &["a/z", "a.b", "a/b/c", "B", "empty/"]);
    let expected = ["", "B", "a", "a/b", "a/b/c", "a/z", "a.b", "empty"];
    assert_eq!(paths(root.path(), WalkOptions::default()), expected);
}

#[test]
fn links_are_data_and_hard_links_are_recognised() {
    let root = tempfile::tempdir().unwrap();
    fixture::write(root.path(), &["real/file", "b"]);
    symlink("/etc", root.path().join("absolute")).unwrap();
    symlink("real", root.path().join("folder-link")).unwrap();
    fs::hard_link(root.path().join("b"), root.path().join("real/b2")).unwrap();
    let outside = tempfile::tempdir().unwrap();
    symlink(root.path(), outside.path().join("root-link")).unwrap();
    let walker = Walker::new(&outside.path().join("root-link"), WalkOptions::default()).unwrap();
    let entries: Vec<Entry> = walker.map(Result::unwrap).collect();
    let of = |path: &str| entries.iter().find(|entry| entry.path.to_string() == path).unwrap();
    assert_eq!(entries.len(), 7);
    assert_eq!((of("absolute").kind, &of("absolute").target[..]), (EntryKind::Symlink, &b"/etc"[..]));
    assert_eq!((of("folder-link").kind, &of("folder-link").target[..]), (EntryKind::Symlink, &b"real"[..]));
    assert_eq!(of("b").kind, EntryKind::File);
    assert_eq!((of("real/b2").kind, &of("real/b2").target[..]), (EntryKind::HardLink, &b"b"[..]));
    assert!(entries.iter().all(|entry| (entry.uid, entry.gid) == (0, 0)));
}

#[test]
fn special_files_are_warned_of_and_odd_names_survive() {
    let root = tempfile::tempdir().unwrap();
    let odd = std::ffi::OsStr::from_bytes(b"odd\xff\n");
    fs::write(root.path().join(odd), "x").unwrap();
    fixture::fifo(&root.path().join("fifo"));
    let _socket = std::os::unix::net::UnixListener::bind(root.path().join("socket")).unwrap();
    let mut walker = Walker::new(root.path(), WalkOptions::default()).unwrap();
    let entries: Vec<Entry> = walker.by_ref().map(Result::unwrap).collect();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[1].path.as_bytes(), b"odd\xff\n");
    assert_eq!(walker.warnings().count(), 2);
    assert!(walker.warnings().list()[0].contains("fifo"));
}

#[test]
fn a_file_is_a_tree_of_one_and_what_is_missing_is_named() {
    let root = tempfile::tempdir().unwrap();
    fixture::write(root.path(), &["one"]);
    assert_eq!(paths(&root.path().join("one"), WalkOptions::default()), [""]);
    let error = Walker::new(&root.path().join("none"), WalkOptions::default()).unwrap_err();
    assert_eq!(error.code(), code::SOURCE_MISSING);
    assert!(error.to_string().ends_with("/none"), "{error}");
    fixture::fifo(&root.path().join("fifo"));
    assert!(matches!(
        Walker::new(&root.path().join("fifo"), WalkOptions::default()),
        Err(WalkError::Open { .. })
    ));
}

#[test]
fn a_walk_ends_at_its_limit_and_globs_leave_out() {
    let root = tempfile::tempdir().unwrap();
    fixture::write(root.path(), &["a", "b", "target/x", "src/y.o", "src/z"]);
    let exclude = vec!["target/".to_owned(), "*.o".to_owned()];
    assert_eq!(
        paths(root.path(), WalkOptions { exclude, ..WalkOptions::default() }),
        ["", "a", "b", "src", "src/z"]
    );
    let few = WalkOptions { entries_max: 2, ..WalkOptions::default() };
    let last = Walker::new(root.path(), few).unwrap().last().unwrap();
    assert_eq!(last.unwrap_err().code(), code::QUOTA_EXCEEDED);
    let bad = WalkOptions { exclude: vec!["a[".to_owned()], ..WalkOptions::default() };
    assert_eq!(Walker::new(root.path(), bad).unwrap_err().code(), code::PATTERN_INVALID);
}

#[test]
fn own_rules_win_over_gits_and_git_has_none_for_its_folder() {
    let root = tempfile::tempdir().unwrap();
    fixture::write(
        root.path(),
        &[".git/objects/x", ".git/config", "keep.log", "drop.log", "secret", "sub/secret"],
    );
    fs::write(root.path().join(".gitignore"), "*.log\nobjects/\nconfig\n").unwrap();
    fs::write(root.path().join(".pyroignore"), "!keep.log\n/secret\n").unwrap();
    let expected = [
        "",
        ".git",
        ".git/config",
        ".git/objects",
        ".git/objects/x",
        ".gitignore",
        ".pyroignore",
        "keep.log",
        "sub",
        "sub/secret",
    ];
    assert_eq!(paths(root.path(), honouring()), expected);
    assert!(paths(root.path(), WalkOptions::default()).contains(&"drop.log".to_owned()));
    fs::write(root.path().join(".pyroignore"), ".git\n").unwrap();
    assert!(!paths(root.path(), honouring()).iter().any(|path| path.starts_with(".git/")));
    let exclude = vec![".git".to_owned()];
    assert!(
        !paths(root.path(), WalkOptions { exclude, ..WalkOptions::default() }).contains(&".git".to_owned())
    );
}

/// What git would add to an empty index is what is walked.
#[test]
fn ignore_files_mean_what_they_mean_to_git() {
    let root = tempfile::tempdir().unwrap();
    let at = root.path();
    git(at, &["init", "-q"]);
    fixture::write(
        at,
        &[
            "a.o",
            "src/b.o",
            "src/main.c",
            "build/x",
            "src/build/y",
            "docs/build",
            "keep/a.tmp",
            "keep/b.tmp",
            "foo/bar/baz/q",
            "foo/q",
            "x/foo/bar/z",
            "deep/only/this",
            "deep/other",
            "spaced name ",
            "#hash",
            "!bang",
            "vendor/lib/a",
            "vendor/lib/keep",
            "node_modules/m/i.js",
            "sub/node_modules/n",
            "sub/local",
            "sub/z.o",
            "private",
            "CASE.TXT",
            "case.txt",
            "br[ack]",
            "a/b/c/d/e",
            "a/b/x",
            "empty-later/x",
            "trail\\ ",
        ],
    );
    fs::write(
        at.join(".gitignore"),
        "# comment\n*.o\n!/a.o\n/build/\nkeep/*\n!keep/b.tmp\nfoo/bar\n**/only/\nspaced name\\ \n\\#hash\n\\!bang\n\
         /vendor/lib/*\n!/vendor/lib/keep\nnode_modules\ncase.txt\na/**/e\nempty-later/**\n\r\nbr\\[ack\\]\n[\n!\n/\n",
    )
    .unwrap();
    fs::write(at.join("sub/.gitignore"), "!z.o\n/local\n").unwrap();
    fs::write(at.join("keep/.gitignore"), "!a.tmp\n").unwrap();
    fs::write(at.join(".git/info/exclude"), "private\n").unwrap();
    fixture::write(at, &["nested/.git/HEAD"]);
    fs::remove_dir_all(at.join("nested")).unwrap();

    let expected = git(at, &["ls-files", "-z", "--others", "--exclude-standard"]);
    let expected: BTreeSet<String> = expected.split_terminator('\0').map(str::to_owned).collect();
    let files = |root: &Path| {
        let walker = Walker::new(root, honouring()).unwrap();
        let files = walker.map(Result::unwrap).filter(|entry| entry.kind != EntryKind::Directory);
        files.map(|entry| entry.path.to_string()).collect::<BTreeSet<_>>()
    };
    let walked: BTreeSet<String> = files(at).into_iter().filter(|path| !path.starts_with(".git/")).collect();
    assert_eq!(walked, expected);
    assert!(expected.contains("sub/z.o") && !expected.contains("src/b.o"));

    // Below the top of the repository its rules hold as well.
    let sub: BTreeSet<String> =
        expected.iter().filter_map(|path| path.strip_prefix("sub/")).map(str::to_owned).collect();
    assert_eq!(files(&at.join("sub")), sub);
}

#[test]
fn a_repository_in_a_repository_has_its_own_rules() {
    let root = tempfile::tempdir().unwrap();
    fixture::write(root.path(), &[".git/HEAD", "a.log", "inner/.git/HEAD", "inner/b.log", "inner/c.tmp"]);
    fs::write(root.path().join(".gitignore"), "*.log\n").unwrap();
    fs::write(root.path().join("inner/.gitignore"), "*.tmp\n").unwrap();
    let paths = paths(root.path(), honouring());
    assert!(paths.contains(&"inner/b.log".to_owned()), "{paths:?}");
    assert!(!paths.contains(&"a.log".to_owned()) && !paths.contains(&"inner/c.tmp".to_owned()), "{paths:?}");
}

#[test]
fn rules_answer_for_paths_that_are_not_on_the_host() {
    let root = tempfile::tempdir().unwrap();
    fixture::write(root.path(), &["src/a"]);
    fs::write(root.path().join("src/.gitignore"), "/out\n").unwrap();
    let mut walker = Walker::new(root.path(), honouring()).unwrap();
    walker.by_ref().for_each(|entry| drop(entry.unwrap()));
    let excludes = |path: &str, folder| walker.rules().excludes(&TreePath::new(path).unwrap(), folder);
    assert!(excludes("src/out", true) && excludes("src/out/deep/file", false));
    assert!(!excludes("out", true) && !excludes("src/deep/out", true));
}

/// A link in place of an ignore file could make the walk read anything.
#[test]
fn ignore_files_are_not_followed() {
    let root = tempfile::tempdir().unwrap();
    let outside = tempfile::NamedTempFile::new().unwrap();
    fs::write(outside.path(), "*\n").unwrap();
    fixture::write(root.path(), &["a"]);
    symlink(outside.path(), root.path().join(".gitignore")).unwrap();
    assert_eq!(paths(root.path(), honouring()), ["", ".gitignore", "a"]);
}

fn git(root: &Path, args: &[&str]) -> String {
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(root)
        .args(args)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1");
    let output = command.env("XDG_CONFIG_HOME", "/nonexistent").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
