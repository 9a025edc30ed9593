//! Folders of the host as tests compare them: every byte of content, every permission bit, time, link and name.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// What is at each path below a folder.
pub type Tree = BTreeMap<Vec<u8>, String>;

/// Whose times are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Times {
    All,
    AllButFolders,
    None,
}

/// Everything below a folder but the names that `skip` says; folders' times are left out where something was skipped.
pub fn tree_without(folder: &Path, skip: &[&str]) -> Tree {
    walked(folder, skip, if skip.is_empty() { Times::All } else { Times::AllButFolders })
}

/// Everything below a folder.
pub fn tree(folder: &Path) -> Tree {
    walked(folder, &[], Times::All)
}

/// Everything below a folder but its times.
pub fn tree_untimed(folder: &Path) -> Tree {
    walked(folder, &[], Times::None)
}

fn walked(folder: &Path, skip: &[&str], times: Times) -> Tree {
    let (mut tree, mut links) = (Tree::new(), HashMap::new());
    walk(folder, folder, skip, times, &mut links, &mut tree);
    tree
}

fn walk(
    root: &Path,
    folder: &Path,
    skip: &[&str],
    times: Times,
    links: &mut HashMap<(u64, u64), Vec<u8>>,
    tree: &mut Tree,
) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if skip.iter().any(|skipped| path.file_name().is_some_and(|name| name == *skipped)) {
            continue;
        }
        let found = path.symlink_metadata().unwrap();
        let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
        let mode = found.mode() & 0o7777;
        let kind = found.file_type();
        let timed = times == Times::All || (times == Times::AllButFolders && !kind.is_dir());
        let time = if timed { format!("{}.{:09}", found.mtime(), found.mtime_nsec()) } else { String::new() };
        let shown = if kind.is_symlink() {
            format!("link to {:?} {time}", fs::read_link(&path).unwrap())
        } else if kind.is_dir() {
            walk(root, &path, skip, times, links, tree);
            format!("folder {mode:o} {time}")
        } else if kind.is_file() {
            let first = links.entry((found.dev(), found.ino())).or_insert_with(|| name.clone());
            let same = String::from_utf8_lossy(first).into_owned();
            format!("file {mode:o} {time} same as {same}: {}", digest(&fs::read(&path).unwrap()))
        } else {
            "special".to_owned()
        };
        tree.insert(name, shown);
    }
}

/// Enough of the content to tell files apart, and all of short ones for people to read.
fn digest(content: &[u8]) -> String {
    use std::hash::Hasher as _;
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write(content);
    let begin = String::from_utf8_lossy(&content[..content.len().min(20)]).into_owned();
    format!("{} bytes {:x} {begin:?}", content.len(), hasher.finish())
}

/// Fails unless two trees are the same, naming what differs.
#[track_caller]
pub fn assert_same(found: &Tree, expected: &Tree) {
    let shown = |path: &Vec<u8>| String::from_utf8_lossy(path).into_owned();
    let mut differences = Vec::new();
    for path in expected.keys().chain(found.keys().filter(|path| !expected.contains_key(*path))) {
        if found.get(path) != expected.get(path) {
            differences.push(format!(
                "{}: found {:?}, expected {:?}",
                shown(path),
                found.get(path),
                expected.get(path)
            ));
        }
    }
    differences.truncate(20);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
