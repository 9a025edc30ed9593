//! Single patches: hostile ones, and what is said about those that do not fit. It must not start git.

use crate::tree::Tree;
use crate::tree::file;
use crate::tree::link;
use crate::tree::path;
use crate::tree::program;
use pyro::Coded as _;
use pyro::patch::Action;
use pyro::patch::AppliedAlready;
use pyro::patch::ApplyError;
use pyro::patch::ApplyOptions;
use pyro::patch::Limits;
use pyro::patch::ParseOptions;
use pyro::patch::Patch;
use pyro::patch::PatchError;
use pyro::patch::Reason;
use pyro::patch::Status;
use pyro::patch::apply;
use std::error::Error;

fn new_file(name: &str) -> String {
    format!("--- /dev/null\n+++ {name}\n@@ -0,0 +1 @@\n+x\n")
}

fn code_of(patch: &[u8]) -> String {
    Patch::parse(patch).map_or_else(|error| error.code().to_owned(), |_| "taken".to_owned())
}

#[test]
fn hostile_paths_are_refused_and_named() {
    let escapes = [
        "/etc/x",
        "../x",
        "b/../../x",
        "b/..",
        "b/x/../../../y",
        "\"b/\\056\\056/x\"",
        "..",
        "/",
        "b/x/..",
        "//x",
    ];
    for name in escapes {
        assert_eq!(code_of(new_file(name).as_bytes()), "patch_path_escapes", "{name}");
        let moved = format!("diff --git a/f b/g\nrename from f\nrename to {name}\n");
        assert_eq!(code_of(moved.as_bytes()), "patch_path_escapes", "{name}");
        let mode = format!("diff --git {name} {name}\nold mode 100644\nnew mode 100755\n");
        assert_eq!(code_of(mode.as_bytes()), "patch_path_escapes", "{name}");
    }
    let error = Patch::parse(new_file("b/../../x").as_bytes()).map(|_| ()).unwrap_err();
    assert_eq!(error, PatchError::PathEscapes { path: "b/../../x".to_owned(), line: 1 });
    let long = format!("b/{}", "x".repeat(4096));
    for name in ["b/", "\"b/x\\000y\"", "\"b/open", "", &long, "b/./.", "\"b/\\777\""] {
        assert_eq!(code_of(new_file(name).as_bytes()), "patch_invalid", "{name}");
    }
}

#[test]
fn explicit_prefixes_are_taken_off() -> Result<(), Box<dyn Error>> {
    let strip = |strip| ParseOptions { strip: Some(strip), ..ParseOptions::default() };
    let patch = new_file("one/two/three");
    for (count, name) in [(0, "one/two/three"), (1, "two/three"), (2, "three")] {
        let patch = Patch::parse_with(patch.as_bytes(), &strip(count))?;
        assert_eq!(patch.files()[0].new_path, path(name));
    }
    assert!(Patch::parse_with(patch.as_bytes(), &strip(3)).is_err());
    assert!(Patch::parse_with(new_file("a/../x").as_bytes(), &strip(2)).is_err());
    Ok(())
}

#[test]
fn numbers_that_overflow_are_refused() {
    for range in [
        "-1,99999999999999999999 +1",
        "-1 +1,4294967296",
        "-18446744073709551615,1 +1",
        "-1,-1 +1",
        "-1,4294967295 +1",
    ] {
        let patch = format!("--- a/f\n+++ b/f\n@@ {range} @@\n-1\n+x\n");
        assert_eq!(code_of(patch.as_bytes()), "patch_invalid", "{range}");
    }
    let far = "--- a/f\n+++ b/f\n@@ -4294967295,2 +4294967295,2 @@\n-1\n+x\n 2\n";
    let tree = Tree::of([("f", file("0\n1\n2\n3\n"))]);
    assert!(apply(&Patch::parse(far.as_bytes()).unwrap(), &tree, &ApplyOptions::default()).is_ok());
}

#[test]
fn each_limit_is_held() {
    let limits = Limits {
        patch_bytes_max: 4000,
        files_max: 3,
        hunks_max: 4,
        lines_max: 20,
        line_bytes_max: 1000,
        binary_bytes_max: 1000,
    };
    let options = ParseOptions { strip: None, limits };
    let what = |patch: &str| match Patch::parse_with(patch.as_bytes(), &options) {
        Err(PatchError::TooLarge { what, .. }) => what,
        _ => "",
    };
    let hunk = "@@ -1 +1 @@\n-1\n+2\n";
    assert_eq!(what(&"x".repeat(4001)), "bytes");
    assert_eq!(what(&new_file("x").repeat(4)), "files");
    assert_eq!(what(&format!("--- a/f\n+++ b/f\n{}", hunk.repeat(5))), "hunks");
    assert_eq!(what(&format!("--- a/f\n+++ b/f\n@@ -1,0 +1,21 @@\n{}", "+1\n".repeat(21))), "lines in hunks");
    assert_eq!(
        what(&format!("--- a/f\n+++ b/f\n@@ -1 +1 @@\n-{}\n+\n", "x".repeat(1000))),
        "bytes in one line"
    );
    let binary = "diff --git a/f b/f\nindex 1..2\nGIT binary patch\nliteral 1001\nAcmV\n\n";
    assert_eq!(what(binary), "bytes of binary content");
    assert_eq!(what(&binary.replace("1001", "600")), "");
}

