//! Single patches of which git and we must think the same, and the words of `git diff --stat`. It must not make trees
//! at random.

use crate::git;
use crate::tree::Node;
use crate::tree::Tree;
use crate::tree::file;
use crate::tree::link;
use crate::tree::pairs;
use crate::tree::program;
use pyro::diff::DiffOptions;
use pyro::diff::diff;
use pyro::patch::ApplyOptions;
use pyro::patch::Patch;
use pyro::patch::apply;
use std::error::Error;

fn ours(tree: &Tree, patch: &[u8]) -> Result<Tree, Box<dyn Error>> {
    let applied = apply(&Patch::parse(patch)?, tree, &ApplyOptions::default())?;
    let mut tree = tree.clone();
    tree.carry_out(applied);
    Ok(tree)
}

/// Numbered lines, from 1.
fn numbered(lines: std::ops::RangeInclusive<usize>) -> Vec<u8> {
    lines.map(|line| format!("{line}\n")).collect::<String>().into_bytes()
}

fn tree() -> Tree {
    Tree::of([
        ("f", file("1\n2\n3\n4\n5\n6\n7\n8\n")),
        ("empty", file("")),
        ("open", file("1\n2\n3")),
        ("crlf", file("1\r\n2\r\n3\r\n")),
        ("sql", file("-- one\nselect 1;\n-- two\n")),
        ("run", program("#!/bin/sh\n")),
        ("link", link("f")),
        ("d/x", file("x\n")),
        ("a file", file("1\n2\n")),
        ("long", file(numbered(1..=40))),
    ])
}

