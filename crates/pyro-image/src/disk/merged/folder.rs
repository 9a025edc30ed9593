//! What is in a folder: the names of both disks, and which of the two a name stands for. It must not know paths.

use super::DIRECT;
use super::Disk;
use super::MergedError;
use super::MergedRoot;
use super::Node;
use super::Spot;
use super::error::shown;
use crate::disk::ext4::FileKind;
use crate::disk::ext4::Inode;
use std::collections::BTreeMap;

/// What a name may stand for, before it was looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::disk) struct Name {
    /// An inode on the folder's own disk.
    own: Option<u32>,
    /// An inode of the environment's folder that is merged with it.
    below: Option<u32>,
    /// One of [`DIRECT`].
    direct: Option<usize>,
}

impl MergedRoot {
    /// What is in a folder, by name.
    ///
    /// # Errors
    /// [`MergedError::Disk`], [`MergedError::Overlay`].
    pub fn read_dir(&self, folder: &Node) -> Result<Vec<(Vec<u8>, Node)>, MergedError> {
        let mut found = Vec::new();
        for (name, stands_for) in self.names(folder)? {
            if let Some(node) = self.resolve(folder, &name, stands_for)? {
                found.push((name, node));
            }
        }
        Ok(found)
    }

    /// The names that a folder may have, without what they stand for: some of them may turn out to be deleted.
    pub(in crate::disk) fn names(&self, folder: &Node) -> Result<BTreeMap<Vec<u8>, Name>, MergedError> {
        let mut names = BTreeMap::<Vec<u8>, Name>::new();
        for entry in self.on(folder.disk, |fs| fs.list(&folder.inode))? {
            names.entry(entry.name).or_default().own = Some(entry.inode);
        }
        if let Some(below) = &folder.below {
            for entry in self.on(Disk::Base, |fs| fs.list(below))? {
                names.entry(entry.name).or_default().below = Some(entry.inode);
            }
        }
        for (index, (spot, name, _)) in DIRECT.iter().enumerate() {
            if *spot == folder.spot && self.direct[index].is_some() {
                names.entry(name.to_vec()).or_default().direct = Some(index);
            }
        }
        Ok(names)
    }

    /// What has this name in a folder.
    pub(super) fn child(&self, folder: &Node, name: &[u8]) -> Result<Option<Node>, MergedError> {
        let own = self.on(folder.disk, |fs| fs.find(&folder.inode, name))?;
        let below = match &folder.below {
            Some(below) => self.on(Disk::Base, |fs| fs.find(below, name))?,
            None => None,
        };
        let is_direct = |(spot, there, _): &(Spot, &[u8], &[u8])| *spot == folder.spot && *there == name;
        let direct = DIRECT.iter().position(is_direct);
        self.resolve(folder, name, Name { own, below, direct })
    }

    /// What a name in a folder stands for.
    pub(in crate::disk) fn resolve(
        &self,
        folder: &Node,
        name: &[u8],
        stands_for: Name,
    ) -> Result<Option<Node>, MergedError> {
        let direct = stands_for.direct.and_then(|index| self.direct.get(index)?.clone());
        if let Some(inode) = direct {
            return Ok(Some(Node { disk: Disk::Rw, inode, below: None, spot: Spot::Direct }));
        }
        let own = self.inode(folder.disk, stands_for.own)?;
        if folder.spot == Spot::Direct {
            let node = |inode| Node { disk: Disk::Rw, inode, below: None, spot: Spot::Direct };
            return Ok(own.map(node));
        }
        let spot = spot_of(folder.spot, name);
        let Some(inode) = own else {
            let below = self.inode(Disk::Base, stands_for.below)?.filter(|inode| !inode.is_whiteout());
            return Ok(below.map(|inode| Node { disk: Disk::Base, inode, below: None, spot }));
        };
        if inode.is_whiteout() {
            return Ok(None);
        }
        let opaque = folder.disk == Disk::Rw && self.check_overlay(name, &inode)?;
        // Only two folders merge; a folder that was made anew hides the old one.
        let below = match stands_for.below {
            Some(_) if !opaque && inode.kind == FileKind::Directory => {
                self.inode(Disk::Base, stands_for.below)?.filter(|below| below.kind == FileKind::Directory)
            }
            _ => None,
        };
        Ok(Some(Node { disk: folder.disk, inode, below: below.map(Box::new), spot }))
    }

    fn inode(&self, disk: Disk, number: Option<u32>) -> Result<Option<Inode>, MergedError> {
        number.map(|number| self.on(disk, |fs| fs.inode(number))).transpose()
    }

    /// Whether something in the upper layer hides what is below it; an error if it says that it is to be found elsewhere.
    fn check_overlay(&self, name: &[u8], inode: &Inode) -> Result<bool, MergedError> {
        let mut opaque = false;
        for xattr in self.on(Disk::Rw, |fs| fs.xattrs(inode))? {
            let attribute = match (xattr.name.as_slice(), xattr.value.as_slice()) {
                (b"trusted.overlay.opaque", b"y") => {
                    opaque = true;
                    continue;
                }
                (b"trusted.overlay.opaque", b"x") => "trusted.overlay.opaque=x",
                (b"trusted.overlay.redirect", _) => "trusted.overlay.redirect",
                (b"trusted.overlay.metacopy", _) => "trusted.overlay.metacopy",
                _ => continue,
            };
            return Err(MergedError::Overlay { name: shown(name), attribute });
        }
        Ok(opaque)
    }
}

fn spot_of(folder: Spot, name: &[u8]) -> Spot {
    match (folder, name) {
        (Spot::Root, b"var") => Spot::Var,
        (Spot::Var, b"lib") => Spot::VarLib,
        _ => Spot::Overlay,
    }
}
