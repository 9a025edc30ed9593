//! Walks two trees side by side. It must not know which part of a guest it walks.

use super::Change;
use super::Meta;
use crate::disk::ext4::Inode;
use crate::disk::ext4::Run;
use crate::disk::merged::Disk;
use crate::disk::merged::Held;
use crate::disk::merged::MergedError;
use crate::disk::merged::MergedRoot;
use crate::disk::merged::Name;
use crate::disk::merged::Node;
use crate::disk::merged::Once;
use pyro_proto::tree::EntryKind;
use pyro_proto::tree::TreePath;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::btree_map::IntoIter;
use std::sync::Arc;

/// Content is compared in pieces of this size.
const PIECE_BYTES: usize = 256 << 10;

/// Most bytes of changes that are kept.
const KEPT_BYTES_MAX: usize = 512 << 20;

/// What to do with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Compare it and what is below it.
    Compare,
    /// Compare what is below it.
    OnlyInside,
    /// Neither.
    LeaveOut,
}

/// Two trees, and what was found so far.
pub(super) struct Pairs<'a> {
    old: Side<'a>,
    new: Side<'a>,
    /// Both have the same environment.
    same_base: bool,
    rule: &'a dyn Fn(&TreePath, bool) -> Rule,
    owners: bool,
    held: Held,
    changes: Vec<Change>,
    kept_bytes: usize,
    /// Whether the contents of inodes differ that have several names.
    linked: HashMap<[(Disk, u32); 2], bool>,
    buffers: (Vec<u8>, Vec<u8>),
}

struct Side<'a> {
    root: &'a MergedRoot,
    once: Once,
    read_bytes: u64,
}

/// A pair of folders, one of which may be missing.
struct Frame {
    path: TreePath,
    old: Option<Node>,
    new: Option<Node>,
    names: IntoIter<Vec<u8>, (Option<Name>, Option<Name>)>,
    names_bytes: usize,
}

type Pair = (TreePath, Option<Node>, Option<Node>);

