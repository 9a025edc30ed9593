//! Snapshots of a guest's disk alone: smaller than those of a whole guest, and good for any engine and any agent. A guest
//! that starts from one boots. This file must not save memory.

use super::Machine;
use super::MachineError;
use super::OwnDisk;
use super::Plan;
use super::SnapshotError;
use super::SnapshotReport;
use crate::config::Config;
use crate::identity::GuestId;
use pyro_engine::Memory;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

impl Machine {
    /// Copies this guest's disk to `path`, which must not exist. The guest stands still meanwhile, with everything it has
    /// written flushed, and goes on afterwards.
    ///
    /// # Errors
    /// [`SnapshotError`]; the guest then goes on as before, and nothing is at `path`.
    pub async fn snapshot_disk(&mut self, path: &Path) -> Result<SnapshotReport, SnapshotError> {
        let Some(OwnDisk::Throwaway(rw)) = self.own.clone() else { return Err(SnapshotError::NoGuest) };
        let began = Instant::now();
        self.client.quiesce().await.map_err(SnapshotError::Quiesce)?;
        let to = path.to_owned();
        let paused = self.guest.pause().await.map_err(SnapshotError::Engine);
        let copy = tokio::task::spawn_blocking(move || copy(&rw, &to)).await;
        // Whatever came of it, the guest goes on.
        let resumed = self.guest.resume().await.map_err(SnapshotError::Engine);
        let pause = began.elapsed();
        let thawed = self.client.thaw().await.map_err(SnapshotError::Thaw);
        let copied = copy.unwrap_or_else(|error| Err(io::Error::other(error)));
        copied.map_err(|source| SnapshotError::Disk { path: path.to_owned(), source })?;
        paused?;
        resumed?;
        thawed?;
        Ok(SnapshotReport { pause, total: began.elapsed() })
    }

    /// Boots a guest on a copy of the disk at `disk`.
    ///
    /// # Errors
    /// [`MachineError`], with nothing left behind.
    pub async fn boot_from(
        config: &Config,
        plan: &Plan,
        id: GuestId,
        disk: &Path,
    ) -> Result<Self, MachineError> {
        let began = Instant::now();
        let rw = File::open(disk).and_then(|from| pyro_image::disk::copy_unnamed(&from, &plan.scratch));
        let rw = rw.map_err(|source| MachineError::DiskCopy { path: disk.to_owned(), source })?;
        let own = OwnDisk::Throwaway(Arc::new(rw));
        let spec = plan.spec(&id, Memory::Anonymous, &own, false);
        Self::boot_with(config, plan, id, spec, own, began).await
    }
}

/// Copies a disk, its holes kept; a copy that fails half-way is removed.
fn copy(from: &File, path: &Path) -> io::Result<()> {
    let to = File::create_new(path)?;
    pyro_image::disk::copy_sparse(from, &to).inspect_err(|_| drop(std::fs::remove_file(path)))
}
