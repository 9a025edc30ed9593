//! Small trees of files and links: made at random, written to folders and read from them, and patched by us. It must
//! not start programs.

use proptest::prelude::*;
use pyro::diff::Pair;
use pyro::diff::Side;
use pyro::patch::Action;
use pyro::patch::Applied;
use pyro::patch::Current;
use pyro::patch::CurrentKind;
use pyro::patch::Files;
use pyro::patch::WrittenKind;
use pyro_proto::tree::TreePath;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// A file or a link.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) kind: CurrentKind,
    pub(crate) mode: u32,
    pub(crate) content: Vec<u8>,
}

/// Files and links by path; folders are where there are paths below them.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Tree(pub(crate) BTreeMap<TreePath, Node>);

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:o} \"{}\"", self.kind, self.mode, self.content.escape_ascii())
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self.0.iter().map(|(name, node)| (name.as_bytes().escape_ascii().to_string(), node));
        f.debug_map().entries(named).finish()
    }
}

pub(crate) fn path(name: impl AsRef<[u8]>) -> TreePath {
    TreePath::new(name.as_ref()).unwrap_or_default()
}

pub(crate) fn file(content: impl AsRef<[u8]>) -> Node {
    Node { kind: CurrentKind::File, mode: 0o644, content: content.as_ref().to_vec() }
}

pub(crate) fn program(content: impl AsRef<[u8]>) -> Node {
    Node { mode: 0o755, ..file(content) }
}

pub(crate) fn link(target: impl AsRef<[u8]>) -> Node {
    Node { kind: CurrentKind::Symlink, mode: 0o777, ..file(target) }
}

impl Tree {
    pub(crate) fn of<const N: usize>(nodes: [(&str, Node); N]) -> Self {
        Self(nodes.into_iter().map(|(name, node)| (path(name), node)).collect())
    }

    pub(crate) fn write_to(&self, root: &Path) -> io::Result<()> {
        for (name, node) in &self.0 {
            let at = root.join(OsStr::from_bytes(name.as_bytes()));
            if let Some(parent) = at.parent() {
                std::fs::create_dir_all(parent)?;
            }
            if node.kind == CurrentKind::Symlink {
                std::os::unix::fs::symlink(OsStr::from_bytes(&node.content), &at)?;
                continue;
            }
            std::fs::write(&at, &node.content)?;
            std::fs::set_permissions(&at, std::fs::Permissions::from_mode(node.mode))?;
        }
        Ok(())
    }

    pub(crate) fn read_from(root: &Path) -> io::Result<Self> {
        let mut tree = Self::default();
        tree.read_folder(root, &TreePath::default())?;
        Ok(tree)
    }

    fn read_folder(&mut self, root: &Path, folder: &TreePath) -> io::Result<()> {
        for entry in std::fs::read_dir(root.join(OsStr::from_bytes(folder.as_bytes())))? {
            let entry = entry?;
            let name = folder.join(entry.file_name().as_bytes()).map_err(io::Error::other)?;
            let metadata = entry.metadata()?;
            if name.as_bytes() == b".git" {
                continue;
            } else if metadata.is_dir() {
                self.read_folder(root, &name)?;
            } else if metadata.is_symlink() {
                let target = std::fs::read_link(entry.path())?;
                self.0.insert(name, link(target.as_os_str().as_bytes()));
            } else {
                let content = std::fs::read(entry.path())?;
                let is_program = metadata.permissions().mode() & 0o100 != 0;
                self.0.insert(name, if is_program { program(content) } else { file(content) });
            }
        }
        Ok(())
    }

    /// What remains to be done of a patch by whoever asked for it.
    pub(crate) fn carry_out(&mut self, applied: Applied) {
        for change in applied.changes {
            match change.action {
                Action::Delete => drop(self.0.remove(&change.path)),
                Action::Write { kind, mode, content, .. } => {
                    let kind = match kind {
                        WrittenKind::File => CurrentKind::File,
                        WrittenKind::Symlink => CurrentKind::Symlink,
                    };
                    self.0.insert(change.path, Node { kind, mode, content });
                }
            }
        }
    }
}

impl Files for Tree {
    fn get(&self, path: &TreePath) -> Option<Current<'_>> {
        if let Some(node) = self.0.get(path) {
            return Some(Current { kind: node.kind, mode: node.mode, content: &node.content });
        }
        let below = [path.as_bytes(), b"/"].concat();
        let is_folder = self.0.keys().any(|other| other.as_bytes().starts_with(&below));
        is_folder.then_some(Current { kind: CurrentKind::Directory, mode: 0o755, content: b"" })
    }
}

