//! Keeping the state folder in order: workspaces past their retention go, guests that were lost are written down, and what
//! the cache must keep for those that stay is told. This file must not remove anything that its owner has not dated.

use super::error::StoreError;
use super::error::WorkspaceError;
use super::handle::Workspaces;
use super::id::WorkspaceId;
use crate::code::chain;
use crate::work::Work;
use std::collections::BTreeSet;

/// What was done, and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CollectedWorkspaces {
    /// Workspaces that were past their retention, and are deleted.
    pub deleted: Vec<WorkspaceId>,
    /// Folders of workspaces that were never finished or half removed, and are gone.
    pub leftovers: usize,
    /// Workspaces that are of no use as they are, and what is wrong with each. They stay until somebody deletes them.
    pub broken: Vec<(WorkspaceId, String)>,
}

/// The environments without which a workspace's disk means nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NeededEnvironments {
    digests: BTreeSet<String>,
    unknown: bool,
}

impl NeededEnvironments {
    /// Whether the environment of this digest must stay. All must while there is a workspace that does not say what it needs.
    pub fn contains(&self, digest: &str) -> bool {
        self.unknown || self.digests.contains(digest)
    }
}

impl Workspaces {
    /// Deletes the workspaces that are past their retention, and finds out how the others are.
    ///
    /// # Errors
    /// The state folder cannot be read; a workspace cannot be deleted.
    pub fn collect(&self) -> Work<'_, Result<CollectedWorkspaces, WorkspaceError>> {
        Box::pin(async move {
            let mut collected =
                CollectedWorkspaces { leftovers: self.swept, ..CollectedWorkspaces::default() };
            for listed in self.list()? {
                let workspace = self.open_listed(&listed);
                if let Err(error) = &listed.document {
                    collected.broken.push((workspace.id().clone(), chain(error)));
                    continue;
                }
                // One that runs or is being changed is its holder's.
                let Some(held) = workspace.hold()? else { continue };
                if held.document.is_past_retention() {
                    workspace.forget_secrets();
                    workspace.folder.clone().remove(&held.lock)?;
                    super::event::note(
                        &self.config,
                        workspace.id(),
                        "workspace_deleted",
                        Some("retention".to_owned()),
                    );
                    collected.deleted.push(workspace.id().clone());
                } else {
                    workspace.note_lost_guest()?;
                }
            }
            Ok(collected)
        })
    }

    /// What the cache of environments must keep.
    ///
    /// # Errors
    /// The state folder cannot be read.
    pub fn needed_environments(&self) -> Result<NeededEnvironments, StoreError> {
        let mut needed = NeededEnvironments::default();
        for listed in self.registry.list()? {
            match listed.document {
                Ok(document) => drop(needed.digests.insert(document.rootfs_digest)),
                Err(_) => needed.unknown = true,
            }
        }
        Ok(needed)
    }
}
