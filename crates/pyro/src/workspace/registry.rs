//! All workspaces of one state folder: found by id or name, listed, made, and kept in order. One broken document harms no
//! other. This file must not start or stop anything.

use super::document::Document;
use super::document::Stage;
use super::error::StoreError;
use super::folder::Folder;
use super::folder::FolderLock;
use super::folder::REMOVED;
use super::folder::private_folder;
use super::id::WorkspaceId;
use super::id::WorkspaceName;
use super::keyring::Keyring;
use crate::config::Config;
use crate::state;
use rustix::fs::FlockOperation;
use rustix::fs::flock;
use std::fs;
use std::fs::File;
use std::io;
use std::path::PathBuf;

/// All workspaces of one state folder.
#[derive(Clone, Debug)]
pub(super) struct Registry {
    root: PathBuf,
    most: u64,
}

/// One folder of the list: a workspace, or what is wrong with it.
#[derive(Debug)]
pub struct Listed {
    /// Where it is.
    pub folder: Folder,
    /// Its document.
    pub document: Result<Document, StoreError>,
}

impl Registry {
    /// The workspaces below the state folder, which is made if need be.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) fn open(config: &Config) -> Result<Self, StoreError> {
        state::private_dir(&config.state_dir)?;
        let registry = Self::peek(config);
        let root = &registry.root;
        private_folder(root).map_err(|source| StoreError::file("making", root, source))?;
        Ok(registry)
    }

    /// The same, whether or not there is such a folder.
    pub(super) fn peek(config: &Config) -> Self {
        Self { root: config.state_dir.join("workspaces"), most: config.workspaces_max }
    }

    /// The folder of `id`, whether or not it exists.
    pub(super) fn folder(&self, id: WorkspaceId) -> Folder {
        Folder::new(&self.root, id)
    }

    /// Every workspace, those whose document is broken included, in no particular order.
    ///
    /// # Errors
    /// The root cannot be read.
    pub(super) fn list(&self) -> Result<Vec<Listed>, StoreError> {
        let entries =
            fs::read_dir(&self.root).map_err(|source| StoreError::file("reading", &self.root, source))?;
        let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<WorkspaceId>().ok());
        let listed = ids.map(|id| {
            let folder = self.folder(id);
            Listed { document: folder.load(), folder }
        });
        // One that is deleted while it is listed was never there.
        let is_there = |listed: &Listed| {
            !matches!(listed.document, Err(StoreError::Unknown { .. })) || listed.folder.path().exists()
        };
        Ok(listed.filter(is_there).collect())
    }

    /// The workspace that a user means: an id, or a name.
    ///
    /// # Errors
    /// [`StoreError::Unknown`]; what is wrong with the document of an id.
    pub(super) fn find(&self, given: &str) -> Result<Folder, StoreError> {
        if let Ok(id) = given.parse::<WorkspaceId>() {
            let folder = self.folder(id);
            return if folder.path().is_dir() {
                Ok(folder)
            } else {
                Err(StoreError::Unknown { given: given.to_owned() })
            };
        }
        let has_name = |listed: &Listed| {
            let name = listed.document.as_ref().ok().and_then(|document| document.name.as_ref());
            name.is_some_and(|name| name.as_str() == given)
        };
        let found = self.list()?.into_iter().find(has_name);
        found.map(|listed| listed.folder).ok_or_else(|| StoreError::Unknown { given: given.to_owned() })
    }

    /// Makes the folder of a new workspace and takes its lock, then writes its document. Nobody else can take its name
    /// meanwhile.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`], or what is wrong with the disk; nothing is then left.
    pub(super) fn add(&self, document: &Document) -> Result<(Folder, FolderLock), StoreError> {
        let _alone = self.alone()?;
        if self.list()?.len() as u64 >= self.most {
            return Err(StoreError::Limit { most: self.most });
        }
        if let Some(name) = &document.name {
            self.check_free(name, &document.workspace_id)?;
        }
        let folder = self.folder(document.workspace_id.clone());
        folder.make()?;
        let lock = folder.try_lock().and_then(|lock| {
            // Just made, under a random name.
            let lock = lock.ok_or_else(|| {
                StoreError::file("locking", folder.path(), io::ErrorKind::ResourceBusy.into())
            })?;
            folder.save(document)?;
            Ok(lock)
        });
        match lock {
            Ok(lock) => Ok((folder, lock)),
            Err(error) => {
                let _ = fs::remove_dir_all(folder.path());
                Err(error)
            }
        }
    }

    /// Does something that depends on a name being free while nobody else can take it.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`], or what `change` failed with.
    pub(super) fn with_name<T>(
        &self,
        name: &WorkspaceName,
        id: &WorkspaceId,
        change: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let _alone = self.alone()?;
        self.check_free(name, id)?;
        change()
    }

    fn check_free(&self, name: &WorkspaceName, id: &WorkspaceId) -> Result<(), StoreError> {
        let documents = self.list()?.into_iter().filter_map(|listed| listed.document.ok());
        let mut others = documents.filter(|other| other.workspace_id != *id);
        match others.find(|other| other.name.as_ref() == Some(name)) {
            None => Ok(()),
            Some(other) => {
                Err(StoreError::NameTaken { name: name.to_string(), by: other.workspace_id.to_string() })
            }
        }
    }

    /// Held for moments only, by whoever gives a name out.
    fn alone(&self) -> Result<File, StoreError> {
        let file =
            File::open(&self.root).map_err(|source| StoreError::file("opening", &self.root, source))?;
        flock(&file, FlockOperation::LockExclusive)
            .map_err(|errno| StoreError::file("locking", &self.root, errno.into()))?;
        Ok(file)
    }

    /// Removes what was left by processes that are gone: workspaces that were never finished, folders half removed. How many.
    ///
    /// # Errors
    /// The root cannot be read.
    pub(super) fn sweep(&self, config: &Config) -> Result<usize, StoreError> {
        let entries =
            fs::read_dir(&self.root).map_err(|source| StoreError::file("reading", &self.root, source))?;
        let names: Vec<String> =
            entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        let doomed = names.iter().filter(|name| name.starts_with(REMOVED));
        let removed = doomed.filter(|name| fs::remove_dir_all(self.root.join(name)).is_ok()).count();
        let unfinished = names.iter().filter_map(|name| name.parse().ok()).map(|id| self.folder(id));
        Ok(removed + unfinished.filter(|folder| self.remove_if_unfinished(config, folder)).count())
    }

    fn remove_if_unfinished(&self, config: &Config, folder: &Folder) -> bool {
        let is_unfinished = |folder: &Folder| match folder.load() {
            Ok(document) => document.stage == Stage::Creating,
            // Killed between the folder and its document.
            Err(StoreError::Unknown { .. }) => true,
            Err(_) => false,
        };
        if !is_unfinished(folder) {
            return false;
        }
        // Whoever makes one has no lock and no document yet for a moment, but is alone in that moment.
        let Ok(_alone) = self.alone() else { return false };
        match folder.try_lock() {
            // It may have been finished meanwhile.
            Ok(Some(lock)) if is_unfinished(folder) => {
                if let Ok(document) = folder.load() {
                    Keyring::of(config, folder.id()).clear(&document);
                }
                folder.clone().remove(&lock).is_ok()
            }
            _ => false,
        }
    }
}