impl<'a> Pairs<'a> {
    /// `rule` is asked about each path, and told whether a folder is there that was not there before.
    pub(super) fn new(
        old: &'a MergedRoot,
        new: &'a MergedRoot,
        rule: &'a dyn Fn(&TreePath, bool) -> Rule,
        owners: bool,
    ) -> Self {
        let same_base = Arc::ptr_eq(old.base(), new.base()) || old.base().is_twin(new.base());
        let side = |root| Side { root, once: Once::default(), read_bytes: 0 };
        let buffers = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]);
        Self {
            old: side(old),
            new: side(new),
            same_base,
            rule,
            owners,
            held: Held::default(),
            changes: Vec::new(),
            kept_bytes: 0,
            linked: HashMap::new(),
            buffers,
        }
    }

    pub(super) fn run(mut self, old: Option<Node>, new: Option<Node>) -> Result<Vec<Change>, MergedError> {
        let mut stack = Vec::new();
        let mut next = Some((TreePath::default(), old, new));
        while let Some((path, old, new)) = next {
            let is_new_folder = old.is_none() && new.as_ref().is_some_and(Node::is_folder);
            let rule = (self.rule)(&path, is_new_folder);
            if rule == Rule::Compare && self.differ(old.as_ref(), new.as_ref())? {
                self.push(&path, old.as_ref(), new.as_ref())?;
            }
            if rule != Rule::LeaveOut && !self.is_same_folder(old.as_ref(), new.as_ref()) {
                stack.extend(self.enter(path, old, new)?);
            }
            next = self.next(&mut stack)?;
        }
        Ok(self.changes)
    }

    fn push(&mut self, path: &TreePath, old: Option<&Node>, new: Option<&Node>) -> Result<(), MergedError> {
        let change = Change { path: path.clone(), old: self.old.meta(old)?, new: self.new.meta(new)? };
        let targets =
            [&change.old, &change.new].map(|side| side.as_ref().map_or(0, |meta| meta.target.len()));
        self.kept_bytes += size_of::<Change>() + path.as_bytes().len() + targets.iter().sum::<usize>();
        if self.kept_bytes > KEPT_BYTES_MAX {
            return Err(MergedError::TooManyChanges { bytes_max: KEPT_BYTES_MAX });
        }
        self.changes.push(change);
        Ok(())
    }

    fn enter(
        &mut self,
        path: TreePath,
        old: Option<Node>,
        new: Option<Node>,
    ) -> Result<Option<Frame>, MergedError> {
        let (old, new) = (old.filter(Node::is_folder), new.filter(Node::is_folder));
        let mut names = BTreeMap::<_, (Option<Name>, Option<Name>)>::new();
        for (name, stands_for) in self.old.names(old.as_ref())? {
            names.entry(name).or_default().0 = Some(stands_for);
        }
        for (name, stands_for) in self.new.names(new.as_ref())? {
            names.entry(name).or_default().1 = Some(stands_for);
        }
        if names.is_empty() {
            return Ok(None);
        }
        let names_bytes = self.held.hold(&names)?;
        Ok(Some(Frame { path, old, new, names: names.into_iter(), names_bytes }))
    }

    fn next(&mut self, stack: &mut Vec<Frame>) -> Result<Option<Pair>, MergedError> {
        while let Some(frame) = stack.last_mut() {
            let Some((name, (in_old, in_new))) = frame.names.next() else {
                self.held.release(frame.names_bytes);
                stack.pop();
                continue;
            };
            let old = self.old.resolve(frame.old.as_ref(), &name, in_old)?;
            let new = self.new.resolve(frame.new.as_ref(), &name, in_new)?;
            if old.is_some() || new.is_some() {
                let path = frame.path.join(&name);
                let folder = frame.path.to_string();
                return Ok(Some((path.map_err(|_| MergedError::TooLong { folder })?, old, new)));
            }
        }
        Ok(None)
    }

    /// Whether nothing below the two can differ: both are the environment's own.
    fn is_same_folder(&self, old: Option<&Node>, new: Option<&Node>) -> bool {
        let (Some(old), Some(new)) = (old, new) else { return false };
        let pristine = old.is_pristine() && new.is_pristine();
        self.same_base && pristine && old.metadata().number == new.metadata().number
    }

    fn differ(&mut self, old: Option<&Node>, new: Option<&Node>) -> Result<bool, MergedError> {
        let (Some(old), Some(new)) = (old, new) else { return Ok(true) };
        let (before, after) = (old.metadata(), new.metadata());
        let owner = |inode: &Inode| (inode.uid, inode.gid);
        if before.kind != after.kind
            || before.mode != after.mode
            || (self.owners && owner(before) != owner(after))
        {
            return Ok(true);
        }
        if self.is_same_inode(old, new) {
            return Ok(false);
        }
        Ok(match old.kind() {
            EntryKind::File | EntryKind::HardLink => {
                before.size_bytes != after.size_bytes || self.files_differ(old, new)?
            }
            EntryKind::Symlink => self.old.root.read_link(old)? != self.new.root.read_link(new)?,
            EntryKind::Special => before.device != after.device,
            EntryKind::Directory => false,
        })
    }

    /// Whether both are one inode that nobody touched in between.
    fn is_same_inode(&self, old: &Node, new: &Node) -> bool {
        let identity = |inode: &Inode| (inode.number, inode.generation, inode.size_bytes);
        let times = |inode: &Inode| (inode.mtime, inode.ctime);
        let (before, after) = (old.metadata(), new.metadata());
        let same_disk = old.disk() == new.disk() && (old.disk() == Disk::Rw || self.same_base);
        same_disk && identity(before) == identity(after) && times(before) == times(after)
    }

    /// The same for each name of a file that has several, without reading it again.
    fn files_differ(&mut self, old: &Node, new: &Node) -> Result<bool, MergedError> {
        let key = [old, new].map(|node| (node.disk(), node.metadata().number));
        if let Some(known) = self.linked.get(&key) {
            return Ok(*known);
        }
        let differ = self.contents_differ(old, new)?;
        if old.metadata().links > 1 || new.metadata().links > 1 {
            self.linked.insert(key, differ);
        }
        Ok(differ)
    }

    /// Reads both, but for what is a hole in both.
    fn contents_differ(&mut self, old: &Node, new: &Node) -> Result<bool, MergedError> {
        let mut offset = 0;
        loop {
            let pieces = (self.old.root.run_at(old, offset)?, self.new.root.run_at(new, offset)?);
            let bytes = match pieces {
                (Run::End, Run::End) => return Ok(false),
                (Run::Hole(before), Run::Hole(after)) => {
                    offset += before.min(after);
                    continue;
                }
                // A hole may have been filled with zeros.
                (Run::Hole(before) | Run::Data(before), Run::Hole(after) | Run::Data(after)) => {
                    before.min(after)
                }
                (Run::End, _) | (_, Run::End) => return Ok(true),
            };
            let wanted = usize::try_from(bytes).unwrap_or(usize::MAX).min(PIECE_BYTES);
            let (left, right) = (&mut self.buffers.0[..wanted], &mut self.buffers.1[..wanted]);
            if self.old.read(old, left, offset)? != self.new.read(new, right, offset)? || left != right {
                return Ok(true);
            }
            offset += bytes.min(PIECE_BYTES as u64);
        }
    }
}

impl Side<'_> {
    fn names(&mut self, folder: Option<&Node>) -> Result<BTreeMap<Vec<u8>, Name>, MergedError> {
        let Some(folder) = folder else { return Ok(BTreeMap::new()) };
        self.once.enter(self.root, folder)?;
        self.root.names(folder)
    }

    fn resolve(
        &self,
        folder: Option<&Node>,
        name: &[u8],
        stands_for: Option<Name>,
    ) -> Result<Option<Node>, MergedError> {
        let (Some(folder), Some(stands_for)) = (folder, stands_for) else { return Ok(None) };
        self.root.resolve(folder, name, stands_for)
    }

    /// Reads a part of a file. All files together have no more content than there is room for, and a hole is read only beside
    /// content of the other side, so reading more means that files share content: a way to make reading go on for ever.
    fn read(&mut self, node: &Node, buffer: &mut [u8], offset: u64) -> Result<usize, MergedError> {
        self.read_bytes += buffer.len() as u64;
        if self.read_bytes > self.root.room_bytes().saturating_mul(2) {
            return Err(MergedError::TooMuch { disk: node.disk() });
        }
        self.root.read_at(node, offset, buffer)
    }

    fn meta(&self, node: Option<&Node>) -> Result<Option<Meta>, MergedError> {
        let Some(node) = node else { return Ok(None) };
        let (inode, kind) = (node.metadata(), node.kind());
        let is_link = kind == EntryKind::Symlink;
        Ok(Some(Meta {
            kind,
            mode: inode.mode,
            uid: inode.uid,
            gid: inode.gid,
            size_bytes: if kind == EntryKind::File { inode.size_bytes } else { 0 },
            target: if is_link { self.root.read_link(node)? } else { Vec::new() },
            node: node.clone(),
        }))
    }
}