/// Every path of two trees with what it was and is.
pub(crate) fn pairs<'a>(old: &'a Tree, new: &'a Tree) -> Vec<Pair<'a>> {
    let paths: BTreeSet<&TreePath> = old.0.keys().chain(new.0.keys()).collect();
    let side = |tree: &'a Tree, path: &TreePath| {
        tree.0.get(path).map(|node| match node.kind {
            CurrentKind::Symlink => Side::symlink(&node.content),
            _ => Side::file(node.mode, &node.content),
        })
    };
    paths
        .into_iter()
        .map(|path| Pair { path: path.clone(), old: side(old, path), new: side(new, path) })
        .collect()
}

/// Names that need quotes, or look like something else in a patch.
const NAMES: [&[u8]; 14] = [
    b"plain.txt",
    b"src/lib.rs",
    b"src/a/deep/one",
    b"with space",
    b"two  spaces /and end ",
    b"quote\"and\\back",
    b"tab\tname",
    b"new\nline",
    b"not-utf8-\xff\xfe",
    "Gr\u{fc}\u{df}e.txt".as_bytes(),
    b"a/b/a",
    b"b/a",
    b"-- dash",
    b"dev/null",
];

fn line() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (0..40u8).prop_map(|number| format!("line {number}\n").into_bytes()),
        1 => Just(b"\n".to_vec()),
        1 => Just(b"-- a comment\n".to_vec()),
        1 => Just(b"++ b\n".to_vec()),
        1 => Just(b"@@ -1 +1 @@\n".to_vec()),
        1 => Just(b"diff --git a/x b/x\n".to_vec()),
        1 => Just(b"with carriage return\r\n".to_vec()),
        1 => Just(b"\xff\xfe no text\n".to_vec()),
    ]
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    (prop::collection::vec(line(), 0..40), any::<bool>()).prop_map(|(lines, is_cut)| {
        let mut text = lines.concat();
        if is_cut {
            text.pop();
        }
        text
    })
}

fn binary() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| [b"\0".to_vec(), bytes].concat())
}

fn node() -> impl Strategy<Value = Node> {
    prop_oneof![
        6 => (text(), any::<bool>()).prop_map(|(text, exec)| if exec { program(text) } else { file(text) }),
        2 => binary().prop_map(file),
        1 => Just(file(b"")),
        1 => "[a-z/.]{1,12}".prop_map(link),
    ]
}

#[derive(Clone, Debug)]
enum Edit {
    Keep,
    Replace(Node),
    Delete,
    Chmod,
    Lines(Vec<(usize, usize, Vec<u8>)>),
    Bytes(usize, u8),
    MoveTo(usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let splice =
        (0..40usize, 0..4usize, prop::collection::vec(line(), 0..4).prop_map(|lines| lines.concat()));
    prop_oneof![
        2 => Just(Edit::Keep),
        1 => node().prop_map(Edit::Replace),
        1 => Just(Edit::Delete),
        1 => Just(Edit::Chmod),
        5 => prop::collection::vec(splice, 1..4).prop_map(Edit::Lines),
        1 => (0..300usize, any::<u8>()).prop_map(|(at, byte)| Edit::Bytes(at, byte)),
        2 => (0..NAMES.len()).prop_map(Edit::MoveTo),
    ]
}

impl Edit {
    fn apply(self, node: &mut Node) {
        match self {
            Self::Replace(other) => *node = other,
            Self::Chmod if node.kind == CurrentKind::File => node.mode ^= 0o111,
            Self::Lines(splices) if node.kind == CurrentKind::File => {
                let mut lines: Vec<Vec<u8>> =
                    node.content.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
                for (at, count, text) in splices {
                    let start = at.min(lines.len());
                    let end = (start + count).min(lines.len());
                    lines.splice(start..end, [text]);
                }
                node.content = lines.concat();
            }
            Self::Bytes(at, byte) if node.kind == CurrentKind::File => {
                if let Some(place) = node.content.get_mut(at) {
                    *place = byte;
                }
            }
            _ => {}
        }
    }
}

/// A tree and one that came from it.
pub(crate) fn two_trees() -> impl Strategy<Value = (Tree, Tree)> {
    let files = prop::collection::btree_map(0..NAMES.len(), node(), 0..7);
    let edits = prop::collection::vec(edit(), 7);
    let fresh = prop::collection::btree_map(0..NAMES.len(), node(), 0..2);
    (files, edits, fresh).prop_map(|(files, edits, fresh)| {
        let named = |(index, node): (usize, Node)| (path(NAMES[index]), node);
        let old: BTreeMap<_, _> = files.into_iter().map(named).collect();
        let mut new = old.clone();
        for ((name, node), edit) in old.iter().zip(edits) {
            match edit {
                Edit::Delete => drop(new.remove(name)),
                Edit::MoveTo(index) => {
                    let node = new.remove(name).unwrap_or_else(|| node.clone());
                    new.insert(path(NAMES[index]), node);
                }
                edit => {
                    let mut changed = node.clone();
                    edit.apply(&mut changed);
                    new.insert(name.clone(), changed);
                }
            }
        }
        new.extend(fresh.into_iter().map(named));
        (Tree(old), Tree(new))
    })
}
