//! The tree while a patch is being applied to it: what the caller knows, with the changes so far laid over it. It must
//! not know hunks.

use super::content::Content;
use super::failure::Reason;
use super::files::Action;
use super::files::Change;
use super::files::Current;
use super::files::CurrentKind;
use super::files::Files;
use super::files::WrittenKind;
use super::model::FilePatch;
use super::model::Operation;
use super::work::Work;
use pyro_proto::tree::TreePath;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node<'a> {
    pub(super) kind: CurrentKind,
    pub(super) mode: u32,
    pub(super) content: Content<'a>,
    /// The file of the caller's tree that it was moved or copied from.
    pub(super) source: Option<TreePath>,
}

impl Node<'_> {
    pub(super) fn new(kind: WrittenKind, mode: u32, content: Vec<u8>) -> Self {
        let kind = match kind {
            WrittenKind::File => CurrentKind::File,
            WrittenKind::Symlink => CurrentKind::Symlink,
        };
        Self { kind, mode, content: Content::made(content), source: None }
    }
}

impl WrittenKind {
    pub(super) const fn can_be(kind: CurrentKind) -> bool {
        matches!(kind, CurrentKind::File | CurrentKind::Symlink)
    }

    pub(super) const fn of(kind: CurrentKind) -> Self {
        if matches!(kind, CurrentKind::Symlink) { Self::Symlink } else { Self::File }
    }
}

impl CurrentKind {
    /// For people.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Symlink => "symbolic link",
            Self::Directory => "folder",
            Self::Special => "special file",
        }
    }
}

type Layer<'a> = BTreeMap<TreePath, Option<Node<'a>>>;

/// See the top of the file. `None` in a layer means that there is nothing.
pub(super) struct Tree<'a> {
    files: &'a dyn Files,
    earlier: Layer<'a>,
    section: Layer<'a>,
    /// Paths of the section that git says are free at some moment: what is deleted or moved away in it.
    leaving: BTreeSet<TreePath>,
    /// Paths that something new was put at in the section.
    arrived: BTreeSet<TreePath>,
    /// Bytes of all contents in the layers, and of what else is kept.
    held: u64,
    held_max: u64,
}

impl<'a> Tree<'a> {
    pub(super) const fn new(files: &'a dyn Files, held_max: u64) -> Self {
        Self {
            files,
            earlier: BTreeMap::new(),
            section: BTreeMap::new(),
            leaving: BTreeSet::new(),
            arrived: BTreeSet::new(),
            held: 0,
            held_max,
        }
    }

    /// Whether so many bytes more may be kept.
    pub(super) fn check_room(&self, bytes: usize) -> Result<(), Reason> {
        let sum = u64::try_from(bytes).ok().and_then(|bytes| self.held.checked_add(bytes));
        match sum.filter(|sum| *sum <= self.held_max) {
            Some(_) => Ok(()),
            None => Err(Reason::Memory { most: self.held_max }),
        }
    }

    pub(super) fn hold(&mut self, bytes: usize) -> Result<(), Reason> {
        self.check_room(bytes)?;
        self.held += bytes as u64;
        Ok(())
    }

    pub(super) const fn release(&mut self, bytes: usize) {
        self.held = self.held.saturating_sub(bytes as u64);
    }

    pub(super) fn begin_section(&mut self, files: &[FilePatch<'_>]) {
        // Not `append`, which goes through all of what there is however little comes.
        for (path, node) in std::mem::take(&mut self.section) {
            let before = self.earlier.insert(path, node).flatten();
            self.release(before.map_or(0, |node| node.content.len()));
        }
        let leaves = |file: &&FilePatch<'_>| {
            matches!(file.operation, Operation::Delete | Operation::Rename | Operation::Uncopy)
        };
        self.leaving = files.iter().filter(leaves).map(|file| file.old_path.clone()).collect();
        self.arrived.clear();
    }