/// A small stream that would inflate to 64 MiB, behind a size that says less, and one that says all of it.
#[test]
fn bombs_are_refused() -> Result<(), Box<dyn Error>> {
    let bomb = pyro::diff::diff(
        &[pyro::diff::Pair {
            path: path("f"),
            old: None,
            new: Some(pyro::diff::Side::file(0o644, &vec![0; 16 << 20])),
        }],
        &pyro::diff::DiffOptions::default(),
    );
    let text = String::from_utf8(bomb.patch)?;
    assert!(text.len() < 100_000, "it is no bomb");
    assert_eq!(code_of(text.as_bytes()), "taken");
    assert_eq!(code_of(text.replace("literal 16777216", "literal 100").as_bytes()), "patch_invalid");
    assert_eq!(
        code_of(text.replace("literal 16777216", "literal 99999999999").as_bytes()),
        "patch_too_large"
    );
    assert_eq!(
        code_of(text.replace("literal 16777216", "literal 99999999999999999999").as_bytes()),
        "patch_invalid"
    );
    let limits = Limits { binary_bytes_max: 1 << 20, ..Limits::default() };
    let parsed = Patch::parse_with(text.as_bytes(), &ParseOptions { strip: None, limits });
    assert!(matches!(parsed, Err(PatchError::TooLarge { .. })));
    Ok(())
}

#[test]
fn submodules_are_refused() {
    let patch = "diff --git a/sub b/sub\nnew file mode 160000\nindex 0000000..1234567\n--- /dev/null\n+++ b/sub\n@@ -0,0 +1 @@\n+Subproject commit 1234567\n";
    assert!(matches!(Patch::parse(patch.as_bytes()), Err(PatchError::Submodule { line: 2, .. })));
}

#[test]
fn errors_of_reading_name_file_hunk_and_line() {
    let text = |patch: &str| Patch::parse(patch.as_bytes()).map(|_| ()).unwrap_err().to_string();
    let header = "prose\n--- a/f\n+++ b/f\n";
    assert_eq!(
        text(&format!("{header}@@ -1 +1 @@\n-1\n+2\n@@ -5,9 +5,9 @@\n 1\n-1\nx\n")),
        "line 10: hunk 2 of 'f' has fewer lines than it says"
    );
    assert_eq!(
        text(&format!("{header}@@ -1 +1 @@\n-1\n+2\n+3\n")),
        "line 7: hunk 1 of 'f' has more lines than it says"
    );
    assert_eq!(
        text(&format!("{header}@@ -1,2 +1,2 @@\n-1\n\\ No newline at end of file\n-2\n+1\n+2\n")),
        "line 4: hunk 1 of 'f' goes on after a line without newline"
    );
    assert_eq!(text(""), "there is no patch in these 0 bytes");
    assert_eq!(
        text("diff --git a/f b/f\nindex 1..2\nGIT binary patch\nliteral 3\nAx\n\n"),
        "line 5: the binary content of 'f' has a malformed line"
    );
}

fn refused(tree: &Tree, patch: &str, fuzz_max: u8) -> ApplyError {
    let options = ApplyOptions { fuzz_max, reverse: false };
    apply(&Patch::parse(patch.as_bytes()).unwrap(), tree, &options).map(|_| ()).unwrap_err()
}

