//! One guest that runs under QEMU: its processors, its snapshot, its end. How QEMU was started is not known here.

use super::disks;
use super::layers::Stack;
use super::memory::GuestMemory;
use super::memory::NewMemory;
use super::qmp::Qmp;
use super::qmp::QmpError;
use super::state::NewState;
use super::state::Shape;
use crate::engine::EngineError;
use crate::engine::EngineExit;
use crate::engine::Guest;
use crate::engine::Usage;
use crate::process::EngineProcess;
use crate::process::Tail;
use crate::spec::SnapshotFiles;
use crate::stall::Stall;
use async_trait::async_trait;
use serde_json::Value;
use serde_json::json;
use std::fs;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// What is asked of QEMU, as it reads in the two kinds of errors.
#[derive(Clone, Copy, Debug)]
struct Operation {
    to: &'static str,
    doing: &'static str,
}

const START: Operation = Operation { to: "start the guest", doing: "starting the guest" };
const PAUSE: Operation = Operation { to: "pause the guest", doing: "pausing the guest" };
const RESUME: Operation = Operation { to: "resume the guest", doing: "resuming the guest" };
const SNAPSHOT: Operation = Operation { to: "snapshot the guest", doing: "snapshotting the guest" };
const RESTORE: Operation = Operation { to: "restore the snapshot", doing: "restoring the snapshot" };
const PUSH_LAYER: Operation =
    Operation { to: "put a layer on a disk", doing: "putting a layer on a guest's disk" };

/// A running QEMU.
#[derive(Debug)]
pub(super) struct QemuGuest {
    process: EngineProcess,
    qmp: Arc<Mutex<Control>>,
    stall: Stall,
    retries: JoinHandle<()>,
    channel: Option<UnixStream>,
    console: Tail,
    memory: GuestMemory,
    shape: Shape,
    disks: Vec<Stack>,
    /// The memory file of a snapshot that is to come, as far as it could be made while the guest runs.
    prepared: Option<NewMemory>,
    /// The guest's memory is a snapshot's now.
    memory_given_away: bool,
}

/// The control connection, and what has to be known before a guest is let go on.
#[derive(Debug)]
struct Control {
    qmp: Qmp,
    /// It was stopped on purpose: not even room for what it writes lets it go on.
    paused: bool,
}

impl Control {
    async fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, QmpError> {
        self.qmp.execute(command, arguments).await
    }

    /// Has QEMU try again to write what the host had no room for.
    async fn try_again(&mut self) -> Result<(), QmpError> {
        if self.paused {
            return Ok(());
        }
        let seen = self.qmp.stalled().borrow().times;
        let status = self.execute("query-status", Value::Null).await?;
        if status["status"] == "io-error" {
            self.execute("cont", Value::Null).await?;
        } else if status["running"] == true {
            // What said otherwise was late.
            self.qmp.not_stalled(seen);
        }
        Ok(())
    }
}

/// Tries again whenever somebody wants it, for as long as QEMU is there.
async fn try_when_asked(control: Arc<Mutex<Control>>, again: Arc<Notify>) {
    loop {
        again.notified().await;
        if let Err(QmpError::Closed) = control.lock().await.try_again().await {
            return;
        }
    }
}

impl Drop for QemuGuest {
    fn drop(&mut self) {
        self.retries.abort();
    }
}

impl QemuGuest {
    pub(super) fn new(
        process: EngineProcess,
        qmp: Qmp,
        channel: UnixStream,
        console: Tail,
        memory: GuestMemory,
        shape: Shape,
        disks: Vec<Stack>,
    ) -> Self {
        let again = Arc::<Notify>::default();
        let stall = Stall::new(qmp.stalled(), Arc::clone(&again));
        let qmp = Arc::new(Mutex::new(Control { qmp, paused: false }));
        let retries = tokio::spawn(try_when_asked(Arc::clone(&qmp), again));
        Self {
            process,
            qmp,
            stall,
            retries,
            channel: Some(channel),
            console,
            memory,
            shape,
            disks,
            prepared: None,
            memory_given_away: false,
        }
    }

