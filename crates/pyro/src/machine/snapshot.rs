//! Snapshots of whole guests, memory included: taking one of a running guest, and bringing one back any number of times.
//!
//! ```text
//!   running -- quiesce (user processes frozen, file systems flushed) -- pause -- save -- resume -- thaw -- running
//!                        any failure after the quiesce: resume and thaw, the guest goes on as before
//! ```
//!
//! A guest that is brought back is its siblings' twin until it has been given an identity; the agent in it accepts nothing
//! else first. A snapshot is a folder that is the caller's to name, lock and remove. This file must not know templates.

use super::Machine;
use super::MachineError;
use super::OwnDisk;
use super::Plan;
use super::Revival;
use crate::code;
use crate::code::Coded;
use crate::config::Config;
use crate::guest::GuestError;
use crate::identity::GuestId;
use pyro_engine::EngineError;
use pyro_engine::SnapshotFiles;
use pyro_proto::ByteString;
use serde::Deserialize;
use serde::Serialize;
use std::fs::File;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

/// A guest's own disk within a snapshot's folder.
const RW: &str = "rw.ext4";

/// What a snapshot's folder holds besides what its owner adds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// What the frozen agent must be shown. A secret of whoever may restore it.
    pub(super) token: ByteString,
    /// The generation of the guest that was snapshotted.
    pub(super) generation: u64,
}

/// What taking a snapshot cost.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct SnapshotReport {
    /// How long the guest stood still.
    pub pause: Duration,
    /// All of it.
    pub total: Duration,
}

/// Why a snapshot could not be taken. The guest goes on as before, unless it is gone.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// This is no guest, but a process on the host.
    #[error("the host-compat mode has no snapshots")]
    NoGuest,
    /// The guest stands still, and cannot be brought to rest.
    #[error("the disk of the host is full, and the guest waits for room on it")]
    NoRoom,
    /// The agent could not bring the guest to rest.
    #[error("bringing the guest to rest")]
    Quiesce(#[source] GuestError),
    /// The agent could not let the guest go on.
    #[error("letting the guest go on")]
    Thaw(#[source] GuestError),
    /// The engine could not save it.
    #[error("saving the guest")]
    Engine(#[source] EngineError),
    /// What was saved may not survive a power cut.
    #[error("writing {path} through to the disk", path = .path.display())]
    Sync {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its disk could not be copied.
    #[error("copying the guest's disk to {path}", path = .path.display())]
    Disk {
        /// The copy.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Coded for SnapshotError {
    fn code(&self) -> &'static str {
        match self {
            Self::NoGuest => code::SNAPSHOT_UNSUPPORTED,
            Self::NoRoom => code::DISK_FULL,
            Self::Quiesce(_) | Self::Thaw(_) | Self::Engine(_) => code::SNAPSHOT_FAILED,
            Self::Disk { source, .. } | Self::Sync { source, .. }
                if source.kind() == io::ErrorKind::StorageFull =>
            {
                code::DISK_FULL
            }
            Self::Disk { .. } | Self::Sync { .. } => code::SNAPSHOT_FAILED,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NoGuest => vec!["use an engine that runs guests".to_owned()],
            _ => vec!["check the free space of the disk that snapshots are kept on".to_owned()],
        }
    }
}

/// A snapshot's two files of the engine.
pub(crate) fn files(folder: &Path) -> SnapshotFiles {
    SnapshotFiles { state: folder.join("state"), memory: folder.join("memory") }
}

/// All files that a snapshot consists of.
pub(crate) fn all_files(folder: &Path) -> [PathBuf; 3] {
    let files = files(folder);
    [files.state, files.memory, folder.join(RW)]
}

impl Machine {
    /// Saves this guest in `folder`, which must exist and be empty (but for the memory of a guest that was started on a
    /// memory file there). The guest stands still while its device state, what it wrote to memory, and its disk are saved,
    /// and goes on afterwards.
    ///
    /// # Errors
    /// [`SnapshotError`]; the guest then goes on as before.
    pub async fn snapshot(&mut self, folder: &Path) -> Result<(Snapshot, SnapshotReport), SnapshotError> {
        let began = Instant::now();
        let files = files(folder);
        self.guest.prepare_snapshot(&files).await.map_err(SnapshotError::Engine)?;
        let stood = Instant::now();
        let snapshot = self.save(folder, &files).await;
        // Whatever came of it, the guest goes on.
        let resumed = self.guest.resume().await.map_err(SnapshotError::Engine);
        let pause = stood.elapsed();
        let thawed = self.client.thaw().await.map_err(SnapshotError::Thaw);
        let snapshot = snapshot?;
        resumed?;
        thawed?;
        Ok((snapshot, SnapshotReport { pause, total: began.elapsed() }))
    }

    /// Saves this guest in `folder` as [`Self::snapshot`] does, and ends it instead of letting it go on.
    ///
    /// # Errors
    /// [`SnapshotError`]; the guest is ended all the same.
    pub async fn freeze(mut self, folder: &Path) -> Result<Snapshot, SnapshotError> {
        let files = files(folder);
        self.guest.prepare_snapshot(&files).await.map_err(SnapshotError::Engine)?;
        let snapshot = self.save(folder, &files).await;
        self.end().await;
        snapshot
    }

    async fn save(&mut self, folder: &Path, files: &SnapshotFiles) -> Result<Snapshot, SnapshotError> {
        let Some(OwnDisk::Throwaway(rw)) = self.own.clone() else { return Err(SnapshotError::NoGuest) };
        self.client.quiesce().await.map_err(SnapshotError::Quiesce)?;
        self.guest.pause().await.map_err(SnapshotError::Engine)?;
        let path = folder.join(RW);
        let to = path.clone();
        let disk =
            tokio::task::spawn_blocking(move || pyro_image::disk::copy_sparse(&rw, &File::create_new(to)?));
        let saved = self.guest.snapshot(files).await;
        let copied = disk.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        saved.map_err(SnapshotError::Engine)?;
        copied.map_err(|source| SnapshotError::Disk { path, source })?;
        Ok(Snapshot { token: self.token.clone(), generation: self.generation })
    }

    /// Brings back a guest from `folder`, as one of its own: its memory is mapped copy-on-write, its disk is a copy.
    ///
    /// # Errors
    /// [`MachineError`], with nothing left behind.
    pub async fn restore(
        config: &Config,
        plan: &Plan,
        snapshot: &Snapshot,
        folder: &Path,
        id: GuestId,
    ) -> Result<Self, MachineError> {
        let began = Instant::now();
        let path = folder.join(RW);
        let rw = File::open(&path).and_then(|from| pyro_image::disk::copy_unnamed(&from, &plan.scratch));
        let rw = rw.map_err(|source| MachineError::DiskCopy { path, source })?;
        let own = OwnDisk::Throwaway(Arc::new(rw));
        let prepared = began.elapsed();
        let revival = Revival { snapshot, folder, own, open_disk: false, machine_id: None, keep_jobs: false };
        let mut machine = Self::revive(config, plan, revival, id).await?;
        machine.times.prepare += prepared;
        Ok(machine)
    }

    /// What this guest was made from; nothing for a process on the host.
    pub const fn plan(&self) -> Option<&Plan> {
        self.plan.as_ref()
    }
}