#[test]
fn errors_of_applying_say_what_is_there_and_what_is_wanted() {
    let tree = Tree::of([("f", file("1\n2\n3\n4\n")), ("g", file("a\n"))]);
    let patch = "--- a/f\n+++ b/f\n@@ -1,4 +1,4 @@\n 1\n 2\n-drei\n+three\n 4\n--- a/h\n+++ b/h\n@@ -1 +1 @@\n-a\n+b\n";
    let error = refused(&tree, patch, 0);
    let text = "the patch does not apply: f: hunk 1 does not fit: line 3 is '3', and the patch wants 'drei' \
                (line 3 of the patch); another file fails, too";
    assert_eq!(error.to_string(), text);
    assert_eq!((error.code(), error.already), ("patch_conflict", AppliedAlready::No));
    assert_eq!(error.failures[1].reason, Reason::Missing);
    let moved = refused(&tree, "diff --git a/none b/new\nrename from none\nrename to new\n", 0);
    assert_eq!(
        moved.to_string(),
        "the patch does not apply: none: the file does not exist (line 1 of the patch)"
    );
    let space = "--- a/f\n+++ b/f\n@@ -1,4 +1,4 @@\n 1\n 2\n-3\t\n+three\n 4\n";
    assert!(refused(&tree, space, 0).to_string().contains("line 3 differs in white space: '3'"));
    let newline = "--- a/f\n+++ b/f\n@@ -3,2 +3,2 @@\n 3\n-4\n\\ No newline at end of file\n+four\n";
    assert!(refused(&tree, newline, 0).to_string().contains("line 4 is not the last or has a newline"));
}

#[test]
fn what_is_applied_already_is_noticed() {
    let patch = "--- a/f\n+++ b/f\n@@ -1,2 +1,2 @@\n 1\n-2\n+two\n--- a/g\n+++ b/g\n@@ -1 +1 @@\n-a\n+b\n";
    let both = Tree::of([("f", file("1\ntwo\n")), ("g", file("b\n"))]);
    let one = Tree::of([("f", file("1\ntwo\n")), ("g", file("a\n"))]);
    assert_eq!(refused(&both, patch, 0).already, AppliedAlready::Patch);
    assert_eq!(refused(&one, patch, 0).already, AppliedAlready::File);
    assert!(refused(&both, patch, 0).hints()[0].contains("applied already"));
    let new = Tree::of([("x", file("x\n"))]);
    assert_eq!(refused(&new, &new_file("x"), 0).already, AppliedAlready::Patch);
}

#[test]
fn links_in_the_way_are_an_escape() {
    let tree = Tree::of([("link", link("/etc")), ("f", file("x"))]);
    let error = refused(&tree, &new_file("link/passwd"), 0);
    assert_eq!(error.code(), "patch_path_escapes");
    assert_eq!(
        error.to_string(),
        "the patch does not apply: link/passwd: 'link' is a symbolic link, not a folder (line 1 of the patch)"
    );
    // Not even when the same patch makes the link.
    let both = format!(
        "diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+/etc\n\\ No newline at end of file\n{}",
        new_file("l/passwd")
    );
    assert_eq!(refused(&tree, &both, 0).code(), "patch_path_escapes");
}

#[test]
fn reports_say_where_hunks_went() -> Result<(), Box<dyn Error>> {
    let lines: String = (1..=30).map(|line| format!("{line}\n")).collect();
    let tree = Tree::of([("f", file(format!("new\nnew\n{lines}")))]);
    let patch =
        "--- a/f\n+++ b/f\n@@ -4,3 +4,3 @@\n 4\n-5\n+five\n 6\n@@ -20,3 +20,4 @@\n 20\n+x\n 21\n 22\n";
    let applied = apply(&Patch::parse(patch.as_bytes())?, &tree, &ApplyOptions::default())?;
    let report = &applied.reports[0];
    assert_eq!(report.status, Status::Modified);
    let places: Vec<_> =
        report.hunks.iter().map(|hunk| (hunk.hunk, hunk.line, hunk.offset, hunk.fuzz)).collect();
    assert_eq!(places, [(1, 6, 2, 0), (2, 22, 2, 0)]);
    Ok(())
}

#[test]
fn fuzz_leaves_out_context_and_nothing_else() -> Result<(), Box<dyn Error>> {
    let tree = Tree::of([("f", file("one\n2\n3\n4\n5\n6\nseven\n"))]);
    let patch = "--- a/f\n+++ b/f\n@@ -1,7 +1,7 @@\n 1\n 2\n 3\n-4\n+four\n 5\n 6\n 7\n";
    refused(&tree, patch, 0);
    let options = ApplyOptions { fuzz_max: 2, reverse: false };
    let applied = apply(&Patch::parse(patch.as_bytes())?, &tree, &options)?;
    assert_eq!(applied.reports[0].hunks[0].fuzz, 1);
    let mut made = tree.clone();
    made.carry_out(applied);
    assert_eq!(made, Tree::of([("f", file("one\n2\n3\nfour\n5\n6\nseven\n"))]));
    let wrong = patch.replace("-4", "-vier");
    assert!(matches!(refused(&tree, &wrong, 3).failures[0].reason, Reason::Hunk { .. }));
    Ok(())
}

