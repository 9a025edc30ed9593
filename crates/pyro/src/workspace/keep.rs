//! Snapshots, resets and forks, of workspaces that run and of those that do not. This file must not know how a running guest
//! is saved: its supervisor does that.

use super::control::connection;
use super::control::message::Child;
use super::control::message::Request;
use super::document::Document;
use super::document::UnixSeconds;
use super::error::StoreError;
use super::error::WorkspaceError;
use super::event;
use super::fork;
use super::fork::Parent;
use super::handle::Held;
use super::handle::Workspace;
use super::history::History;
use super::id::SnapshotName;
use super::id::WorkspaceId;
use super::id::WorkspaceName;
use super::layers::Chain;
use super::snapshots;
use super::snapshots::NewSnapshot;
use super::snapshots::SnapshotDocument;
use crate::work::Work;
use serde_json::Value;
use serde_json::json;
use std::time::Instant;

impl Workspace {
    /// Keeps the disk under a name, and, of a running workspace, memory and processes if asked. A suspended workspace's memory
    /// is kept with it.
    ///
    /// # Errors
    /// [`WorkspaceError`]; the workspace goes on as before.
    pub fn snapshot(
        &self,
        name: SnapshotName,
        memory: bool,
    ) -> Work<'_, Result<SnapshotDocument, WorkspaceError>> {
        Box::pin(async move {
            if name.is_baseline() {
                return Err(WorkspaceError::Protected);
            }
            let Some(mut held) = self.hold()? else {
                return connection::call(&self.config, &self.folder, Request::Snapshot { name, memory })
                    .await;
            };
            if memory && held.document.suspended.is_none() {
                return Err(self.not_running());
            }
            let began = Instant::now();
            let kept = self.snapshot_stopped(&mut held, &name, memory);
            self.note("snapshot_create", Some(name.to_string()), kept.as_ref().err(), began);
            self.tell("snapshot_created", &name, kept)
        })
    }

    fn snapshot_stopped(
        &self,
        held: &mut Held,
        name: &SnapshotName,
        memory: bool,
    ) -> Result<SnapshotDocument, WorkspaceError> {
        let new = NewSnapshot::begin(&self.folder, name)?;
        let kept = if memory { held.document.suspended.clone() } else { None };
        if kept.is_some() {
            let linked = super::folder::link_memory(&self.folder.suspended(), new.folder());
            linked.map_err(self.disk_error("sharing the memory"))?;
        }
        let frozen = self.freeze_stopped(held)?;
        let layers = self.folder.layers();
        let written = frozen.last().map_or(0, |layer| layers.disk_bytes(std::slice::from_ref(layer)));
        let snapshot = SnapshotDocument::new(name.clone(), frozen, kept, written);
        new.keep(&snapshot)?;
        Ok(snapshot)
    }

    /// Has the workspace go on with a new layer; the chain until now, which does not change any more.
    fn freeze_stopped(&self, held: &mut Held) -> Result<Chain, WorkspaceError> {
        let frozen = held.document.chain.clone();
        held.document.chain = self.add_layer(&held.document, &frozen)?;
        self.folder.save(&held.document)?;
        Ok(frozen)
    }

    fn add_layer(&self, document: &Document, below: &Chain) -> Result<Chain, WorkspaceError> {
        let size_bytes = u64::from(document.size.disk.get()) << 20;
        let added = self.folder.layers().add(below, size_bytes);
        Ok(added.map_err(self.disk_error("adding a layer to the disk"))?.0)
    }

    /// The snapshots: the baseline first, then the newest.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn snapshots(&self) -> Result<Vec<SnapshotDocument>, WorkspaceError> {
        self.folder.load()?;
        Ok(snapshots::list(&self.folder)?)
    }

    /// Forgets a snapshot.
    ///
    /// # Errors
    /// [`WorkspaceError::Protected`] for the baseline.
    pub fn delete_snapshot<'a>(&'a self, name: &'a SnapshotName) -> Work<'a, Result<(), WorkspaceError>> {
        Box::pin(async move {
            if name.is_baseline() {
                return Err(WorkspaceError::Protected);
            }
            let Some(held) = self.hold()? else {
                let request = Request::DeleteSnapshot { name: name.clone() };
                return connection::call::<Value>(&self.config, &self.folder, request).await.map(drop);
            };
            let began = Instant::now();
            let removed = snapshots::remove(&self.folder, name).map_err(WorkspaceError::from);
            let _ = snapshots::retain_layers(&self.folder, &held.document.chain);
            self.note("snapshot_delete", Some(name.to_string()), removed.as_ref().err(), began);
            self.tell("snapshot_deleted", name, removed)
        })
    }

    /// Goes back to a snapshot: a running workspace is then running again, with the snapshot's memory if it has any; a stopped
    /// one is still stopped.
    ///
    /// # Errors
    /// [`WorkspaceError`]; everything is then as it was.
    pub fn reset<'a>(&'a self, name: &'a SnapshotName) -> Work<'a, Result<SnapshotDocument, WorkspaceError>> {
        Box::pin(async move {
            let Some(mut held) = self.hold()? else {
                return connection::call(&self.config, &self.folder, Request::Reset { name: name.clone() })
                    .await;
            };
            let began = Instant::now();
            let reset = self.reset_stopped(&mut held, name);
            self.note("reset", Some(name.to_string()), reset.as_ref().err(), began);
            self.tell("workspace_reset", name, reset)
        })
    }

    /// Tells those who follow the events of what was done, if it was.
    fn tell<T>(
        &self,
        event: &str,
        name: &SnapshotName,
        done: Result<T, WorkspaceError>,
    ) -> Result<T, WorkspaceError> {
        if done.is_ok() {
            event::note(&self.config, self.id(), event, Some(name.to_string()));
        }
        done
    }

    fn reset_stopped(
        &self,
        held: &mut Held,
        name: &SnapshotName,
    ) -> Result<SnapshotDocument, WorkspaceError> {
        let snapshot = snapshots::load(&self.folder, name)?;
        let chain = self.add_layer(&held.document, &snapshot.chain)?;
        let suspended = self.folder.suspended();
        if snapshot.memory.is_some() {
            // Beside what is there, which is needed until the document says otherwise.
            let next = suspended.with_extension("next");
            let _ = std::fs::remove_dir_all(&next);
            let linked = super::folder::private_folder(&next)
                .and_then(|()| super::folder::link_memory(&self.folder.snapshot(name), &next));
            linked.map_err(self.disk_error("sharing the memory"))?;
        }
        let document = &mut held.document;
        document.chain = chain;
        document.suspended = None;
        document.reset_count += 1;
        document.last_reset_at = Some(UnixSeconds::now());
        document.command_count = 0;
        document.last_command = None;
        document.fresh_from = None;
        self.folder.save(document)?;
        let _ = std::fs::remove_dir_all(&suspended);
        if snapshot.memory.is_some() {
            std::fs::rename(suspended.with_extension("next"), &suspended)
                .map_err(self.disk_error("putting the memory in place"))?;
            document.suspended.clone_from(&snapshot.memory);
            self.folder.save(document)?;
        }
        let _ = History::of(&self.folder).clear();
        let _ = snapshots::retain_layers(&self.folder, &document.chain);
        Ok(snapshot)
    }

    /// What a reset reports beside the record.
    pub fn describe_reset(&self, snapshot: &SnapshotDocument, document: &Document) -> Value {
        super::supervisor::reset_of(snapshot, &document.workspace_seed)
    }

    /// A snapshot as the contract shows it.
    pub fn describe_snapshot(&self, snapshot: &SnapshotDocument) -> Value {
        let baseline = snapshot.name.is_baseline();
        json!({
            "workspace_id": self.id(),
            "snapshot_name": snapshot.name,
            "kind": if baseline { "baseline" } else { "named" },
            "created_at": snapshot.created_at,
            "entry_count": snapshot.entry_count,
            "bytes_written": snapshot.bytes_written,
            "deletable": !baseline,
            "memory": snapshot.memory.is_some(),
        })
    }

    /// Makes `names.len()` workspaces that begin where this one is now; of a running one, with its memory and processes. They are
    /// stopped, or suspended, until somebody starts them.
    ///
    /// # Errors
    /// [`WorkspaceError`], with no child left; this workspace goes on as before.
    pub fn fork(&self, names: Vec<Option<WorkspaceName>>) -> Work<'_, Result<Vec<Self>, WorkspaceError>> {
        Box::pin(async move {
            let child = |name| Ok(Child { id: WorkspaceId::random().map_err(StoreError::Random)?, name });
            let children = names.into_iter().map(child).collect::<Result<Vec<_>, WorkspaceError>>()?;
            let ids: Vec<WorkspaceId> = children.iter().map(|child| child.id.clone()).collect();
            match self.hold()? {
                None => {
                    connection::call::<Value>(&self.config, &self.folder, Request::Fork { children }).await?;
                }
                Some(mut held) => {
                    let began = Instant::now();
                    let made = self.fork_stopped(&mut held, &children);
                    self.note("fork", Some(children.len().to_string()), made.as_ref().err(), began);
                    made?;
                }
            }
            let at = |id| Self {
                config: self.config.clone(),
                registry: self.registry.clone(),
                folder: self.registry.folder(id),
            };
            Ok(ids.into_iter().map(at).collect())
        })
    }

    fn fork_stopped(&self, held: &mut Held, children: &[Child]) -> Result<(), WorkspaceError> {
        // Memory belongs to the disk as it is now; both are shared as they are.
        let frozen = self.freeze_stopped(held)?;
        let memory = self.folder.suspended();
        let parent = Parent {
            folder: &self.folder,
            document: &held.document,
            frozen: &frozen,
            suspended: held.document.suspended.as_ref().map(|snapshot| (snapshot, memory.as_path())),
        };
        fork::make_children(&self.config, &self.registry, &parent, children)
    }
}