    /// Opens the control connection of a QEMU that boots a guest, and so learns whether QEMU took its arguments.
    pub(super) async fn greet(&mut self) -> Result<(), EngineError> {
        self.simple("qmp_capabilities", START).await
    }

    /// Returns once a guest that is being restored runs.
    pub(super) async fn await_restored(&mut self) -> Result<(), EngineError> {
        let runs = self.restored().await;
        self.said(RESTORE, runs).await
    }

    /// Everything is sent before the first answer is read: QEMU is still starting up. Whether the guest runs already when
    /// QEMU begins to tell events is the one thing that has to be asked.
    async fn restored(&mut self) -> Result<(), QmpError> {
        let qmp = &mut self.qmp.lock().await.qmp;
        let capabilities = qmp.send("qmp_capabilities", Value::Null).await?;
        let status = qmp.send("query-status", Value::Null).await?;
        qmp.answer(capabilities).await?;
        if qmp.answer(status).await?.get("running") == Some(&Value::Bool(true)) {
            return Ok(());
        }
        qmp.event(|name, _| (name == "RESUME").then_some(())).await
    }

    #[cfg(test)]
    pub(super) const fn console(&self) -> &Tail {
        &self.console
    }

    /// Has QEMU close the descriptors it was lent while the guest was paused: it only does that while the guest runs, and would
    /// keep one for each snapshot and each layer. What it has opened through them stays open.
    async fn close_lent(&mut self) -> Result<(), QmpError> {
        let mut qmp = self.qmp.lock().await;
        let sets = qmp.execute("query-fdsets", Value::Null).await?;
        for set in sets.as_array().into_iter().flatten() {
            if set["fds"].as_array().is_some_and(|fds| !fds.is_empty()) {
                let set = super::qmp::number(set, "fdset-id")?;
                qmp.execute("remove-fd", json!({ "fdset-id": set })).await?;
            }
        }
        Ok(())
    }

    /// The names of all nodes QEMU has for disks, and how many sets of descriptors.
    #[cfg(test)]
    pub(super) async fn block_nodes(&mut self) -> (Vec<String>, usize) {
        let mut qmp = self.qmp.lock().await;
        let nodes = qmp.execute("query-named-block-nodes", json!({ "flat": true })).await.unwrap();
        let names = nodes.as_array().unwrap().iter().map(|node| node["node-name"].to_string()).collect();
        let sets = qmp.execute("query-fdsets", Value::Null).await.unwrap();
        (names, sets.as_array().unwrap().len())
    }

    /// Makes this side believe that another node is the last layer of a disk, and returns what it believed.
    #[cfg(test)]
    pub(super) fn mislead(&mut self, disk: usize, top: &str) -> String {
        self.disks[disk].mislead(top.to_owned())
    }

    async fn simple(&mut self, command: &'static str, operation: Operation) -> Result<(), EngineError> {
        let answer = self.qmp.lock().await.execute(command, Value::Null).await;
        self.said(operation, answer).await.map(drop)
    }

    /// Turns what the control connection said into this crate's words; a closed one means that QEMU has ended.
    async fn said<T>(&mut self, operation: Operation, result: Result<T, QmpError>) -> Result<T, EngineError> {
        match result {
            Ok(value) => Ok(value),
            Err(QmpError::Refused(reason)) => Err(EngineError::Refused { operation: operation.to, reason }),
            Err(QmpError::Io(source)) => Err(EngineError::Control { operation: operation.doing, source }),
            Err(error @ QmpError::Missing(_)) => {
                let source = std::io::Error::new(std::io::ErrorKind::InvalidData, error.to_string());
                Err(EngineError::Control { operation: operation.doing, source })
            }
            Err(QmpError::Closed) => {
                // QEMU never closes its own control socket and lives on, unless it was taken over.
                self.process.end_soon().await;
                Err(self.process.gone(operation.doing).await)
            }
        }
    }

    async fn save_memory(&mut self, path: &Path) -> Result<Option<NewMemory>, EngineError> {
        let prepared = self.prepared.take().filter(|prepared| prepared.is_at(path));
        if self.memory.is_at(path) {
            return Ok(None);
        }
        let new = match prepared {
            Some(prepared) => prepared,
            None => NewMemory::create(&self.memory, path).await?,
        };
        new.update(&self.memory, self.pid()).await?;
        Ok(Some(new))
    }

