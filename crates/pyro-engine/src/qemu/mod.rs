//! QEMU: microVMs with KVM, or with software emulation where there is none. Everything QEMU opens or talks over is handed to
//! it as a descriptor; nothing here may create a socket with a name, or ask QEMU anything twice in the hope of a new answer.

mod disks;
mod guest;
mod machine;
mod program;
mod qmp;
mod state;
#[cfg(test)]
mod tests;
mod tsc;

pub(crate) use program::Program;
pub(crate) use program::find_executable;

use crate::engine::Engine;
use crate::engine::EngineError;
use crate::engine::Guest;
use crate::process::EngineProcess;
use crate::process::Launch;
use crate::process::Tail;
use crate::spec::Acceleration;
use crate::spec::EngineKind;
use crate::spec::GuestSpec;
use crate::spec::Memory;
use crate::spec::SnapshotFiles;
use async_trait::async_trait;
use guest::QemuGuest;
use machine::Backing;
use machine::Machine;
use machine::Origin;
use qmp::Qmp;
use state::Head;
use state::SavedMemory;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use tokio::net::UnixStream;

/// QEMU on this host, with one way of executing guests.
#[derive(Debug)]
pub struct QemuEngine {
    program: Program,
    acceleration: Acceleration,
}

impl QemuEngine {
    /// Finds QEMU: `program`, or else the first of its name in the folders of `search_path`, a list as in `PATH`.
    ///
    /// # Errors
    /// [`EngineError::ProgramMissing`].
    pub fn detect(
        program: Option<PathBuf>,
        search_path: &str,
        acceleration: Acceleration,
    ) -> Result<Self, EngineError> {
        Ok(Self { program: Program::find(program, search_path)?, acceleration })
    }

    /// The program that was found.
    pub fn program(&self) -> &Path {
        self.program.path()
    }

    /// Starts QEMU for a guest whose memory is `backing`.
    fn launch(
        &self,
        spec: &GuestSpec,
        backing: Backing<'_>,
        origin: Origin<'_>,
        state: Option<File>,
    ) -> Result<Started, EngineError> {
        let sockets = |source| EngineError::Host {
            operation: "making the sockets of a guest",
            path: PathBuf::from(&spec.id),
            source,
        };
        let mut launch = Launch::new(self.program.path().to_owned());
        let (qmp, qmp_fd) = socket_for(&mut launch).map_err(sockets)?;
        let (console, console_fd) = socket_for(&mut launch).map_err(sockets)?;
        let (channel, channel_fd) = socket_for(&mut launch).map_err(sockets)?;
        let state_fd = state.map(|file| launch.pass(file.into()));
        let disks = disks::pass(&spec.disks, &mut launch)?;
        let machine = Machine {
            acceleration: self.acceleration,
            vcpus: spec.vcpus,
            mem_mib: spec.mem_mib,
            backing,
            origin,
            disks: &disks,
            qmp_fd,
            console_fd,
            channel_fd,
        };
        launch.args(machine.args());
        let mut process = EngineProcess::spawn(launch, &self.program.path().to_string_lossy())?;
        let console_tail = Tail::default();
        process.keep_tail_of(console, console_tail.clone());
        Ok(Started { process, qmp: Qmp::new(qmp), channel, console_tail, state_fd })
    }

    fn guest(&self, started: Started, spec: &GuestSpec, memory: Option<PathBuf>) -> QemuGuest {
        let head = Head::new(self.acceleration, spec, SavedMemory::Stream);
        QemuGuest::new(started.process, started.qmp, started.channel, started.console_tail, memory, head)
    }

    async fn start_guest(&self, spec: &GuestSpec) -> Result<QemuGuest, EngineError> {
        readable(&spec.kernel, "opening the kernel")?;
        let initrd = Some(spec.initrd.as_path()).filter(|path| !path.as_os_str().is_empty());
        if let Some(initrd) = initrd {
            readable(initrd, "opening the initrd")?;
        }
        let (backing, memory) = match &spec.memory {
            Memory::Anonymous => (Backing::Anonymous, None),
            Memory::SharedFile(path) => {
                create_memory(path, spec.mem_mib)?;
                (Backing::Shared(path), Some(path.clone()))
            }
        };
        let tsc_khz = if self.acceleration == Acceleration::Kvm { 0 } else { tsc::khz() };
        let cmdline = machine::kernel_cmdline(self.acceleration, tsc_khz, &spec.cmdline);
        let origin = Origin::Boot { kernel: &spec.kernel, initrd, cmdline: &cmdline };
        let started = self.launch(spec, backing, origin, None)?;
        let mut guest = self.guest(started, spec, memory.clone());
        guest.greet().await?;
        Ok(guest)
    }

