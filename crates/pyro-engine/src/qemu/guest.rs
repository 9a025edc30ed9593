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
use async_trait::async_trait;
use serde_json::Value;
use serde_json::json;
use std::fs;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::fd::BorrowedFd;
use std::path::Path;
use tokio::net::UnixStream;

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
    qmp: Qmp,
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

impl QemuGuest {
    pub(super) const fn new(
        process: EngineProcess,
        qmp: Qmp,
        channel: UnixStream,
        console: Tail,
        memory: GuestMemory,
        shape: Shape,
        disks: Vec<Stack>,
    ) -> Self {
        Self {
            process,
            qmp,
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
        let capabilities = self.qmp.send("qmp_capabilities", Value::Null).await?;
        let status = self.qmp.send("query-status", Value::Null).await?;
        self.qmp.answer(capabilities).await?;
        if self.qmp.answer(status).await?.get("running") == Some(&Value::Bool(true)) {
            return Ok(());
        }
        self.qmp.event(|name, _| (name == "RESUME").then_some(())).await
    }

    #[cfg(test)]
    pub(super) const fn console(&self) -> &Tail {
        &self.console
    }

    /// Has QEMU close the descriptors it was lent while the guest was paused: it only does that while the guest runs, and would
    /// keep one for each snapshot and each layer. What it has opened through them stays open.
    async fn close_lent(&mut self) -> Result<(), QmpError> {
        let sets = self.qmp.execute("query-fdsets", Value::Null).await?;
        for set in sets.as_array().into_iter().flatten() {
            if set["fds"].as_array().is_some_and(|fds| !fds.is_empty()) {
                let set = super::qmp::number(set, "fdset-id")?;
                self.qmp.execute("remove-fd", json!({ "fdset-id": set })).await?;
            }
        }
        Ok(())
    }

    /// The names of all nodes QEMU has for disks, and how many sets of descriptors.
    #[cfg(test)]
    pub(super) async fn block_nodes(&mut self) -> (Vec<String>, usize) {
        let nodes = self.qmp.execute("query-named-block-nodes", json!({ "flat": true })).await.unwrap();
        let names = nodes.as_array().unwrap().iter().map(|node| node["node-name"].to_string()).collect();
        let sets = self.qmp.execute("query-fdsets", Value::Null).await.unwrap();
        (names, sets.as_array().unwrap().len())
    }

    /// Makes this side believe that another node is the last layer of a disk, and returns what it believed.
    #[cfg(test)]
    pub(super) fn mislead(&mut self, disk: usize, top: &str) -> String {
        self.disks[disk].mislead(top.to_owned())
    }

    async fn simple(&mut self, command: &'static str, operation: Operation) -> Result<(), EngineError> {
        let answer = self.qmp.execute(command, Value::Null).await;
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
        let added = self.qmp.execute_with("add-fd", json!({}), fd).await?;
        let set = added.get("fdset-id").cloned().unwrap_or_default();
        let file = json!({ "filename": format!("/dev/fdset/{set}"), "live": false });
        let saved = self.qmp.execute("xen-save-devices-state", file).await;
        self.qmp.execute("remove-fd", json!({ "fdset-id": set })).await?;
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

    async fn pause(&mut self) -> Result<(), EngineError> {
        self.simple("stop", PAUSE).await
    }

    async fn resume(&mut self) -> Result<(), EngineError> {
        if self.memory_given_away {
            let reason = "its memory is the snapshot's now".to_owned();
            return Err(EngineError::Refused { operation: RESUME.to, reason });
        }
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
        let pushed = stack.push(&mut self.qmp, overlay.as_fd()).await;
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