    /// What was at a path before the section.
    pub(super) fn before(&self, path: &TreePath) -> Option<Node<'a>> {
        match self.earlier.get(path) {
            Some(node) => node.clone(),
            None => self.files.get(path).map(from_current),
        }
    }

    /// The file of the caller's tree that what is at a path comes from.
    pub(super) fn origin(&self, path: &TreePath) -> Option<TreePath> {
        let earlier = self.earlier.get(path).and_then(Option::as_ref);
        let moved = earlier.and_then(|node| node.source.clone());
        moved.or_else(|| self.files.get(path).map(|_| path.clone()))
    }

    /// What is at a path now.
    pub(super) fn now(&self, path: &TreePath) -> Option<Node<'a>> {
        match self.section.get(path) {
            Some(node) => node.clone(),
            None => self.before(path),
        }
    }

    fn was_there(&self, path: &TreePath) -> bool {
        self.earlier.get(path).map_or_else(|| self.files.get(path).is_some(), Option::is_some)
    }

    /// What kind of thing is at a path now.
    pub(super) fn kind(&self, path: &TreePath) -> Option<CurrentKind> {
        match self.section.get(path).or_else(|| self.earlier.get(path)) {
            Some(node) => node.as_ref().map(|node| node.kind),
            None => self.files.get(path).map(|current| current.kind),
        }
    }

    /// What a deletion is about: not what the section itself has put in the place of what it deletes.
    pub(super) fn leaving(&self, path: &TreePath) -> Option<Node<'a>> {
        if self.arrived.contains(path) { self.before(path) } else { self.now(path) }
    }

    /// Whether something new may be put at a path.
    pub(super) fn check_free(&self, path: &TreePath) -> Result<(), Reason> {
        let is_free = match self.kind(path) {
            // Whether a folder goes in time shows at the end.
            None | Some(CurrentKind::Directory) => true,
            Some(_) => self.leaving.contains(path) && !self.section.contains_key(path),
        };
        if is_free { Ok(()) } else { Err(Reason::Exists) }
    }

    pub(super) fn put(&mut self, path: &TreePath, node: Node<'a>) -> Result<(), Reason> {
        self.arrived.insert(path.clone());
        self.replace(path, node)
    }

    pub(super) fn replace(&mut self, path: &TreePath, node: Node<'a>) -> Result<(), Reason> {
        self.hold(node.content.len())?;
        self.change(path, Some(node));
        Ok(())
    }

    fn change(&mut self, path: &TreePath, node: Option<Node<'a>>) {
        let before = self.section.insert(path.clone(), node).flatten();
        self.release(before.map_or(0, |node| node.content.len()));
    }

    /// Takes away what was at a path, and not what the section put there instead.
    pub(super) fn remove(&mut self, path: &TreePath) -> Result<(), Reason> {
        if self.arrived.contains(path) && self.leaving.contains(path) && self.was_there(path) {
            return Ok(());
        }
        if matches!(self.section.get(path), Some(Some(_))) && !self.arrived.contains(path) {
            return Err(Reason::Twice);
        }
        self.change(path, None);
        Ok(())
    }

    /// A file that would end up below something that is no folder, or in the place of a folder that stays.
    pub(super) fn misplaced(&self, work: &mut Work) -> Option<(TreePath, Reason)> {
        let written = self.paths().filter(|path| self.kind(path).is_some());
        written.into_iter().find_map(|path| {
            let reason = self.check_place(path, work).err()?;
            Some((path.clone(), reason))
        })
    }

    fn check_place(&self, path: &TreePath, work: &mut Work) -> Result<(), Reason> {
        let depth = path.components().count();
        work.spend(depth, depth * path.as_bytes().len()).ok_or(Reason::Effort)?;
        self.check_parents(path)?;
        self.check_folder(path, work)
    }

    fn paths(&self) -> impl Iterator<Item = &TreePath> {
        self.earlier.keys().filter(|path| !self.section.contains_key(path)).chain(self.section.keys())
    }

    /// Why nothing is at a path: perhaps because it would be below something that is no folder.
    pub(super) fn missing(&self, path: &TreePath) -> Reason {
        self.check_parents(path).err().unwrap_or(Reason::Missing)
    }

    fn check_parents(&self, path: &TreePath) -> Result<(), Reason> {
        let mut parent = path.parent();
        while let Some(folder) = parent.filter(|folder| !folder.is_root()) {
            match self.kind(&folder) {
                None | Some(CurrentKind::Directory) => {}
                Some(kind) => return Err(Reason::Parent { found: kind.words(), parent: folder }),
            }
            parent = folder.parent();
        }
        Ok(())
    }

    /// A folder can only be replaced if the patch empties it; whether it does so wholly, the caller sees.
    fn check_folder(&self, path: &TreePath, work: &mut Work) -> Result<(), Reason> {
        if !self.files.get(path).is_some_and(|current| current.kind == CurrentKind::Directory) {
            return Ok(());
        }
        let stays = Reason::Kind { found: "folder", wanted: "file" };
        // No name comes before this one. Without room for a name there is nothing below.
        let Ok(first) = path.join(b"\x01") else { return Err(stays) };
        for layer in [&self.section, &self.earlier] {
            let below = |other: &&TreePath| {
                other.as_bytes().strip_prefix(path.as_bytes()).is_some_and(|rest| rest.starts_with(b"/"))
            };
            for other in layer.range(&first..).map(|(other, _)| other).take_while(below) {
                work.spend(1, other.as_bytes().len()).ok_or(Reason::Effort)?;
                if self.kind(other).is_none() {
                    return Ok(());
                }
            }
        }
        Err(stays)
    }

    /// What is to be done, deletions first.
    pub(super) fn into_changes(mut self) -> Vec<Change> {
        self.earlier.append(&mut self.section);
        let (mut deletions, mut writes) = (Vec::new(), Vec::new());
        for (path, node) in self.earlier {
            let before = self.files.get(&path);
            match node {
                None if before.is_none() => {}
                None => deletions.push(Change::new(&path, Action::Delete)),
                Some(node) if before.map(from_current).as_ref() == Some(&node) => {}
                Some(node) => writes.push(Change::new(&path, node.into_action())),
            }
        }
        deletions.append(&mut writes);
        deletions
    }
}

fn from_current(current: Current<'_>) -> Node<'_> {
    Node { kind: current.kind, mode: current.mode, content: Content::Known(current.content), source: None }
}
