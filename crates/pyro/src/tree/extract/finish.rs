//! The end of an extraction: links are judged once all of them are there, folders get their modes and times, and a new target
//! gets its name. This file must not take records.

use super::ExtractError;
use super::Extracted;
use super::Extractor;
use super::TREE_NAME;
use super::Target;
use super::links;
use super::place;
use super::place::There;
use pyro_proto::tree::Entry;
use pyro_proto::tree::EntryKind;
use pyro_proto::tree::TreePath;
use rustix::fs::AtFlags;
use rustix::fs::Mode;
use rustix::fs::RenameFlags;
use rustix::io::Errno;
use std::collections::HashSet;

impl Extractor {
    /// Puts everything in place.
    ///
    /// # Errors
    /// [`ExtractError`].
    pub fn finish(mut self) -> Result<Extracted, ExtractError> {
        if !self.done || self.decoder.is_cut() || self.kind.is_none() {
            return Err(ExtractError::Cut);
        }
        self.check_links()?;
        let root = self.inside(&TreePath::default())?;
        let folders = std::mem::take(&mut self.folders);
        let (at_root, below): (Vec<_>, Vec<_>) = folders.into_iter().partition(|entry| entry.path == root);
        // From the deepest up: a folder that may not be written to must have everything in it first. One that is named twice
        // is as it was named last.
        let mut seen = HashSet::new();
        for entry in below.iter().rev().filter(|entry| seen.insert(&entry.path)) {
            if self.place.there(&entry.path) == Ok(There::Folder) {
                self.finish_folder(entry)?;
            }
        }
        self.publish(&root, at_root.last())?;
        Ok(self.report.clone())
    }

    fn finish_folder(&self, entry: &Entry) -> Result<(), ExtractError> {
        let finished = self.place.finish_folder(&entry.path, entry.mode, &place::times(entry.mtime));
        finished.map_err(|error| self.making(&entry.path, error))
    }

    /// Now that everything is there, no link may lead out with the help of another. Each that does goes, whatever becomes of
    /// the others; the first error is the one that counts.
    pub(super) fn check_links(&mut self) -> Result<(), ExtractError> {
        let links = std::mem::take(&mut self.links);
        let tree = match self.target {
            Target::Existing => None,
            Target::New { .. } if self.kind == Some(EntryKind::Directory) => {
                let root = self.inside(&TreePath::default())?;
                Some(self.place.open(&root).map_err(|error| self.making(&root, error))?)
            }
            Target::New { .. } => return Ok(()),
        };
        let mut outcome = Ok(());
        for (inside, target) in links {
            let bytes = inside.as_bytes();
            let bytes =
                if tree.is_some() { bytes.get(TREE_NAME.len() + 1..).unwrap_or(bytes) } else { bytes };
            let path = TreePath::new(bytes)?;
            let out = match &tree {
                Some(tree) => links::leads_out(tree, &path),
                None => links::leads_out(self.place.root(), &path),
            };
            if out && self.place.there(&inside) == Ok(There::Other) {
                let removed = self.remove(&inside);
                outcome = outcome.and(removed.map(drop)).and(self.escaped(&path, &target));
            }
        }
        outcome
    }

    fn publish(&mut self, tree: &TreePath, folder: Option<&Entry>) -> Result<(), ExtractError> {
        let root = match folder {
            Some(_) => Some(self.place.open(tree).map_err(|error| self.making(tree, error))?),
            None => None,
        };
        let failed = |error: Errno| ExtractError::Finish { path: self.shown.clone(), source: error.into() };
        let Target::New { parent, temporary, name, kept } = &mut self.target else { return Ok(()) };
        let renamed = rustix::fs::renameat_with(
            self.place.root(),
            TREE_NAME,
            &*parent,
            &name[..],
            RenameFlags::NOREPLACE,
        );
        match renamed {
            Ok(()) => *kept = true,
            Err(Errno::EXIST) => return Err(ExtractError::Exists { path: self.shown.clone() }),
            Err(error) => return Err(failed(error)),
        }
        let _ = rustix::fs::unlinkat(&*parent, &temporary[..], AtFlags::REMOVEDIR);
        // The folder's own mode comes last: one that may not be written to could not be renamed.
        if let (Some(root), Some(entry)) = (root, folder) {
            rustix::fs::fchmod(&root, Mode::from_raw_mode(entry.mode & 0o777)).map_err(failed)?;
            rustix::fs::futimens(&root, &place::times(entry.mtime)).map_err(failed)?;
        }
        Ok(())
    }
}
