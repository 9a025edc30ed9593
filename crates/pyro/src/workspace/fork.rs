//! Children of a workspace: folders that share everything their parent had by hard links, with a layer of their own on top.
//! This file must not know whether the parent runs.

use super::control::message::Child;
use super::document::Document;
use super::document::SCHEMA;
use super::document::Stage;
use super::document::StopReason;
use super::document::UnixSeconds;
use super::error::StoreError;
use super::error::WorkspaceError;
use super::event;
use super::folder::Folder;
use super::folder::link_memory;
use super::folder::private_folder;
use super::keyring::Keyring;
use super::layers::Chain;
use super::registry::Registry;
use super::sealed::Sealed;
use super::snapshots;
use crate::config::Config;
use crate::identity;
use crate::machine::Snapshot;
use std::path::Path;

/// Most children of one fork.
pub const CHILDREN_MAX: usize = 256;

/// What children begin from.
pub(super) struct Parent<'a> {
    pub(super) folder: &'a Folder,
    pub(super) document: &'a Document,
    /// Its disk, no layer of which changes any more.
    pub(super) frozen: &'a Chain,
    /// Its memory, and where that is.
    pub(super) suspended: Option<(&'a Snapshot, &'a Path)>,
}

/// Makes the folders of all children, or none.
pub(super) fn make_children(
    config: &Config,
    registry: &Registry,
    parent: &Parent<'_>,
    children: &[Child],
) -> Result<(), WorkspaceError> {
    let mut made: Vec<(Folder, Document)> = Vec::new();
    for child in children {
        match make_child(config, registry, parent, child) {
            Ok(done) => made.push(done),
            Err(error) => {
                for (folder, _) in made {
                    if let Ok(Some(lock)) = folder.try_lock() {
                        let _ = folder.remove(&lock);
                    }
                }
                return Err(error);
            }
        }
    }
    let known = Keyring::of(config, &parent.document.workspace_id);
    for (_, document) in &made {
        let own = Keyring::of(config, &document.workspace_id);
        for name in document.secrets.keys() {
            known.get(name).map(|value| own.put(name, &value));
        }
        let of = parent.document.workspace_id.to_string();
        event::note(config, &document.workspace_id, "workspace_forked", Some(of));
    }
    Ok(())
}

fn make_child(
    config: &Config,
    registry: &Registry,
    parent: &Parent<'_>,
    child: &Child,
) -> Result<(Folder, Document), WorkspaceError> {
    let now = UnixSeconds::now();
    let mut document = Document {
        schema: SCHEMA,
        workspace_id: child.id.clone(),
        name: child.name.clone(),
        created_at: now,
        last_activity_at: now,
        stage: Stage::Creating,
        stopped: Some((StopReason::NeverStarted, now)),
        machine_id: identity::machine_id().map_err(StoreError::Random)?,
        suspended: parent.suspended.map(|(snapshot, _)| snapshot.clone()),
        command_count: 0,
        last_command: None,
        reset_count: 0,
        last_reset_at: None,
        forked_from: Some(parent.document.workspace_id.clone()),
        fresh_from: None,
        // The host has each of them once.
        published_ports: Vec::new(),
        ..parent.document.clone()
    };
    let (folder, lock) = registry.add(&document)?;
    let filled = fill(&folder, parent, &mut document).and_then(|()| share_secrets(config, parent, &folder));
    if let Err(error) = filled {
        let _ = folder.remove(&lock);
        return Err(error);
    }
    Ok((folder, document))
}

/// Seals the parent's secrets anew for a child.
fn share_secrets(config: &Config, parent: &Parent<'_>, child: &Folder) -> Result<(), WorkspaceError> {
    if !parent.document.persist_secrets || parent.document.secrets.is_empty() {
        return Ok(());
    }
    let all = Sealed::of(config, parent.folder).all()?;
    Ok(Sealed::of(config, child).put(&all)?)
}

fn fill(folder: &Folder, parent: &Parent<'_>, document: &mut Document) -> Result<(), WorkspaceError> {
    let failed = |operation| {
        move |source| WorkspaceError::Disk {
            operation,
            workspace: parent.document.workspace_id.to_string(),
            source,
        }
    };
    parent
        .folder
        .layers()
        .link(parent.frozen.layers(), &folder.layers())
        .map_err(failed("sharing the disk"))?;
    snapshots::link_all(parent.folder, folder)?;
    if let Some((_, memory)) = parent.suspended {
        // And nothing else: what this side knows of the processes in it is the parent's.
        let linked =
            private_folder(&folder.suspended()).and_then(|()| link_memory(memory, &folder.suspended()));
        linked.map_err(failed("sharing the memory"))?;
    }
    let size_bytes = u64::from(document.size.disk.get()) << 20;
    let added = folder.layers().add(parent.frozen, size_bytes);
    document.chain = added.map_err(failed("adding a layer to the disk"))?.0;
    document.stage = Stage::Ready;
    folder.save(document)?;
    Ok(())
}