/// Patches that both take, and make the same of.
const TAKEN: &[(&str, &str)] = &[
    ("plain", "--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n 1\n-2\n+two\n 3\n"),
    (
        "plain with times",
        "--- a/f\t2026-01-01 10:00:00 +0000\n+++ b/f\t2026-01-01 11:00:00 +0000\n@@ -1,3 +1,3 @@\n 1\n-2\n+two\n 3\n",
    ),
    ("offset", "--- a/long\n+++ b/long\n@@ -2,7 +2,6 @@\n 17\n 18\n 19\n-20\n 21\n 22\n 23\n"),
    (
        "two hunks",
        "--- a/long\n+++ b/long\n@@ -1,3 +1,4 @@\n 1\n+new\n 2\n 3\n@@ -37,4 +38,3 @@\n 37\n 38\n-39\n 40\n",
    ),
    ("at the end", "--- a/f\n+++ b/f\n@@ -6,3 +6,4 @@\n 6\n 7\n 8\n+9\n"),
    ("newline goes", "--- a/f\n+++ b/f\n@@ -6,3 +6,3 @@\n 6\n 7\n-8\n+8\n\\ No newline at end of file\n"),
    (
        "newline comes",
        "--- a/open\n+++ b/open\n@@ -1,3 +1,3 @@\n 1\n 2\n-3\n\\ No newline at end of file\n+3\n",
    ),
    (
        "open stays",
        "--- a/open\n+++ b/open\n@@ -1,3 +1,3 @@\n-1\n+one\n 2\n 3\n\\ No newline at end of file\n",
    ),
    ("carriage returns", "--- a/crlf\n+++ b/crlf\n@@ -1,3 +1,3 @@\n 1\r\n-2\r\n+two\r\n 3\r\n"),
    ("comments go", "--- a/sql\n+++ b/sql\n@@ -1,3 +1,1 @@\n--- one\n select 1;\n--- two\n"),
    ("new", "diff --git a/new b/new\nnew file mode 100755\n--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+x\n"),
    ("new in a folder", "--- /dev/null\n+++ b/p/q/new\n@@ -0,0 +1 @@\n+x\n"),
    ("new and empty", "diff --git a/new b/new\nnew file mode 100644\nindex 0000000..e69de29\n"),
    (
        "new link",
        "diff --git a/new b/new\nnew file mode 120000\n--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+../../anywhere\n\\ No newline at end of file\n",
    ),
    (
        "gone",
        "diff --git a/d/x b/d/x\ndeleted file mode 100644\n--- a/d/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n",
    ),
    ("empty gone", "diff --git a/empty b/empty\ndeleted file mode 100644\nindex e69de29..0000000\n"),
    ("mode", "diff --git a/f b/f\nold mode 100644\nnew mode 100755\n"),
    ("mode of a name with space", "diff --git a/a file b/a file\nold mode 100644\nnew mode 100755\n"),
    ("moved", "diff --git a/f b/g\nsimilarity index 100%\nrename from f\nrename to g\n"),
    (
        "moved into a folder",
        "diff --git a/f b/n/g\nsimilarity index 90%\nrename from f\nrename to n/g\n--- a/f\n+++ b/n/g\n@@ -1,3 +1,3 @@\n-1\n+one\n 2\n 3\n",
    ),
    ("copied", "diff --git a/f b/g\nsimilarity index 100%\ncopy from f\ncopy to g\n"),
    (
        "changed places",
        "diff --git a/f b/sql\nsimilarity index 100%\nrename from f\nrename to sql\ndiff --git a/sql b/f\nsimilarity index 100%\nrename from sql\nrename to f\n",
    ),
    (
        "file to link",
        "diff --git a/f b/f\ndeleted file mode 100644\n--- a/f\n+++ /dev/null\n@@ -1,8 +0,0 @@\n-1\n-2\n-3\n-4\n-5\n-6\n-7\n-8\ndiff --git a/f b/f\nnew file mode 120000\n--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+sql\n\\ No newline at end of file\n",
    ),
    (
        "link changes",
        "diff --git a/link b/link\nindex 6a69f92..1f67d42 120000\n--- a/link\n+++ b/link\n@@ -1 +1 @@\n-f\n\\ No newline at end of file\n+sql\n\\ No newline at end of file\n",
    ),
    (
        "folder to file",
        "diff --git a/d b/d\nnew file mode 100644\n--- /dev/null\n+++ b/d\n@@ -0,0 +1 @@\n+x\ndiff --git a/d/x b/d/x\ndeleted file mode 100644\n--- a/d/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n",
    ),
    (
        "file to folder",
        "diff --git a/f b/f\ndeleted file mode 100644\n--- a/f\n+++ /dev/null\n@@ -1,8 +0,0 @@\n-1\n-2\n-3\n-4\n-5\n-6\n-7\n-8\ndiff --git a/f/g b/f/g\nnew file mode 100644\n--- /dev/null\n+++ b/f/g\n@@ -0,0 +1 @@\n+x\n",
    ),
    (
        "in a mail",
        "From 0123456789abcdef0123456789abcdef01234567 Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\nSubject: [PATCH] f\n\n- a list\n- in prose\n---\n f | 2 +-\n 1 file changed\n\ndiff --git a/f b/f\nindex 1..2 100644\n--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n 1\n-2\n+two\n 3\n-- \n2.39.5\n\n",
    ),
    (
        "quoted",
        "diff --git \"a/new\\tname\\303\\274\" \"b/new\\tname\\303\\274\"\nnew file mode 100644\n--- /dev/null\n+++ \"b/new\\tname\\303\\274\"\n@@ -0,0 +1 @@\n+x\n",
    ),
    ("no context line's space", "--- a/f\n+++ b/f\n@@ -1,2 +1,3 @@\n 1\n+\n 2\n"),
    (
        "carriage returns in headers",
        "diff --git a/f b/f\r\n--- a/f\r\n+++ b/f\r\n@@ -1,3 +1,3 @@\r\n 1\n-2\n+two\n 3\n",
    ),
];

