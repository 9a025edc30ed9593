//! One guest, from disks to an open attachment. Runs own one for their lifetime; whatever stands on guests stands on this.
//! It must not know why the guest exists.
//!
//! ```text
//!   boot:     make rw disk -----> start engine ---> hello -> attached ---> (commands, snapshots) ---> ended
//!   restore:  copy rw disk -----> map memory copy-on-write -^
//!          any step may fail: the engine's process is killed and reaped, and the unnamed disk goes with it
//! ```

mod disk;
mod error;
mod greeting;
mod layered;
mod plan;
mod room;
mod snapshot;

pub use error::MachineError;
pub use greeting::console_text;
pub use layered::Revival;
pub use layered::StopError;
pub use plan::OwnDisk;
pub use plan::Plan;
pub use plan::Size;
pub(crate) use room::keep_going;
pub use snapshot::Snapshot;
pub use snapshot::SnapshotError;
pub use snapshot::SnapshotReport;
pub(crate) use snapshot::all_files as snapshot_files;

use crate::config::Config;
use crate::guest::GuestClient;
use crate::identity;
use crate::identity::GuestId;
use greeting::greet;
use pyro_engine::Engine;
use pyro_engine::Guest;
use pyro_engine::GuestSpec;
use pyro_engine::Memory;
use pyro_image::ImageStore;
use pyro_proto::ByteString;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

/// How long each part of a start took.
#[derive(Clone, Copy, Debug, Default)]
pub struct StartTimes {
    /// Making the guest's disk.
    pub prepare: Duration,
    /// From the engine's start until the agent is there: engine, and kernel and agent or restored state.
    pub boot: Duration,
    /// From there to the open attachment: the identity applied, commands allowed.
    pub attach: Duration,
}

/// A running guest with an open attachment. Dropping it kills and reaps the engine.
#[derive(Debug)]
pub struct Machine {
    /// Its name.
    pub id: GuestId,
    /// The channel to its agent.
    pub client: Arc<GuestClient>,
    /// Its engine process.
    pub guest: Box<dyn Guest>,
    /// How long its start took.
    pub times: StartTimes,
    /// What it was made from, its lease included; nothing for a process on the host.
    plan: Option<Plan>,
    own: Option<OwnDisk>,
    /// A lock on what it was restored from, where others might remove that.
    origin: Option<Arc<File>>,
    token: ByteString,
    generation: u64,
}

impl Machine {
    /// Boots a guest and opens the attachment.
    ///
    /// # Errors
    /// [`MachineError`], with nothing left behind.
    pub async fn boot(
        config: &Config,
        store: &ImageStore,
        plan: &Plan,
        id: GuestId,
        memory: Memory,
    ) -> Result<Self, MachineError> {
        let began = Instant::now();
        let own = Self::pristine(store, plan)?;
        let spec = plan.spec(&id, memory, &own, false);
        Self::boot_with(config, plan, id, spec, own, began).await
    }

    /// Boots a guest that leaves its own disk alone, to be frozen and restored onto another.
    ///
    /// # Errors
    /// [`MachineError`], with nothing left behind.
    pub async fn boot_without_disk(
        config: &Config,
        store: &ImageStore,
        plan: &Plan,
        id: GuestId,
        memory: Memory,
    ) -> Result<Self, MachineError> {
        let began = Instant::now();
        let own = Self::pristine(store, plan)?;
        let spec = plan.spec(&id, memory, &own, true);
        Self::boot_with(config, plan, id, spec, own, began).await
    }

    fn pristine(store: &ImageStore, plan: &Plan) -> Result<OwnDisk, MachineError> {
        let template = store.rw_template(plan.size.disk.get().into());
        let disk = template.and_then(|template| template.instantiate_unnamed(&plan.scratch));
        disk.map(|file| OwnDisk::Throwaway(Arc::new(file))).map_err(MachineError::Disk)
    }

    async fn boot_with(
        config: &Config,
        plan: &Plan,
        id: GuestId,
        spec: GuestSpec,
        own: OwnDisk,
        began: Instant,
    ) -> Result<Self, MachineError> {
        let mut machine = Self::start(config, plan.engine.as_ref(), spec, id).await?;
        machine.times.prepare = began.elapsed().saturating_sub(machine.times.boot + machine.times.attach);
        machine.plan = Some(plan.clone());
        machine.own = Some(own);
        Ok(machine)
    }

    /// Starts the agent as a process on the host: no guest, no isolation.
    ///
    /// # Errors
    /// [`MachineError`], with nothing left behind.
    pub async fn host_compat(
        config: &Config,
        engine: &dyn Engine,
        agent: Arc<File>,
        folder: &Path,
        id: GuestId,
    ) -> Result<Self, MachineError> {
        let spec = GuestSpec {
            id: id.to_string(),
            kernel: Default::default(),
            initrd: Default::default(),
            cmdline: Vec::new(),
            vcpus: 1,
            mem_mib: 0,
            memory: Memory::Anonymous,
            disks: Vec::new(),
            agent: Some(agent),
            runtime_dir: folder.to_owned(),
        };
        Self::start(config, engine, spec, id).await
    }

    async fn start(
        config: &Config,
        engine: &dyn Engine,
        spec: GuestSpec,
        id: GuestId,
    ) -> Result<Self, MachineError> {
        const FIRST: u64 = 1;
        let attach = identity::first_attach(&id, FIRST).map_err(MachineError::Random)?;
        let token = attach.token.clone();
        let began = Instant::now();
        let mut guest = engine.start(spec).await.map_err(MachineError::Engine)?;
        let spawned = began.elapsed();
        let greeted = greet(guest.as_mut(), attach, config.boot_deadline).await?;
        let times =
            StartTimes { prepare: Duration::ZERO, boot: spawned + greeted.hello, attach: greeted.attach };
        Ok(Self {
            id,
            client: Arc::new(greeted.client),
            guest,
            times,
            plan: None,
            own: None,
            origin: None,
            token,
            generation: FIRST,
        })
    }

    /// Keeps a lock on what this guest was restored from for as long as it lives.
    pub(crate) fn hold(&mut self, origin: Arc<File>) {
        self.origin = Some(origin);
    }

    /// Kills the engine and waits until it is gone.
    pub async fn end(mut self) {
        self.guest.kill();
        self.guest.wait().await;
    }
}
