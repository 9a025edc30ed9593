//! Guests whose disk stays: restored onto layers, given a new layer, saved with their memory, ended as a machine is ended.
//! This file must not know where the layers are kept.
//!
//! ```text
//!   running -- hold disk -- push layer -- release -- running               a snapshot of the disk; processes run on
//!   running -- quiesce -- pause -- state, memory, push layer -- resume -- thaw -- running        one with memory too
//!   running -- quiesce -- pause -- state, memory -- ended                                        suspended
//!   running -- shutdown: jobs ended, disk put away -- ended                                      stopped
//! ```

use super::Machine;
use super::MachineError;
use super::OwnDisk;
use super::Plan;
use super::Snapshot;
use super::SnapshotError;
use super::StartTimes;
use super::greeting::greet;
use super::plan::OWN_DISK;
use super::snapshot::files;
use crate::config::Config;
use crate::guest::GuestClient;
use crate::guest::GuestError;
use crate::identity;
use crate::identity::GuestId;
use pyro_engine::EngineExit;
use pyro_engine::Layer;
use pyro_engine::Memory;
use pyro_engine::Stall;
use pyro_proto::hello::Attach;
use pyro_proto::hello::PROTOCOL_MAX;
use pyro_proto::hello::PROTOCOL_MIN;
use pyro_proto::message::RequestBody;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

/// Which of a guest's disks is its own.
const OWN_DISK_INDEX: usize = 1;

/// Longest that a guest's disk is held for a new layer, in milliseconds.
const HOLD_MS: u64 = 10_000;

/// How a guest is brought back.
#[derive(Debug)]
pub struct Revival<'a> {
    /// What the frozen agent expects.
    pub snapshot: &'a Snapshot,
    /// Where its device state and memory are.
    pub folder: &'a Path,
    /// Its own disk: as it was when the guest was frozen, or, for a guest that was frozen without it, any.
    pub own: OwnDisk,
    /// The guest was frozen without its disk.
    pub open_disk: bool,
    /// Its machine id; a new one when absent.
    pub machine_id: Option<&'a str>,
    /// What ran in it waits to be [taken over](GuestClient::take_over), or let go.
    pub keep_jobs: bool,
}

/// How the end of a guest went.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// It did not end by itself in time, and was killed.
    #[error("the guest did not shut down within {} seconds and was killed", .deadline.as_secs())]
    Deadline {
        /// How long it had.
        deadline: Duration,
    },
    /// Its agent refused, or was gone; it was killed.
    #[error("the guest could not shut down and was killed")]
    Guest(#[source] GuestError),
}

impl Machine {
    /// Brings back a guest.
    ///
    /// # Errors
    /// [`MachineError`], with nothing left behind.
    pub async fn revive(
        config: &Config,
        plan: &Plan,
        revival: Revival<'_>,
        id: GuestId,
    ) -> Result<Self, MachineError> {
        let began = Instant::now();
        let generation = revival.snapshot.generation + 1;
        let token = identity::token().map_err(MachineError::Random)?;
        let mut identity = identity::identity(&id, generation).map_err(MachineError::Random)?;
        if let Some(machine_id) = revival.machine_id {
            identity.machine_id = machine_id.to_owned();
        }
        let attach = Attach {
            protocol_min: PROTOCOL_MIN,
            protocol_max: PROTOCOL_MAX,
            token: revival.snapshot.token.clone(),
            next_token: Some(token.clone()),
            identity: Some(identity),
            open_disk: revival.open_disk.then(|| OWN_DISK.to_owned()),
            keep_jobs: revival.keep_jobs,
        };
        let spec = plan.spec(&id, Memory::Anonymous, &revival.own, revival.open_disk);
        let prepared = began.elapsed();
        let restored = plan.engine.restore(spec, &files(revival.folder)).await;
        let mut guest = restored.map_err(MachineError::Engine)?;
        let spawned = began.elapsed().saturating_sub(prepared);
        let greeted = greet(guest.as_mut(), attach, config.boot_deadline).await?;
        let times = StartTimes { prepare: prepared, boot: spawned + greeted.hello, attach: greeted.attach };
        let client = Arc::new(greeted.client);
        let (plan, own) = (Some(plan.clone()), Some(revival.own));
        Ok(Self { id, client, guest, times, plan, own, origin: None, token, generation })
    }

    /// Boots a guest on layers.
    ///
    /// # Errors
    /// [`MachineError`], with nothing left behind.
    pub async fn boot_on(
        config: &Config,
        plan: &Plan,
        id: GuestId,
        layers: Vec<Layer>,
    ) -> Result<Self, MachineError> {
        let own = OwnDisk::Layers(layers);
        let spec = plan.spec(&id, Memory::Anonymous, &own, false);
        Self::boot_with(config, plan, id, spec, own, Instant::now()).await
    }

