//! Snapshots of a running workspace, and going back to one. This file must not serve a client.
//!
//! ```text
//!   snapshot:  new empty layer -- document written -- disk held, layer pushed, released -- snapshot written
//!              a document that names an empty layer too many says the same of the disk as one without it
//!   reset:     new empty layer on the snapshot's -- another guest started on it -- swap -- document written -- old guest killed
//!              any failure before the swap: the new guest and layer are gone, everything is as it was
//! ```

use super::Supervisor;
use super::bring_up;
use super::job::Cut;
use crate::code;
use crate::machine::Machine;
use crate::machine::OwnDisk;
use crate::machine::Revival;
use crate::machine::SnapshotError;
use crate::workspace::document::Seed;
use crate::workspace::document::Stage;
use crate::workspace::document::UnixSeconds;
use crate::workspace::error::WorkspaceError;
use crate::workspace::event;
use crate::workspace::id::SnapshotName;
use crate::workspace::layers::Chain;
use crate::workspace::snapshots;
use crate::workspace::snapshots::NewSnapshot;
use crate::workspace::snapshots::SnapshotDocument;
use serde_json::Value;
use serde_json::json;
use std::fs::File;
use std::io;
use std::sync::Arc;

/// What a reset does to the commands under way.
const RESET: Cut = (code::WORKSPACE_RESET, "the workspace was reset while the command ran");

impl Supervisor {
    /// Keeps the disk under a name, and memory and processes if asked.
    pub(super) async fn snapshot(&self, name: SnapshotName, memory: bool) -> Result<Value, WorkspaceError> {
        let creating = self.document_mut().stage == Stage::Creating;
        if name.is_baseline() && !creating {
            return Err(WorkspaceError::Protected);
        }
        let mut machine = self.machine.lock().await;
        if name.is_baseline() {
            crate::workspace::create::drop_empty_baseline(&self.folder)?;
        }
        let new = NewSnapshot::begin(&self.folder, &name)?;
        let mut snapshot = self.take(&mut machine, &new, name.clone(), memory).await?;
        if creating {
            snapshot.entry_count = Some(self.document_mut().workspace_seed.entry_count);
        }
        new.keep(&snapshot)?;
        event::note(&self.config, self.folder.id(), "snapshot_created", Some(name.to_string()));
        Ok(json!(snapshot))
    }

    /// Keeps the disk as it is, below a new layer, and memory in the new snapshot's folder if asked.
    pub(super) async fn take(
        &self,
        machine: &mut Machine,
        new: &NewSnapshot,
        name: SnapshotName,
        memory: bool,
    ) -> Result<SnapshotDocument, WorkspaceError> {
        self.check_room()?;
        if memory {
            self.check_memory_may_be_kept()?;
        }
        let (below, overlay) = self.lay_on_top()?;
        let pushed = if memory {
            machine.save_with_memory(new.folder(), overlay).await.map(Some)
        } else {
            machine.push_layer(overlay).await.map(|()| None)
        };
        let kept = pushed.map_err(|error| self.not_pushed(&below, error))?;
        let written =
            below.last().map_or(0, |layer| self.folder.layers().disk_bytes(std::slice::from_ref(layer)));
        Ok(SnapshotDocument::new(name, below, kept, written))
    }

    /// Notes where the workspace's files came from.
    pub(super) fn seeded(&self, seed: Seed) -> Result<Value, WorkspaceError> {
        self.change(|document| document.workspace_seed = seed)?;
        Ok(Value::Null)
    }

    /// The workspace is made: from here on it is kept.
    pub(super) fn finish_creation(&self) -> Result<Value, WorkspaceError> {
        if *self.stopping.borrow() > 0 {
            let did = "is about to end".to_owned();
            return Err(WorkspaceError::Supervisor { workspace: self.id(), did });
        }
        self.change(|document| document.stage = Stage::Ready)?;
        Ok(Value::Null)
    }

    /// Forgets a snapshot, and what only it needed of the disk.
    pub(super) async fn delete_snapshot(&self, name: &SnapshotName) -> Result<Value, WorkspaceError> {
        if name.is_baseline() {
            return Err(WorkspaceError::Protected);
        }
        let _alone = self.machine.lock().await;
        snapshots::remove(&self.folder, name)?;
        let chain = self.document_mut().chain.clone();
        self.drop_layers(&chain);
        event::note(&self.config, self.folder.id(), "snapshot_deleted", Some(name.to_string()));
        Ok(Value::Null)
    }