/// Patches that both refuse.
const REFUSED: &[(&str, &str)] = &[
    ("nothing", ""),
    ("prose", "hello\n"),
    ("other content", "--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n 1\n-zwei\n+two\n 3\n"),
    ("white space", "--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n 1\n-2 \n+two\n 3\n"),
    ("no carriage return", "--- a/crlf\n+++ b/crlf\n@@ -1,3 +1,3 @@\n 1\n-2\n+two\n 3\n"),
    ("missing", "--- a/none\n+++ b/none\n@@ -1,3 +1,3 @@\n 1\n-2\n+two\n 3\n"),
    ("there already", "--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+x\n"),
    ("empty and there already", "diff --git a/f b/f\nnew file mode 100644\nindex 0000000..e69de29\n"),
    ("move to what is there", "diff --git a/f b/sql\nsimilarity index 100%\nrename from f\nrename to sql\n"),
    ("more left", "--- a/f\n+++ /dev/null\n@@ -1,3 +0,0 @@\n-1\n-2\n-3\n"),
    ("too few lines", "--- a/f\n+++ b/f\n@@ -1,4 +1,4 @@\n 1\n-2\n+two\n 3\n"),
    ("cut line", "--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n 1\n-2\n+two\n 3"),
    ("cut hunk", "--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n 1\n-2\n"),
    ("no header", "@@ -1,3 +1,3 @@\n 1\n-2\n+two\n 3\n"),
    ("no file", "diff --git a/f b/g\nold mode 100644\nnew mode 100755\n"),
    ("no change", "diff --git a/f b/f\nindex 1234567..1234568 100644\n"),
    ("no context", "--- a/long\n+++ b/long\n@@ -20 +20 @@\n-20\n+twenty\n"),
    ("end in the middle", "--- a/f\n+++ b/f\n@@ -1,3 +1,4 @@\n 1\n 2\n 3\n+new\n"),
    ("new with old lines", "--- /dev/null\n+++ b/new\n@@ -1 +1,2 @@\n 1\n+x\n"),
    ("newline that is not there", "--- a/open\n+++ b/open\n@@ -1,3 +1,3 @@\n-1\n+one\n 2\n 3\n"),
    ("through a link", "--- /dev/null\n+++ b/link/x\n@@ -0,0 +1 @@\n+x\n"),
    ("below a file", "--- /dev/null\n+++ b/f/x\n@@ -0,0 +1 @@\n+x\n"),
    (
        "text for a link",
        "diff --git a/link b/link\nindex 1234567..1234568 100644\n--- a/link\n+++ b/link\n@@ -1 +1 @@\n-f\n\\ No newline at end of file\n+g\n\\ No newline at end of file\n",
    ),
    (
        "binary that is not there",
        "diff --git a/f b/f\nindex 1234567..1234568 100644\nBinary files a/f and b/f differ\n",
    ),
    (
        "binary without ids",
        "diff --git a/f b/f\nindex 1234567..1234568 100644\nGIT binary patch\nliteral 0\nHcmV?d00001\n\n",
    ),
    (
        "binary that is cut",
        "diff --git a/f b/f\nnew file mode 100644\nindex 0000000000000000000000000000000000000000..e69de29bb2d1d6434b8b29ae775ad8c2e48c5391\nGIT binary patch\nliteral 4\nLcmV\n\n",
    ),
    ("half a move", "diff --git a/f b/g\nsimilarity index 100%\nrename from f\n"),
    ("only context", "--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n 1\n 2\n 3\n"),
    ("new and gone", "diff --git a/f b/f\nnew file mode 100644\ndeleted file mode 100644\n"),
];

#[test]
fn both_take_and_make_the_same() -> Result<(), Box<dyn Error>> {
    for (name, patch) in TAKEN {
        let expected =
            git::apply(&tree(), patch.as_bytes(), &[]).map_err(|error| format!("{name}: {error}"))?;
        let made = ours(&tree(), patch.as_bytes()).map_err(|error| format!("{name}: {error}"))?;
        assert_eq!(made, expected, "{name}");
        assert_ne!(made, tree(), "{name}");
    }
    Ok(())
}

#[test]
fn both_refuse() {
    for (name, patch) in REFUSED {
        assert!(git::apply(&tree(), patch.as_bytes(), &[]).is_err(), "git takes '{name}'");
        let made = ours(&tree(), patch.as_bytes());
        assert!(made.is_err(), "we take '{name}': {made:?}");
    }
}

