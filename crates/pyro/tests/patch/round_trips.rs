//! What we compare, we and git can apply, forwards and backwards; what git compares, we can. It must not hold single
//! cases.

use crate::git;
use crate::tree::Tree;
use crate::tree::pairs;
use crate::tree::two_trees;
use proptest::prelude::*;
use pyro::diff::DiffOptions;
use pyro::diff::diff;
use pyro::patch::ApplyOptions;
use pyro::patch::Patch;
use pyro::patch::apply;
use pyro_proto::tree::TreePath;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() }
}

fn options(context_lines: usize, renames: bool) -> DiffOptions {
    DiffOptions { context_lines, renames, ..DiffOptions::default() }
}

fn patched(tree: &Tree, patch: &[u8], reverse: bool) -> Result<Tree, TestCaseError> {
    let shown = || String::from_utf8_lossy(patch).into_owned();
    let parsed = Patch::parse(patch).map_err(|error| TestCaseError::fail(format!("{error}\n{}", shown())))?;
    let options = ApplyOptions { reverse, ..ApplyOptions::default() };
    let applied = apply(&parsed, tree, &options);
    let applied = applied.map_err(|error| TestCaseError::fail(format!("{error}\n{}", shown())))?;
    let mut tree = tree.clone();
    tree.carry_out(applied);
    Ok(tree)
}

fn contents(tree: &Tree) -> Vec<(&TreePath, &Vec<u8>)> {
    tree.0.iter().map(|(path, node)| (path, &node.content)).collect()
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn ours_by_ours((old, new) in two_trees(), context in 1..4usize, renames: bool) {
        let diff = diff(&pairs(&old, &new), &options(context, renames));
        prop_assert!(diff.is_complete());
        if diff.files.is_empty() {
            prop_assert_eq!(&old, &new);
            return Ok(());
        }
        prop_assert_eq!(&patched(&old, &diff.patch, false)?, &new);
        prop_assert_eq!(&patched(&new, &diff.patch, true)?, &old);
    }

    #[test]
    fn coarse_comparisons_are_right_too((old, new) in two_trees()) {
        let diff = diff(&pairs(&old, &new), &DiffOptions { lines_max: 0, rename_lines_max: 0, ..options(3, true) });
        if !diff.files.is_empty() {
            prop_assert_eq!(&patched(&old, &diff.patch, false)?, &new);
        }
    }
}

proptest! {
    #![proptest_config(config(48))]

    #[test]
    fn ours_by_git((old, new) in two_trees(), context in 1..4usize) {
        let diff = diff(&pairs(&old, &new), &options(context, true));
        if !diff.files.is_empty() {
            let applied = git::apply(&old, &diff.patch, &[]);
            let fail = |error| TestCaseError::fail(format!("{error}\n{}", String::from_utf8_lossy(&diff.patch)));
            prop_assert_eq!(&applied.map_err(fail)?, &new);
            // Git itself forgets the mode of a deleted file when it takes a deletion back.
            let back = git::apply(&new, &diff.patch, &["-R"]).map_err(fail)?;
            prop_assert_eq!(contents(&back), contents(&old));
        }
    }

    #[test]
    fn gits_by_ours((old, new) in two_trees(), how in 0..6usize) {
        let how: &[&str] = [
            &["--binary", "-M"][..],
            &["--binary", "-M", "-C", "--find-copies-harder"],
            &["--binary", "--no-prefix"],
            &["--binary", "-M20", "-U1", "--full-index"],
            &["--binary", "-M", "--src-prefix=i/", "--dst-prefix=w/"],
            &["--binary", "-M", "--patience", "-U0", "--inter-hunk-context=3", "-U2"],
        ][how];
        let patch = git::diff(&old, &new, how).map_err(|error| TestCaseError::fail(error.to_string()))?;
        if !patch.is_empty() {
            prop_assert_eq!(&patched(&old, &patch, false)?, &new);
            prop_assert_eq!(&patched(&new, &patch, true)?, &old);
        }
    }
}
