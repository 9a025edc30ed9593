//! Bounds, and what is named. That patches are right is held against the real git elsewhere.

use super::*;
use pyro_proto::tree::TreePath;

fn path(name: &str) -> TreePath {
    TreePath::new(name).unwrap()
}

fn pair<'a>(name: &str, old: Option<Side<'a>>, new: Option<Side<'a>>) -> Pair<'a> {
    Pair { path: path(name), old, new }
}

const fn file(content: &[u8]) -> Option<Side<'_>> {
    Some(Side::file(0o644, content))
}

#[test]
fn each_path_is_named_once() {
    let pairs = [
        pair("added", None, file(b"1\n")),
        pair("binary", file(b"\0"), file(b"\0\0")),
        pair("deleted", file(b"2\n"), None),
        pair("executable", file(b"3\n"), Some(Side::file(0o755, b"3\n"))),
        pair("from", file(b"4\n"), None),
        pair("permission", file(b"5\n"), Some(Side::file(0o600, b"5\n"))),
        pair("same", file(b"6\n"), file(b"6\n")),
        pair("text", file(b"7\n"), file(b"8\n")),
        pair("to", None, file(b"4\n")),
        pair("type", file(b"9\n"), Some(Side::symlink(b"9"))),
        pair("nothing", None, None),
    ];
    let diff = diff(&pairs, &DiffOptions::default());
    let statuses: Vec<&str> = diff.files.iter().map(|file| file.status.name()).collect();
    let expected = ["added", "modified", "deleted", "modified", "modified", "renamed", "type_changed"];
    assert_eq!(statuses, expected);
    let names: Vec<String> = diff.files.iter().map(|file| file.path.to_string()).collect();
    assert_eq!(names, ["added", "binary", "deleted", "executable", "text", "to", "type"]);
    assert_eq!(diff.files[5].from, Some(path("from")));
    let parts: Vec<u8> = diff.files.iter().flat_map(|file| diff.patch_of(file).to_vec()).collect();
    assert_eq!(parts, diff.patch);
    assert!(diff.is_complete());
}

#[test]
fn what_is_too_large_is_named_and_flagged() {
    let options = DiffOptions {
        binary_bytes_max: 10,
        text_bytes_max: 20,
        patch_bytes_max: 520,
        ..DiffOptions::default()
    };
    let (long, longer) = ([b'x'; 21], "1\n2\n3\n4\n5\n".repeat(2));
    let many: Vec<Vec<u8>> = (0..40u8).map(|number| vec![b'a' + number % 26, b'\n']).collect();
    let many = many.concat();
    let large = Side { content: Content::Omitted { size_bytes: 1 << 40 }, ..Side::file(0o644, b"") };
    let pairs = [
        pair("binary", None, file(b"\0 more than ten bytes")),
        pair("huge", file(b"1\n"), Some(large)),
        pair("long", None, file(&long)),
        pair("many", None, file(&many[..20])),
        pair("more", None, file(longer.as_bytes())),
    ];
    let diff = diff(&pairs, &options);
    let shown: Vec<Shown> = diff.files.iter().map(|file| file.shown).collect();
    assert_eq!(shown, [Shown::Differs, Shown::Differs, Shown::Differs, Shown::Text, Shown::LeftOut]);
    assert_eq!(diff.files[1].new_size_bytes, 1 << 40);
    assert!(!diff.is_complete());
    assert!(diff.patch.len() <= 520);
    assert_eq!(diff.patch_of(&diff.files[4]), b"");
    assert!(diff.stat(80).contains(" huge   | Bin 2 -> 1099511627776 bytes\n"), "{}", diff.stat(80));
}

#[test]
fn binary_contents_are_bounded_together_too() {
    let pairs = [pair("a", None, file(b"\0one")), pair("b", None, file(b"\0two"))];
    let diff = diff(&pairs, &DiffOptions { binary_total_bytes_max: 7, ..DiffOptions::default() });
    let shown: Vec<Shown> = diff.files.iter().map(|file| file.shown).collect();
    assert_eq!(shown, [Shown::Binary, Shown::Differs]);
}

#[test]
fn moved_files_are_found_by_what_they_have_in_common() {
    let body: String = (0..100).map(|line| format!("line {line}\n")).collect();
    let changed = body.replace("line 5\n", "other\n");
    let half = body[..body.len() / 3].to_owned();
    let pairs = [
        pair("a/one", file(body.as_bytes()), None),
        pair("b/one", None, file(changed.as_bytes())),
        pair("b/two", None, file(half.as_bytes())),
        pair("empty", file(b""), None),
        pair("hollow", None, file(b"")),
        pair("link", Some(Side::symlink(b"x")), None),
        pair("plain", None, file(b"x")),
    ];
    let moved = diff(&pairs, &DiffOptions::default());
    let count = |diff: &Diff| {
        let of = |status| diff.files.iter().filter(|file| file.status == status).count();
        [DiffStatus::Renamed, DiffStatus::Added, DiffStatus::Deleted].map(of)
    };
    assert_eq!(count(&moved), [1, 3, 2]);
    assert_eq!((&moved.files[0].from, moved.files[0].similarity), (&Some(path("a/one")), Some(99)));
    let plain = diff(&pairs, &DiffOptions { renames: false, ..DiffOptions::default() });
    assert_eq!(count(&plain), [0, 4, 3]);
    let none = diff(&pairs, &DiffOptions { rename_lines_max: 50, ..DiffOptions::default() });
    assert_eq!(count(&none)[0], 0);
}