#[test]
fn permissions_beyond_those_of_git_stay() -> Result<(), Box<dyn Error>> {
    let mut tree = Tree::of([("f", program("1\n")), ("g", file("1\n"))]);
    for (name, mode) in [("f", 0o2750), ("g", 0o640)] {
        tree.0.entry(path(name)).and_modify(|node| node.mode = mode);
    }
    let patch =
        "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-1\n+2\ndiff --git a/g b/g\nold mode 100644\nnew mode 100755\n";
    let applied = apply(&Patch::parse(patch.as_bytes())?, &tree, &ApplyOptions::default())?;
    let modes: Vec<u32> = applied
        .changes
        .iter()
        .map(|change| match change.action {
            Action::Write { mode, .. } => mode,
            Action::Delete => 0,
        })
        .collect();
    assert_eq!(modes, [0o2750, 0o750]);
    assert_eq!(applied.reports[1].status, Status::ModeChanged);
    Ok(())
}

#[test]
fn needed_paths_are_files_and_the_folders_above_them() -> Result<(), Box<dyn Error>> {
    let patch = format!("{}diff --git a/d/f b/e/g\nrename from d/f\nrename to e/g\n", new_file("b/e/x"));
    let needed = Patch::parse(patch.as_bytes())?.paths_needed()?;
    let needed: Vec<_> = needed.iter().map(|needed| (needed.path.to_string(), needed.content)).collect();
    let expected = [("d", false), ("d/f", true), ("e", false), ("e/g", true), ("e/x", true)];
    assert_eq!(needed, expected.map(|(path, content)| (path.to_owned(), content)));
    Ok(())
}

#[test]
fn a_moved_file_keeps_whose_it_is() -> Result<(), Box<dyn Error>> {
    let tree = Tree::of([("f", file("x\n"))]);
    let patch = "diff --git a/f b/g\nrename from f\nrename to g\n";
    let applied = apply(&Patch::parse(patch.as_bytes())?, &tree, &ApplyOptions::default())?;
    assert!(matches!(&applied.changes[0].action, Action::Delete));
    assert!(
        matches!(&applied.changes[1].action, Action::Write { source: Some(source), .. } if *source == path("f"))
    );
    assert_eq!((applied.reports[0].status, &applied.reports[0].from), (Status::Renamed, &Some(path("f"))));
    Ok(())
}

#[test]
fn a_copy_that_changed_is_not_taken_back() {
    let patch = Patch::parse(b"diff --git a/f b/g\ncopy from f\ncopy to g\n").unwrap();
    let options = ApplyOptions { reverse: true, ..ApplyOptions::default() };
    let mut tree = Tree::of([("f", file("x\n")), ("g", file("x\n"))]);
    assert!(apply(&patch, &tree, &options).is_ok());
    tree.0.insert(path("g"), file("precious\n"));
    let error = apply(&patch, &tree, &options).map(|_| ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the patch does not apply: g: the file is not a copy of 'f' any more (line 1 of the patch)"
    );
}

#[test]
fn a_plain_patch_may_make_a_file_without_dev_null() -> Result<(), Box<dyn Error>> {
    let patch = "--- a/new\n+++ b/new\n@@ -0,0 +1 @@\n+x\n";
    let mut tree = Tree::default();
    tree.carry_out(apply(&Patch::parse(patch.as_bytes())?, &tree, &ApplyOptions::default())?);
    assert_eq!(tree, Tree::of([("new", file("x\n"))]));
    Ok(())
}

/// As some programs write it that keep the file before.
#[test]
fn of_two_names_without_prefix_the_shorter_is_the_file() -> Result<(), Box<dyn Error>> {
    for (old, new) in [("f.orig", "f"), ("f", "f.new"), ("f", "f"), ("./f", "./f"), ("p-1/f", "p-2/f")] {
        let patch = format!("--- {old}\n+++ {new}\n@@ -1 +1 @@\n-x\n+y\n");
        let patch = Patch::parse(patch.as_bytes())?;
        assert_eq!(patch.files()[0].new_path, path("f"), "{old} {new}");
    }
    Ok(())
}

#[test]
fn a_hunk_at_the_top_may_have_moved_down() -> Result<(), Box<dyn Error>> {
    let patch = "--- a/f\n+++ b/f\n@@ -1,7 +1,7 @@\n 1\n 2\n 3\n-4\n+four\n 5\n 6\n 7\n";
    let mut tree = Tree::of([("f", file("licence\n1\n2\n3\n4\n5\n6\n7\n8\n"))]);
    tree.carry_out(apply(&Patch::parse(patch.as_bytes())?, &tree, &ApplyOptions::default())?);
    assert_eq!(tree, Tree::of([("f", file("licence\n1\n2\n3\nfour\n5\n6\n7\n8\n"))]));
    Ok(())
}