    async fn restore_guest(
        &self,
        spec: &GuestSpec,
        snapshot: &SnapshotFiles,
    ) -> Result<QemuGuest, EngineError> {
        let (state, head) = open_state(&snapshot.state)?;
        if let Some(reason) = head.mismatch(&Head::new(self.acceleration, spec, head.memory)) {
            return Err(EngineError::Refused { operation: "restore the snapshot", reason });
        }
        let backing = match head.memory {
            SavedMemory::File => {
                check_memory(&snapshot.memory, spec.mem_mib)?;
                Backing::CopyOnWrite(&snapshot.memory)
            }
            SavedMemory::Stream => Backing::Anonymous,
        };
        let started = self.launch(spec, backing, Origin::Incoming, Some(state))?;
        let state_fd = started.state_fd.unwrap_or(-1);
        let mut guest = self.guest(started, spec, None);
        guest.restore_from(state_fd).await?;
        Ok(guest)
    }
}

struct Started {
    process: EngineProcess,
    qmp: Qmp,
    channel: UnixStream,
    console_tail: Tail,
    state_fd: Option<i32>,
}

#[async_trait]
impl Engine for QemuEngine {
    fn kind(&self) -> EngineKind {
        EngineKind::Qemu
    }

    fn acceleration(&self) -> Acceleration {
        self.acceleration
    }

    fn fingerprint(&self) -> String {
        let accelerator = if self.acceleration == Acceleration::Kvm { "kvm" } else { "tcg" };
        format!("qemu {} {accelerator} microvm/1 {}", self.program.identity(), program::host_processor())
    }

    /// The guest ends when the thread that calls this does.
    async fn start(&self, spec: GuestSpec) -> Result<Box<dyn Guest>, EngineError> {
        Ok(Box::new(self.start_guest(&spec).await?))
    }

    /// The guest ends when the thread that calls this does.
    async fn restore(
        &self,
        spec: GuestSpec,
        snapshot: &SnapshotFiles,
    ) -> Result<Box<dyn Guest>, EngineError> {
        Ok(Box::new(self.restore_guest(&spec, snapshot).await?))
    }
}

/// A pair of connected sockets: one end for this process, and the number QEMU will know the other by.
fn socket_for(launch: &mut Launch) -> io::Result<(UnixStream, i32)> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok((UnixStream::from_std(ours)?, launch.pass(theirs.into())))
}

fn readable(path: &Path, operation: &'static str) -> Result<(), EngineError> {
    match File::open(path) {
        Ok(_) => Ok(()),
        Err(source) => Err(EngineError::Host { operation, path: path.to_owned(), source }),
    }
}

fn mem_bytes(mem_mib: u32) -> u64 {
    u64::from(mem_mib) * 1024 * 1024
}

fn create_memory(path: &Path, mem_mib: u32) -> Result<(), EngineError> {
    let create = || {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.set_len(mem_bytes(mem_mib))
    };
    create().map_err(|source| EngineError::Host {
        operation: "creating a guest's memory file",
        path: path.to_owned(),
        source,
    })
}

/// A memory file of the wrong size would end the guest with SIGBUS much later, so it is refused here.
fn check_memory(path: &Path, mem_mib: u32) -> Result<(), EngineError> {
    let failed = |source| EngineError::Host {
        operation: "opening a snapshot's memory",
        path: path.to_owned(),
        source,
    };
    let size = File::open(path).and_then(|file| file.metadata()).map_err(failed)?.len();
    if size == mem_bytes(mem_mib) {
        return Ok(());
    }
    let reason =
        format!("its memory file {} has {size} bytes instead of {}", path.display(), mem_bytes(mem_mib));
    Err(EngineError::Refused { operation: "restore the snapshot", reason })
}

fn open_state(path: &Path) -> Result<(File, Head), EngineError> {
    let open = || {
        let file = File::open(path)?;
        let head = Head::read_from(&file)?;
        Ok((file, head))
    };
    open().map_err(|source| EngineError::Host {
        operation: "reading a snapshot's state",
        path: path.to_owned(),
        source,
    })
}
