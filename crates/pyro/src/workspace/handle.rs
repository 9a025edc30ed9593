//! One workspace as a user of the library holds it. Everything that can be done with it is a method, each group in a file of
//! its own beside this one. This file must not talk to a guest.

use super::document::Document;
use super::error::StoreError;
use super::error::WorkspaceError;
use super::folder::Folder;
use super::folder::FolderLock;
use super::id::WorkspaceId;
use super::registry::Listed;
use super::registry::Registry;
use crate::config::Config;

/// All workspaces of a configuration's state folder.
#[derive(Clone, Debug)]
pub struct Workspaces {
    pub(super) config: Config,
    pub(super) registry: Registry,
    /// Leftovers that were removed when this was opened.
    pub(super) swept: usize,
}

/// One workspace, whether or not it runs.
#[derive(Clone, Debug)]
pub struct Workspace {
    pub(super) config: Config,
    pub(super) registry: Registry,
    pub(super) folder: Folder,
}

/// Who has a stopped workspace: this process, for as long as this value lives.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) document: Document,
    pub(super) lock: FolderLock,
}

impl Workspaces {
    /// The workspaces of this configuration. What killed processes left half-made is removed.
    ///
    /// # Errors
    /// The state folder cannot be used.
    pub fn open(config: &Config) -> Result<Self, StoreError> {
        let registry = Registry::open(config)?;
        let swept = registry.sweep(config)?;
        Ok(Self { config: config.clone(), registry, swept })
    }

    /// The same for whoever only looks: nothing is made, and nothing removed.
    pub fn peek(config: &Config) -> Self {
        Self { config: config.clone(), registry: Registry::peek(config), swept: 0 }
    }

    /// The workspace of this id or name.
    ///
    /// # Errors
    /// [`StoreError::Unknown`].
    pub fn find(&self, given: &str) -> Result<Workspace, StoreError> {
        Ok(self.at(self.registry.find(given)?))
    }

    /// Every workspace, the last used first; those with a broken document stand at the end.
    ///
    /// # Errors
    /// The state folder cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>, StoreError> {
        let mut listed = self.registry.list()?;
        let last_used =
            |listed: &Listed| listed.document.as_ref().map_or(f64::MIN, |found| found.last_activity_at.0);
        listed.sort_by(|a, b| last_used(b).total_cmp(&last_used(a)));
        Ok(listed)
    }

    /// One of [`Self::list`] to work with.
    pub fn open_listed(&self, listed: &Listed) -> Workspace {
        self.at(listed.folder.clone())
    }

    /// The configuration.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn at(&self, folder: Folder) -> Workspace {
        Workspace { config: self.config.clone(), registry: self.registry.clone(), folder }
    }
}

impl Workspace {
    /// Its id.
    pub const fn id(&self) -> &WorkspaceId {
        self.folder.id()
    }

    /// Its document, as it was last written.
    ///
    /// # Errors
    /// It is broken or gone.
    pub fn document(&self) -> Result<Document, StoreError> {
        self.folder.load()
    }

    /// Its folder.
    pub const fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Whether its guest runs, or it is being changed.
    pub fn is_held(&self) -> bool {
        self.folder.is_held()
    }

    /// Takes a stopped workspace for this process; `None` when a guest runs or somebody else has it.
    pub(super) fn hold(&self) -> Result<Option<Held>, StoreError> {
        match self.folder.try_lock()? {
            Some(lock) => {
                // Left by a supervisor that was killed: nobody shall wait for an answer from it.
                let _ = std::fs::remove_file(self.folder.path().join(Folder::socket_name()));
                Ok(Some(Held { document: self.folder.load()?, lock }))
            }
            None if self.folder.path().exists() => Ok(None),
            None => Err(StoreError::Unknown { given: self.folder.id().to_string() }),
        }
    }

    pub(super) fn not_running(&self) -> WorkspaceError {
        WorkspaceError::not_running(&self.folder)
    }

    pub(super) fn disk_error(
        &self,
        operation: &'static str,
    ) -> impl FnOnce(std::io::Error) -> WorkspaceError {
        let workspace = self.folder.id().to_string();
        move |source| WorkspaceError::Disk { operation, workspace, source }
    }
}
