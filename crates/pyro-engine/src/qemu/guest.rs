//! One guest that runs under QEMU: its processors, its snapshot, its end. How QEMU was started is not known here.

use super::qmp::Qmp;
use super::qmp::QmpError;
use super::state::Head;
use super::state::SavedMemory;
use crate::engine::EngineError;
use crate::engine::EngineExit;
use crate::engine::Guest;
use crate::engine::Usage;
use crate::process::EngineProcess;
use crate::process::Tail;
use crate::process::watch_close;
use crate::spec::SnapshotFiles;
use async_trait::async_trait;
use serde_json::Value;
use serde_json::json;
use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsFd as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;

/// Bytes per second at which QEMU may write a state: no limit. Its own is for networks that others use too.
const BANDWIDTH_MAX: u64 = 1 << 40;

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

/// A running QEMU.
#[derive(Debug)]
pub(super) struct QemuGuest {
    process: EngineProcess,
    qmp: Qmp,
    channel: Option<UnixStream>,
    console: Tail,
    /// The file the guest's memory is shared with, if it is.
    memory: Option<PathBuf>,
    head: Head,
}

impl QemuGuest {
    pub(super) const fn new(
        process: EngineProcess,
        qmp: Qmp,
        channel: UnixStream,
        console: Tail,
        memory: Option<PathBuf>,
        head: Head,
    ) -> Self {
        Self { process, qmp, channel: Some(channel), console, memory, head }
    }

    /// Opens the control connection of a QEMU that boots a guest, and so learns whether QEMU took its arguments.
    pub(super) async fn greet(&mut self) -> Result<(), EngineError> {
        let greeted = self.qmp.execute("qmp_capabilities", Value::Null).await;
        self.said(START, greeted).await?;
        let set = self.qmp.execute("migrate-set-capabilities", ignore_shared()).await;
        self.said(START, set).await.map(drop)
    }

    /// Has a QEMU that waits for a state read it from its descriptor `state_fd`, and returns once the guest runs.
    pub(super) async fn restore_from(&mut self, state_fd: i32) -> Result<(), EngineError> {
        let restored = self.send_restore(state_fd).await;
        self.said(RESTORE, restored).await?;
        let runs = self.qmp.event(|name, _| (name == "RESUME").then_some(())).await;
        self.said(RESTORE, runs).await
    }

    /// Everything is sent before the first answer is read: QEMU is still starting up, and needs none of the answers.
    async fn send_restore(&mut self, state_fd: i32) -> Result<(), QmpError> {
        let sent = [
            self.qmp.send("qmp_capabilities", Value::Null).await?,
            self.qmp.send("migrate-set-capabilities", ignore_shared()).await?,
            self.qmp.send("migrate-incoming", json!({ "uri": format!("fd:{state_fd}") })).await?,
        ];
        for command in sent {
            self.qmp.answer(command).await?;
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) const fn console(&self) -> &Tail {
        &self.console
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
            Err(QmpError::Closed) => {
                // QEMU never closes its own control socket and lives on, unless it was taken over.
                self.process.end_soon().await;
                Err(self.process.gone(operation.doing).await)
            }
        }
    }

    fn saved_memory(&self, files: &SnapshotFiles) -> Result<SavedMemory, EngineError> {
        match &self.memory {
            None => Ok(SavedMemory::Stream),
            Some(path) if *path == files.memory => Ok(SavedMemory::File),
            Some(path) => Err(EngineError::Refused {
                operation: SNAPSHOT.to,
                reason: format!("the guest's memory is {}, not {}", path.display(), files.memory.display()),
            }),
        }
    }

    /// Has QEMU write its state behind what is in `state` already. `closed` is readable once QEMU has closed the file, which
    /// comes after it says that it has completed and is the first moment at which it takes further commands.
    async fn save(&mut self, state: File, closed: &AsyncFd<OwnedFd>) -> Result<(), QmpError> {
        self.qmp.forget_events();
        self.qmp.pass("state", state.as_fd()).await?;
        drop(state);
        self.qmp.execute("migrate-set-parameters", json!({ "max-bandwidth": BANDWIDTH_MAX })).await?;
        self.qmp.execute("migrate", json!({ "uri": "fd:state" })).await?;
        let completed = self.qmp.event(migration_end).await?;
        let _ready = closed.readable().await.map_err(QmpError::Io)?;
        if completed {
            return Ok(());
        }
        let status = self.qmp.execute("query-migrate", Value::Null).await?;
        let reason = status
            .get("error-desc")
            .and_then(Value::as_str)
            .unwrap_or("the device state could not be written");
        Err(QmpError::Refused(reason.to_owned()))
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
        self.simple("cont", RESUME).await
    }

    async fn snapshot(&mut self, files: &SnapshotFiles) -> Result<(), EngineError> {
        let memory = self.saved_memory(files)?;
        let head = self.head.with_memory(memory);
        let (state, closed) = create_state(&files.state, &head).map_err(|source| EngineError::Host {
            operation: "creating a snapshot's state file",
            path: files.state.clone(),
            source,
        })?;
        let saved = self.save(state, &closed).await;
        let said = self.said(SNAPSHOT, saved).await;
        if said.is_err() {
            // Half a state must not be taken for a whole one; if it is gone already, so much the better.
            let _ = fs::remove_file(&files.state);
        }
        said
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

fn ignore_shared() -> Value {
    json!({ "capabilities": [{ "capability": "x-ignore-shared", "state": true }] })
}

/// Whether a migration that has ended succeeded.
fn migration_end(name: &str, data: &Value) -> Option<bool> {
    let status = data.get("status").and_then(Value::as_str)?;
    match (name, status) {
        ("MIGRATION", "completed") => Some(true),
        ("MIGRATION", "failed" | "cancelled") => Some(false),
        _ => None,
    }
}

/// Creates the state file, and watches for its last writer to close it.
fn create_state(path: &Path, head: &Head) -> io::Result<(File, AsyncFd<OwnedFd>)> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    head.write_to(&file)?;
    Ok((file, watch_close(path)?))
}