    async fn save_state(&mut self, path: &Path) -> Result<(), EngineError> {
        let failed = |operation| move |source| EngineError::Host { operation, path: path.to_owned(), source };
        let state = NewState::create(path).map_err(failed("creating a snapshot's state file"))?;
        let saved = self.save_devices(state.fd()).await;
        self.said(SNAPSHOT, saved).await?;
        state.finish(self.shape.clone()).map_err(failed("completing a snapshot's state file"))
    }

    /// Has QEMU write the state of its devices to `fd`, and nothing of the memory. The command has nothing to do with Xen but
    /// its name. It leaves the disks in use: without `live` off it would let go of them, for another host to take over.
    async fn save_devices(&mut self, fd: BorrowedFd<'_>) -> Result<(), QmpError> {
        let qmp = &mut self.qmp.lock().await.qmp;
        let added = qmp.execute_with("add-fd", json!({}), fd).await?;
        let set = added.get("fdset-id").cloned().unwrap_or_default();
        let file = json!({ "filename": format!("/dev/fdset/{set}"), "live": false });
        let saved = qmp.execute("xen-save-devices-state", file).await;
        qmp.execute("remove-fd", json!({ "fdset-id": set })).await?;
        saved.map(drop)
    }
}

#[async_trait]
impl Guest for QemuGuest {
    fn take_channel(&mut self) -> Option<UnixStream> {
        self.channel.take()
    }

    fn pid(&self) -> u32 {
        self.process.pid()
    }

    fn stall(&self) -> Stall {
        self.stall.clone()
    }

    async fn pause(&mut self) -> Result<(), EngineError> {
        self.qmp.lock().await.paused = true;
        self.simple("stop", PAUSE).await
    }

    async fn resume(&mut self) -> Result<(), EngineError> {
        if self.memory_given_away {
            let reason = "its memory is the snapshot's now".to_owned();
            return Err(EngineError::Refused { operation: RESUME.to, reason });
        }
        self.qmp.lock().await.paused = false;
        self.simple("cont", RESUME).await?;
        // Whatever comes of this, the guest runs. A QEMU that has ended is found out by the next call.
        let _ = self.close_lent().await;
        Ok(())
    }

    async fn prepare_snapshot(&mut self, files: &SnapshotFiles) -> Result<(), EngineError> {
        // An earlier one that was never used must be gone before its place is taken.
        self.prepared = None;
        if !self.memory.is_at(&files.memory) {
            let new = NewMemory::create(&self.memory, &files.memory).await?;
            new.update(&self.memory, self.pid()).await?;
            self.prepared = Some(new);
        }
        Ok(())
    }

    async fn snapshot(&mut self, files: &SnapshotFiles) -> Result<(), EngineError> {
        let memory = self.save_memory(&files.memory).await?;
        if let Err(error) = self.save_state(&files.state).await {
            // If it is gone already, so much the better.
            let _ = fs::remove_file(&files.state);
            return Err(error);
        }
        match memory {
            Some(memory) => memory.keep(),
            None => self.memory_given_away = true,
        }
        Ok(())
    }

    async fn push_layer(&mut self, disk: usize, overlay: File) -> Result<(), EngineError> {
        let Some(stack) = self.disks.get_mut(disk) else {
            let reason = format!("the guest has no disk {disk}");
            return Err(EngineError::Refused { operation: PUSH_LAYER.to, reason });
        };
        let overlay = disks::overlay(disk, &overlay, stack.bytes())?;
        let pushed = stack.push(&mut self.qmp.lock().await.qmp, overlay.as_fd()).await;
        self.said(PUSH_LAYER, pushed).await
    }

    fn kill(&mut self) {
        self.process.kill();
    }

    async fn wait(&mut self) -> EngineExit {
        self.process.wait().await
    }

    fn usage(&self) -> Result<Usage, EngineError> {
        self.process.usage()
    }

    fn console_tail(&self) -> Vec<u8> {
        let mut tail = self.console.bytes();
        tail.extend(self.process.words().bytes());
        tail.split_off(tail.len().saturating_sub(crate::process::TAIL_BYTES_MAX))
    }
}
