//! One guest of one environment, from disks to an open attachment. Runs own one for their lifetime; whatever stands on
//! guests stands on this. It must not know why the guest exists.
//!
//! ```text
//!   open environment -> make rw disk -> start engine -> hello -> attached -> (commands) -> ended
//!          any step may fail: the engine's process is killed and reaped, and the unnamed disk goes with it
//! ```

use crate::config::Config;
use crate::guest::GuestClient;
use crate::guest::GuestError;
use crate::identity;
use crate::identity::GuestId;
use crate::limits::DiskMib;
use crate::limits::MemMib;
use crate::limits::VcpuCount;
use crate::state;
use crate::state::StateError;
use pyro_engine::Disk;
use pyro_engine::DiskSource;
use pyro_engine::Durability;
use pyro_engine::Engine;
use pyro_engine::EngineError;
use pyro_engine::EngineKind;
use pyro_engine::Guest;
use pyro_engine::GuestSpec;
use pyro_engine::Memory;
use pyro_image::ImageStore;
use pyro_image::Installed;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

/// What a guest shall have.
#[derive(Clone, Copy, Debug, Default)]
pub struct Size {
    /// Virtual processors.
    pub vcpus: VcpuCount,
    /// Memory.
    pub mem: MemMib,
    /// Its own disk.
    pub disk: DiskMib,
}

/// How long each part of a start took.
#[derive(Clone, Copy, Debug, Default)]
pub struct StartTimes {
    /// Checking the environment and making the guest's disk.
    pub prepare: Duration,
    /// From the engine's start to the agent's hello: engine, kernel and agent.
    pub boot: Duration,
    /// From the hello to the open attachment.
    pub attach: Duration,
}

/// Why a guest did not come up.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// The state folder cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The guest's own disk could not be made.
    #[error("making the guest's disk")]
    Disk(#[source] pyro_image::ImageError),
    /// The host has no random numbers.
    #[error("reading the host's random numbers")]
    Random(#[source] io::Error),
    /// The engine could not start it.
    #[error("starting the guest")]
    Engine(#[source] EngineError),
    /// The agent did not say hello in time.
    #[error("the guest did not come up within {} seconds{}", .deadline.as_secs(), said(.console))]
    Deadline {
        /// How long it had.
        deadline: Duration,
        /// The last lines of its console.
        console: String,
    },
    /// The engine or the kernel ended before the agent said hello, or the attachment failed.
    #[error("the guest did not come up{}", said(.console))]
    Greeting {
        /// The last lines of its console.
        console: String,
        /// What the channel said.
        #[source]
        source: GuestError,
    },
}

fn said(console: &str) -> String {
    if console.is_empty() { String::new() } else { format!("; its console ends with: {console}") }
}

/// A running guest with an open attachment. Dropping it kills and reaps the engine.
#[derive(Debug)]
pub struct Machine {
    /// Its name.
    pub id: GuestId,
    /// The channel to its agent.
    pub client: GuestClient,
    /// Its engine process.
    pub guest: Box<dyn Guest>,
    /// How long its start took.
    pub times: StartTimes,
    /// Keeps the environment from being pruned.
    _lease: Option<Installed>,
}

impl Machine {
    /// Boots a guest of an installed environment and opens the attachment.
    ///
    /// # Errors
    /// [`MachineError`], with nothing left behind.
    pub async fn boot(
        config: &Config,
        engine: &dyn Engine,
        store: &ImageStore,
        installed: Installed,
        id: GuestId,
        size: Size,
    ) -> Result<Self, MachineError> {
        let began = Instant::now();
        let scratch = state::scratch_dir(config)?;
        let disk = store
            .rw_template(size.disk.get().into())
            .and_then(|template| template.instantiate_unnamed(&scratch));
        let disk = disk.map_err(MachineError::Disk)?;
        let spec = GuestSpec {
            id: id.to_string(),
            kernel: installed.kernel.clone(),
            initrd: installed.initrd.clone(),
            // The agent's own words: which disk is which.
            cmdline: vec!["pyro.base=/dev/vda".to_owned(), "pyro.rw=/dev/vdb".to_owned()],
            vcpus: size.vcpus.get(),
            mem_mib: size.mem.get(),
            memory: Memory::Anonymous,
            disks: vec![
                Disk {
                    source: DiskSource::Path(installed.rootfs.clone()),
                    read_only: true,
                    durability: Durability::Throwaway,
                },
                Disk {
                    source: DiskSource::File(Arc::new(disk)),
                    read_only: false,
                    durability: Durability::Throwaway,
                },
            ],
            agent: None,
            runtime_dir: scratch,
        };
        let prepare = began.elapsed();
        Self::start(config, engine, spec, id, prepare, Some(installed)).await
    }

    /// Starts the agent as a process on the host: no guest, no isolation.
    ///
    /// # Errors
    /// [`MachineError`], with nothing left behind.
    pub async fn host_compat(
        config: &Config,
        engine: &dyn Engine,
        agent: Arc<std::fs::File>,
        folder: &std::path::Path,
        id: GuestId,
    ) -> Result<Self, MachineError> {
        debug_assert_eq!(engine.kind(), EngineKind::Host, "only the host engine runs without disks");
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
        Self::start(config, engine, spec, id, Duration::ZERO, None).await
    }

    async fn start(
        config: &Config,
        engine: &dyn Engine,
        spec: GuestSpec,
        id: GuestId,
        prepare: Duration,
        lease: Option<Installed>,
    ) -> Result<Self, MachineError> {
        let attach = identity::first_attach(&id, 1).map_err(MachineError::Random)?;
        let began = Instant::now();
        let mut guest = engine.start(spec).await.map_err(MachineError::Engine)?;
        let Some(channel) = guest.take_channel() else {
            let operation = "give a channel to the guest";
            return Err(MachineError::Engine(EngineError::Unsupported { engine: "chosen", operation }));
        };
        let mut client = GuestClient::connect(channel);
        // Sent before the guest is up: it finds the request waiting, and no round trip is lost.
        let attached = client.attach(attach);
        let greeting = async {
            let _hello = client.hello().await?;
            let booted = Instant::now();
            attached.await?;
            Ok::<_, GuestError>(booted)
        };
        let booted = match tokio::time::timeout(config.boot_deadline, greeting).await {
            Ok(Ok(booted)) => booted,
            Ok(Err(source)) => {
                guest.kill();
                let exit = guest.wait().await;
                let console = console_text(guest.as_ref());
                let console =
                    if console.is_empty() { format!("(the engine ended: {exit:?})") } else { console };
                return Err(MachineError::Greeting { console, source });
            }
            Err(_) => {
                let deadline = config.boot_deadline;
                return Err(MachineError::Deadline { deadline, console: console_text(guest.as_ref()) });
            }
        };
        let times = StartTimes { prepare, boot: booted.duration_since(began), attach: booted.elapsed() };
        Ok(Self { id, client, guest, times, _lease: lease })
    }

    /// Kills the engine and waits until it is gone.
    pub async fn end(mut self) {
        self.guest.kill();
        self.guest.wait().await;
    }
}

/// The last few lines of a console, as one line of printable text.
pub fn console_text(guest: &dyn Guest) -> String {
    const LINES: usize = 3;
    const CHARS: usize = 400;
    let tail = guest.console_tail();
    let text = String::from_utf8_lossy(&tail);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines[lines.len().saturating_sub(LINES)..].join(" / ");
    last.chars().filter(|c| !c.is_control()).take(CHARS).collect()
}