#[test]
fn a_series_of_mailed_commits_is_applied_in_order() -> Result<(), Box<dyn Error>> {
    let steps = [
        Tree::of([("f", file(numbered(1..=20)))]),
        Tree::of([("f", file(numbered(1..=21)))]),
        Tree::of([("g", file(numbered(1..=21)))]),
        Tree::of([("g", file(numbered(2..=22))), ("f", file("again\n"))]),
    ];
    let mut series = Vec::new();
    for step in steps.windows(2) {
        series.extend_from_slice(b"From: somebody\nSubject: [PATCH] step\n\n---\n");
        series.extend(git::diff(&step[0], &step[1], &["-M"])?);
        series.extend_from_slice(b"-- \n2.47.3\n\n");
    }
    assert_eq!(ours(&steps[0], &series)?, steps[3]);
    let options = ApplyOptions { reverse: true, ..ApplyOptions::default() };
    let mut back = steps[3].clone();
    back.carry_out(apply(&Patch::parse(&series)?, &steps[3], &options)?);
    assert_eq!(back, steps[0]);
    Ok(())
}

#[test]
fn deltas_of_git_are_carried_out_both_ways() -> Result<(), Box<dyn Error>> {
    let base: Vec<u8> =
        (0..20_000u32).flat_map(|at| (at.wrapping_mul(2_654_435_761) >> 7).to_le_bytes()).collect();
    let mut changed = base.clone();
    changed.splice(30_000..30_010, *b"something else");
    let (old, new) = (Tree::of([("b", file(&base))]), Tree::of([("b", file(&changed))]));
    let patch = git::diff(&old, &new, &["--binary"])?;
    assert!(patch.windows(7).any(|word| word == b"\ndelta "), "git wrote no delta");
    assert_eq!(ours(&old, &patch)?, new);
    let options = ApplyOptions { reverse: true, ..ApplyOptions::default() };
    let mut back = new.clone();
    back.carry_out(apply(&Patch::parse(&patch)?, &new, &options)?);
    assert_eq!(back, old);
    Ok(())
}

fn stat_trees() -> [(Tree, Tree); 5] {
    let node = |lines: usize| -> Node { file(numbered(1..=lines)) };
    let long = "a/rather/long/path/of/folders/that/nobody/wants/to/see/whole/file-with-a-long-name.txt";
    [
        (Tree::of([("f", node(3))]), Tree::of([("f", node(5)), ("g", node(1))])),
        (Tree::of([("f", node(900)), ("s", node(4))]), Tree::of([("f", node(20)), ("s", node(5))])),
        (
            Tree::of([(long, node(300)), ("x", file("\0a"))]),
            Tree::of([(long, node(1)), ("x", file("\0abc"))]),
        ),
        (
            Tree::of([("d/e/f", node(9)), ("run", node(2))]),
            Tree::of([("d/g/f", node(9)), ("run", program(numbered(1..=2)))]),
        ),
        (Tree::of([("x", file("\0a"))]), Tree::of([("y \" z", node(2)), ("new", file("\0"))])),
    ]
}

#[test]
fn stat_reads_as_in_git() -> Result<(), Box<dyn Error>> {
    for (old, new) in stat_trees() {
        let ours = diff(&pairs(&old, &new), &DiffOptions::default());
        let theirs = git::diff(&old, &new, &["--stat=80", "-M"])?;
        assert_eq!(ours.stat(80), String::from_utf8_lossy(&theirs));
    }
    Ok(())
}

/// For changes that can be seen in one way only, the whole patch is what git writes.
#[test]
fn patches_read_as_in_git() -> Result<(), Box<dyn Error>> {
    let new = Tree::of([
        ("f", file("1\n2\n3\n4\n5\n6\nseven\n8\n")),
        ("open", file("1\n2\n3\n")),
        ("crlf", file("1\r\n3\r\n")),
        ("sql", file("select 1;\n")),
        ("run", file("#!/bin/sh\n")),
        ("link", link("sql")),
        ("moved/to here", file(numbered(1..=40))),
        ("a file", file("1\n2\n3")),
        ("code.c", link("f")),
    ]);
    let ours = diff(&pairs(&tree(), &new), &DiffOptions::default());
    let theirs = git::diff(&tree(), &new, &["--binary", "-M"])?;
    assert_eq!(String::from_utf8_lossy(&ours.patch), String::from_utf8_lossy(&theirs));
    Ok(())
}
