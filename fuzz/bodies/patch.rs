//! What must hold for any bytes that are given as a patch: reading and applying never panic and stay within their bounds,
//! no path leads out, and what was applied exactly where it says can be taken back. It must not depend on a fuzzer:
//! tests run it on the seeds.

use pyro::patch::Action;
use pyro::patch::Applied;
use pyro::patch::ApplyOptions;
use pyro::patch::Current;
use pyro::patch::CurrentKind;
use pyro::patch::Files;
use pyro::patch::Limits;
use pyro::patch::ParseOptions;
use pyro::patch::Patch;
use pyro::patch::WrittenKind;
use pyro::patch::apply;
use pyro_proto::tree::TreePath;
use std::collections::BTreeMap;

const LIMITS: Limits = Limits {
    patch_bytes_max: 1 << 20,
    files_max: 100,
    hunks_max: 1000,
    lines_max: 10_000,
    line_bytes_max: 1 << 16,
    binary_bytes_max: 1 << 20,
};

#[derive(Clone, PartialEq, Eq, Debug)]
struct Node {
    kind: CurrentKind,
    mode: u32,
    content: Vec<u8>,
}

#[derive(Clone, Default)]
struct Tree(BTreeMap<TreePath, Node>);

impl Files for Tree {
    fn get(&self, path: &TreePath) -> Option<Current<'_>> {
        let node = self.0.get(path)?;
        Some(Current { kind: node.kind, mode: node.mode, content: &node.content })
    }
}

/// The first byte says how the patch is read and applied and what is at its paths. What stands before a line `%%` is
/// the content of every file there.
pub(crate) fn body(input: &[u8]) {
    let Some((&how, rest)) = input.split_first() else { return };
    let (content, bytes) = match rest.windows(4).position(|four| four == b"\n%%\n") {
        Some(at) => (&rest[..=at], &rest[at + 4..]),
        None => (&b"one\ntwo\nthree\n"[..], rest),
    };
    let strip = [None, None, Some(0), Some(1)][usize::from(how % 4)];
    let Ok(patch) = Patch::parse_with(bytes, &ParseOptions { strip, limits: LIMITS }) else { return };
    let tree = tree(&patch, how / 4, content);
    for reverse in [false, true] {
        check(&patch, &tree, ApplyOptions { fuzz_max: how / 64, reverse });
    }
}

/// Something at each path that the patch asks for, or nothing.
fn tree(patch: &Patch<'_>, how: u8, content: &[u8]) -> Tree {
    let mut tree = Tree::default();
    for (index, needed) in patch.paths_needed().unwrap_or_default().into_iter().enumerate() {
        let kind = match (usize::from(how) + index) % 4 {
            _ if !needed.content => continue,
            0 | 3 => CurrentKind::File,
            2 => CurrentKind::Symlink,
            _ => continue,
        };
        tree.0.insert(needed.path, Node { kind, mode: 0o644, content: content.to_vec() });
    }
    tree
}

fn check(patch: &Patch<'_>, tree: &Tree, options: ApplyOptions) {
    let Ok(applied) = apply(patch, tree, &options) else { return };
    for change in &applied.changes {
        let path = change.path.as_bytes();
        assert!(!path.is_empty() && !path.starts_with(b"/"), "a path leads out");
        assert!(!path.split(|byte| *byte == b'/').any(|part| part == b".."), "a path leads out");
    }
    let after = carried_out(tree, &applied);
    let Ok(back) = apply(patch, &after, &ApplyOptions { reverse: !options.reverse, ..options }) else {
        return;
    };
    if is_exact(&applied) && is_exact(&back) {
        let before = carried_out(&after, &back);
        for (path, node) in &tree.0 {
            let again = before.0.get(path).map(|node| &node.content);
            assert_eq!(again, Some(&node.content), "{path} is not as before");
        }
    }
}

fn is_exact(applied: &Applied) -> bool {
    applied.reports.iter().flat_map(|report| &report.hunks).all(|hunk| hunk.offset == 0 && hunk.fuzz == 0)
}

fn carried_out(tree: &Tree, applied: &Applied) -> Tree {
    let mut tree = tree.clone();
    for change in &applied.changes {
        match &change.action {
            Action::Delete => drop(tree.0.remove(&change.path)),
            Action::Write { kind, mode, content, .. } => {
                let kind = match kind {
                    WrittenKind::File => CurrentKind::File,
                    WrittenKind::Symlink => CurrentKind::Symlink,
                };
                let node = Node { kind, mode: *mode, content: content.clone() };
                tree.0.insert(change.path.clone(), node);
            }
        }
    }
    tree
}