    /// Has the guest go on writing to `overlay`: what it wrote until now is flushed and does not change any more. The guest's
    /// processes run on; those that write wait for a moment.
    ///
    /// # Errors
    /// [`SnapshotError`]. After [`SnapshotError::Quiesce`] the guest writes where it wrote before; after any other it may write
    /// to `overlay` already.
    pub async fn push_layer(&mut self, overlay: File) -> Result<(), SnapshotError> {
        let hold = self.client.call(RequestBody::HoldDisk { ms_max: HOLD_MS });
        at_rest(&self.guest.stall(), &self.client, hold, RequestBody::ReleaseDisk).await?;
        let pushed = self.guest.push_layer(OWN_DISK_INDEX, overlay).await.map_err(SnapshotError::Engine);
        let released = self.client.call(RequestBody::ReleaseDisk).await.map_err(SnapshotError::Thaw);
        pushed?;
        released
    }

    /// Saves memory and device state in `folder`, safely, and has the guest go on writing to `overlay`.
    ///
    /// # Errors
    /// As [`Self::push_layer`]; the guest goes on.
    pub async fn save_with_memory(
        &mut self,
        folder: &Path,
        overlay: File,
    ) -> Result<Snapshot, SnapshotError> {
        let files = files(folder);
        self.guest.prepare_snapshot(&files).await.map_err(SnapshotError::Engine)?;
        at_rest(&self.guest.stall(), &self.client, self.client.quiesce(), RequestBody::Thaw).await?;
        let saved = async {
            self.guest.pause().await?;
            self.guest.snapshot(&files).await?;
            self.guest.push_layer(OWN_DISK_INDEX, overlay).await
        }
        .await;
        // Whatever came of it, the guest goes on.
        let resumed = self.guest.resume().await.map_err(SnapshotError::Engine);
        let thawed = self.client.thaw().await.map_err(SnapshotError::Thaw);
        saved.map_err(SnapshotError::Engine)?;
        resumed?;
        thawed?;
        sync(folder).await?;
        Ok(self.snapshot_record())
    }

    /// Saves memory and device state in `folder`, whose disk is then as the guest left it, and ends the guest.
    ///
    /// # Errors
    /// [`SnapshotError`]; the guest goes on as before.
    pub async fn suspend(&mut self, folder: &Path) -> Result<Snapshot, SnapshotError> {
        let files = files(folder);
        self.guest.prepare_snapshot(&files).await.map_err(SnapshotError::Engine)?;
        at_rest(&self.guest.stall(), &self.client, self.client.quiesce(), RequestBody::Thaw).await?;
        let saved = async {
            self.guest.pause().await?;
            self.guest.snapshot(&files).await
        }
        .await;
        let kept = match saved {
            Ok(()) => sync(folder).await,
            Err(error) => Err(SnapshotError::Engine(error)),
        };
        if let Err(error) = kept {
            self.guest.resume().await.map_err(SnapshotError::Engine)?;
            self.client.thaw().await.map_err(SnapshotError::Thaw)?;
            return Err(error);
        }
        self.kill().await;
        Ok(self.snapshot_record())
    }

    /// Ends the guest as a machine is ended: its jobs are told and then killed, its disk is flushed and put away. The engine is
    /// gone when this returns, whatever came of it.
    ///
    /// # Errors
    /// [`StopError`] when it had to be killed: what it had not flushed is lost.
    pub async fn shut_down(&mut self, deadline: Duration) -> Result<(), StopError> {
        let asked = tokio::time::timeout(deadline, self.client.call(RequestBody::Shutdown)).await;
        self.kill().await;
        match asked {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(StopError::Guest(error)),
            Err(_) => Err(StopError::Deadline { deadline }),
        }
    }

    /// Kills the engine and waits until it is gone.
    pub async fn kill(&mut self) -> EngineExit {
        self.guest.kill();
        self.guest.wait().await
    }

    fn snapshot_record(&self) -> Snapshot {
        Snapshot { token: self.token.clone(), generation: self.generation }
    }
}

/// Waits until a guest has come to rest, unless it stands still for want of room on the host's disk: then it takes that `back`
/// as soon as it goes on.
async fn at_rest(
    stall: &Stall,
    client: &Arc<GuestClient>,
    rest: impl Future<Output = Result<(), GuestError>> + Send,
    back: RequestBody,
) -> Result<(), SnapshotError> {
    tokio::select! {
        biased;
        done = rest => done.map_err(SnapshotError::Quiesce),
        () = stall.until(true) => {
            let client = Arc::clone(client);
            tokio::spawn(async move { client.call(back).await });
            Err(SnapshotError::NoRoom)
        }
    }
}

/// Has what was saved survive a power cut: a document is about to say that it is there.
async fn sync(folder: &Path) -> Result<(), SnapshotError> {
    let files = files(folder);
    let all = [files.state, files.memory, folder.to_owned()];
    let synced = tokio::task::spawn_blocking(move || {
        for path in all {
            let done = File::open(&path).and_then(|file| file.sync_all());
            done.map_err(|source| SnapshotError::Sync { path, source })?;
        }
        Ok(())
    });
    let lost = |error| SnapshotError::Sync { path: folder.to_owned(), source: std::io::Error::other(error) };
    synced.await.map_err(lost)?
}
