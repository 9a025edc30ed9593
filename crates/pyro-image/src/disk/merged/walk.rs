//! Walks a tree as the tools in a guest do: folders before what is in them, names in byte order, and the later names of a
//! file as links to its first. It must not read content.

use super::ContentReader;
use super::Disk;
use super::Held;
use super::MergedError;
use super::MergedRoot;
use super::Name;
use super::Node;
use pyro_proto::tree::Entry;
use pyro_proto::tree::EntryKind;
use pyro_proto::tree::TreePath;
use std::collections::HashMap;
use std::collections::HashSet;
use std::collections::btree_map::IntoIter;

/// Most bytes of paths that a walk keeps for hard links; files met after that are each on their own.
const LINKS_BYTES_MAX: usize = 64 << 20;

/// What a walk does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visit {
    /// Go on.
    Continue,
    /// Leave out what is below this folder.
    Skip,
    /// End here.
    Stop,
}

/// Folders that were read: hostile disks have folders that are in themselves, and folders that share what is in them.
#[derive(Debug, Default)]
pub(in crate::disk) struct Once {
    read: HashSet<(Disk, u32)>,
    base_bytes: u64,
    rw_bytes: u64,
}

impl Once {
    /// Takes note of a folder. All of a disk's folders together are no larger than the disk.
    pub(in crate::disk) fn enter(&mut self, root: &MergedRoot, folder: &Node) -> Result<(), MergedError> {
        let below = folder.below.iter().map(|below| (Disk::Base, &**below));
        for (disk, inode) in below.chain([(folder.disk, &folder.inode)]) {
            if !self.read.insert((disk, inode.number)) {
                return Err(MergedError::Twice { disk, inode: inode.number });
            }
            let bytes = match disk {
                Disk::Base => &mut self.base_bytes,
                Disk::Rw => &mut self.rw_bytes,
            };
            *bytes = bytes.saturating_add(inode.size_bytes);
            if *bytes > root.disk_bytes(disk) {
                return Err(MergedError::TooMuch { disk });
            }
        }
        Ok(())
    }
}

struct Frame {
    folder: Node,
    path: TreePath,
    names: IntoIter<Vec<u8>, Name>,
    names_bytes: usize,
}

impl MergedRoot {
    /// Walks the tree at `root`, itself included, and gives each entry to `visit`; with regular files comes their content,
    /// which need not be read. Of a file with several names, all but the first are hard links to that.
    ///
    /// # Errors
    /// [`MergedError`], and whatever `visit` fails with.
    pub fn walk<E: From<MergedError>>(
        &self,
        root: &Node,
        mut visit: impl FnMut(Entry, Option<ContentReader<'_>>) -> Result<Visit, E>,
    ) -> Result<(), E> {
        self.walk_nodes(root, |entry, node| {
            let content = (entry.kind == EntryKind::File).then(|| self.content(node));
            visit(entry, content)
        })
    }

    /// The same with what each entry stands for.
    pub(in crate::disk) fn walk_nodes<E: From<MergedError>>(
        &self,
        root: &Node,
        mut visit: impl FnMut(Entry, &Node) -> Result<Visit, E>,
    ) -> Result<(), E> {
        let mut walk = Walk {
            root: self,
            links: HashMap::new(),
            links_bytes: 0,
            once: Once::default(),
            held: Held::default(),
            stack: Vec::new(),
        };
        let mut next = Some((root.clone(), TreePath::default()));
        while let Some((node, path)) = next {
            let entry = walk.entry(&node, path.clone())?;
            match visit(entry, &node)? {
                Visit::Stop => break,
                Visit::Continue if node.is_folder() => walk.enter(node, path)?,
                Visit::Continue | Visit::Skip => {}
            }
            next = walk.next()?;
        }
        Ok(())
    }
}

struct Walk<'a> {
    root: &'a MergedRoot,
    /// The first names of files that have several.
    links: HashMap<(Disk, u32), TreePath>,
    /// Bytes of the paths in there.
    links_bytes: usize,
    once: Once,
    held: Held,
    stack: Vec<Frame>,
}

impl Walk<'_> {
    fn entry(&mut self, node: &Node, path: TreePath) -> Result<Entry, MergedError> {
        let mut entry = self.root.entry(node, path)?;
        if entry.kind == EntryKind::File && node.inode.links > 1 {
            let key = (node.disk, node.inode.number);
            if let Some(first) = self.links.get(&key) {
                entry.kind = EntryKind::HardLink;
                entry.target = first.as_bytes().to_vec();
            } else if self.links_bytes < LINKS_BYTES_MAX {
                self.links_bytes += entry.path.as_bytes().len();
                self.links.insert(key, entry.path.clone());
            }
        }
        Ok(entry)
    }

    fn enter(&mut self, folder: Node, path: TreePath) -> Result<(), MergedError> {
        self.once.enter(self.root, &folder)?;
        let names = self.root.names(&folder)?;
        let names_bytes = self.held.hold(&names)?;
        self.stack.push(Frame { folder, path, names: names.into_iter(), names_bytes });
        Ok(())
    }

    fn next(&mut self) -> Result<Option<(Node, TreePath)>, MergedError> {
        while let Some(frame) = self.stack.last_mut() {
            let Some((name, stands_for)) = frame.names.next() else {
                self.held.release(frame.names_bytes);
                self.stack.pop();
                continue;
            };
            if let Some(node) = self.root.resolve(&frame.folder, &name, stands_for)? {
                let path = frame.path.join(&name);
                let folder = frame.path.to_string();
                return Ok(Some((node, path.map_err(|_| MergedError::TooLong { folder })?)));
            }
        }
        Ok(None)
    }
}
