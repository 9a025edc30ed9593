//! QEMU: microVMs with KVM, or with software emulation where there is none. Everything QEMU opens or talks over is handed to
//! it as a descriptor; nothing here may create a socket with a name, or ask QEMU anything twice in the hope of a new answer.

mod disks;
#[cfg(test)]
mod fork_tests;
mod guest;
#[cfg(test)]
mod layer_guest;
#[cfg(test)]
mod layer_tests;
mod layers;
mod machine;
mod memory;
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
use crate::spec::SnapshotFiles;
use async_trait::async_trait;
use guest::QemuGuest;
use layers::Stack;
use machine::Backing;
use machine::Machine;
use machine::Origin;
use memory::GuestMemory;
use qmp::Qmp;
use state::Shape;
use std::fs::File;
use std::io;
use std::os::fd::RawFd;
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

    /// Starts QEMU for a guest with this memory. `origin` is told the number under which QEMU knows `state`.
    fn launch<'a>(
        &self,
        spec: &GuestSpec,
        memory: GuestMemory,
        state: Option<File>,
        origin: impl FnOnce(Option<RawFd>) -> Origin<'a>,
    ) -> Result<QemuGuest, EngineError> {
        let descriptors = |source| EngineError::Host {
            operation: "making the descriptors of a guest",
            path: PathBuf::from(&spec.id),
            source,
        };
        let mut launch = Launch::new(self.program.path().to_owned());
        let (qmp, qmp_fd) = socket_for(&mut launch).map_err(descriptors)?;
        let (console, console_fd) = socket_for(&mut launch).map_err(descriptors)?;
        let (channel, channel_fd) = socket_for(&mut launch).map_err(descriptors)?;
        let memory_fd = launch.pass(memory.file().try_clone().map_err(descriptors)?.into());
        let state_fd = state.map(|file| launch.pass(file.into()));
        let disks = disks::pass(&spec.disks, &mut launch)?;
        let machine = Machine {
            acceleration: self.acceleration,
            vcpus: spec.vcpus,
            mem_mib: spec.mem_mib,
            backing: Backing { fd: memory_fd, shared: memory.is_shared() },
            origin: origin(state_fd),
            disks: &disks,
            qmp_fd,
            console_fd,
            channel_fd,
        };
        launch.args(machine.args());
        if self.acceleration != Acceleration::Kvm {
            // QEMU's cache of translated code would take 16 MiB of them for the 11 a guest's first commands need.
            launch.without_huge_pages();
        }
        let mut process = EngineProcess::spawn(launch, &self.program.path().to_string_lossy())?;
        let console_tail = Tail::default();
        process.keep_tail_of(console, console_tail.clone());
        let shape = Shape::of(self.acceleration, spec);
        let disks = disks.iter().enumerate().map(|(index, disk)| Stack::of(index, disk)).collect();
        Ok(QemuGuest::new(process, Qmp::new(qmp), channel, console_tail, memory, shape, disks))
    }

    async fn start_guest(&self, spec: &GuestSpec) -> Result<QemuGuest, EngineError> {
        readable(&spec.kernel, "opening the kernel")?;
        let initrd = Some(spec.initrd.as_path()).filter(|path| !path.as_os_str().is_empty());
        if let Some(initrd) = initrd {
            readable(initrd, "opening the initrd")?;
        }
        let memory = GuestMemory::create(&spec.memory, spec.mem_mib)?;
        let tsc_khz = if self.acceleration == Acceleration::Kvm { 0 } else { tsc::khz() };
        let cmdline = machine::kernel_cmdline(self.acceleration, tsc_khz, &spec.cmdline);
        let origin = Origin::Boot { kernel: &spec.kernel, initrd, cmdline: &cmdline };
        let mut guest = self.launch(spec, memory, None, |_| origin)?;
        guest.greet().await?;
        Ok(guest)
    }

    async fn restore_guest(
        &self,
        spec: &GuestSpec,
        snapshot: &SnapshotFiles,
    ) -> Result<QemuGuest, EngineError> {
        let (state, shape) = state::open(&snapshot.state).map_err(|source| EngineError::Host {
            operation: "reading a snapshot's state",
            path: snapshot.state.clone(),
            source,
        })?;
        if let Some(reason) = shape.mismatch(&Shape::of(self.acceleration, spec)) {
            return Err(EngineError::Refused { operation: "restore the snapshot", reason });
        }
        let memory = GuestMemory::open(&snapshot.memory, spec.mem_mib)?;
        let origin = |state_fd: Option<RawFd>| Origin::Incoming(state_fd.unwrap_or(-1));
        let mut guest = self.launch(spec, memory, Some(state), origin)?;
        guest.await_restored().await?;
        Ok(guest)
    }
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
        format!("qemu {} {accelerator} microvm/4 {}", self.program.identity(), program::host_processor())
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