    /// Goes back to a snapshot.
    pub(super) async fn reset(&self, name: &SnapshotName) -> Result<Value, WorkspaceError> {
        let mut machine = self.machine.lock().await;
        let _shut = self.shut_gate().await;
        let snapshot = snapshots::load(&self.folder, name)?;
        let before = self.document_mut().chain.clone();
        let (chain, overlay) = self.new_layer(&snapshot.chain)?;
        drop(overlay);
        let next = match self.start_again(&snapshot, &chain).await {
            Ok(next) => next,
            Err(error) => {
                self.drop_layers(&before);
                return Err(error);
            }
        };
        let now = UnixSeconds::now();
        let changed = self.change(|document| {
            document.chain = chain.clone();
            document.reset_count += 1;
            document.last_reset_at = Some(now);
            document.command_count = 0;
            document.last_command = None;
        });
        if let Err(error) = changed {
            drop(next);
            self.drop_layers(&before);
            return Err(error.into());
        }
        *self.client.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::clone(&next.client);
        self.stall.send_replace(next.guest.stall());
        let mut old = std::mem::replace(&mut *machine, next);
        self.services.end_all(std::time::Duration::ZERO).await;
        // The history begins anew, so their ends are told and not written down.
        let _ = self.jobs.all_ended(RESET).await;
        self.forget_shells("the workspace was reset");
        old.kill().await;
        drop(old);
        self.vault.forget_guest().await;
        self.jobs.restart();
        let _ = self.history.clear();
        self.drop_layers(&chain);
        event::note(&self.config, self.folder.id(), "workspace_reset", Some(name.to_string()));
        Ok(json!(snapshot))
    }

    async fn start_again(
        &self,
        snapshot: &SnapshotDocument,
        chain: &Chain,
    ) -> Result<Machine, WorkspaceError> {
        let document = self.document();
        if let Some(memory) = &snapshot.memory {
            let folder = self.folder.snapshot(&snapshot.name);
            let revival = Revival {
                snapshot: memory,
                folder: &folder,
                own: OwnDisk::Layers(bring_up::open(&self.folder, chain)?),
                open_disk: false,
                machine_id: Some(&document.machine_id),
                keep_jobs: false,
            };
            let id = document.workspace_id.guest();
            return Ok(Machine::revive(&self.config, &self.plan, revival, id).await?);
        }
        let (config, store, folder, plan) = (&self.config, &self.store, &self.folder, &self.plan);
        let started = bring_up::from_disk(config, store, folder, plan, &document, chain, &mut |_| {}).await?;
        Ok(started.0)
    }

    /// Adds an empty layer to the disk as the document has it, for the guest to go on with; the chain below it. The document
    /// comes first: what the guest writes once it has the layer must not be in a file that no document names.
    pub(super) fn lay_on_top(&self) -> Result<(Chain, File), WorkspaceError> {
        let below = self.document_mut().chain.clone();
        let (chain, overlay) = self.new_layer(&below)?;
        if let Err(error) = self.change(|document| document.chain = chain) {
            self.drop_layers(&below);
            return Err(error.into());
        }
        Ok((below, overlay))
    }

    /// The guest was not given the layer, or went wrong after it was: unless it is certain that it has not got it, it stays.
    pub(super) fn not_pushed(&self, below: &Chain, error: SnapshotError) -> WorkspaceError {
        if matches!(error, SnapshotError::Quiesce(_) | SnapshotError::NoRoom)
            && self.change(|document| document.chain = below.clone()).is_ok()
        {
            self.drop_layers(below);
        }
        error.into()
    }

    pub(super) fn new_layer(&self, below: &Chain) -> Result<(Chain, File), WorkspaceError> {
        let size_bytes = u64::from(self.plan.size.disk.get()) << 20;
        self.folder
            .layers()
            .add(below, size_bytes)
            .map_err(|source| self.disk("adding a layer to the disk", source))
    }

    pub(super) fn disk(&self, operation: &'static str, source: io::Error) -> WorkspaceError {
        WorkspaceError::Disk { operation, workspace: self.id(), source }
    }

    /// Removes the layers that nothing needs; one that cannot be removed now is removed the next time.
    pub(super) fn drop_layers(&self, chain: &Chain) {
        let _ = snapshots::retain_layers(&self.folder, chain);
    }
}

/// What a reset says of the seed it went back to.
pub(in crate::workspace) fn reset_of(snapshot: &SnapshotDocument, seed: &Seed) -> Value {
    json!({
        "snapshot_name": snapshot.name,
        "kind": if snapshot.name.is_baseline() { "baseline" } else { "named" },
        "destination": super::super::WORKSPACE_PATH,
        "entry_count": snapshot.entry_count.unwrap_or(seed.entry_count),
        "bytes_written": snapshot.bytes_written,
        "memory": snapshot.memory.is_some(),
    })
}
