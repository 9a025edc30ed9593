//! The two traits every engine implements, and their errors. This file must not know any one engine.
//!
//! ```text
//!             start                pause                 kill / the engine's own end
//!   Engine ----------> running <----------> paused ------------------------------> ended
//!     |     restore      ^       resume       |
//!     +------------------+                    +--> snapshot (stays paused)
//! ```

use crate::spec::Acceleration;
use crate::spec::EngineKind;
use crate::spec::GuestSpec;
use crate::spec::SnapshotFiles;
use crate::stall::Stall;
use async_trait::async_trait;
use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use tokio::net::UnixStream;

/// Starts guests.
#[async_trait]
pub trait Engine: Debug + Send + Sync {
    /// Which engine this is.
    fn kind(&self) -> EngineKind;

    /// What executes the guests' instructions.
    fn acceleration(&self) -> Acceleration;

    /// Everything about this engine on this host that a memory snapshot depends on, as one line of text.
    fn fingerprint(&self) -> String;

    /// Boots a guest. Returns as soon as the engine's process runs; readiness is the agent's hello on the channel.
    ///
    /// # Errors
    /// [`EngineError`], with nothing left running.
    async fn start(&self, spec: GuestSpec) -> Result<Box<dyn Guest>, EngineError>;

    /// Brings back a paused guest from `snapshot`, its memory mapped copy-on-write, and lets it run. `spec` must describe
    /// the same machine as the one that was snapshotted (its `memory` is ignored), with disks in the same state.
    ///
    /// # Errors
    /// [`EngineError`], with nothing left running.
    async fn restore(&self, spec: GuestSpec, snapshot: &SnapshotFiles)
    -> Result<Box<dyn Guest>, EngineError>;
}

/// One guest's engine process. Dropping it kills the process and waits for it.
#[async_trait]
pub trait Guest: Debug + Send {
    /// The byte stream to the agent; `None` after the first call.
    fn take_channel(&mut self) -> Option<UnixStream>;

    /// The engine process.
    fn pid(&self) -> u32;

    /// Whether the host has no room for what the guest writes, so that it stands still.
    fn stall(&self) -> Stall {
        Stall::never()
    }

    /// Stops the guest's processors.
    async fn pause(&mut self) -> Result<(), EngineError>;

    /// Lets them run again.
    async fn resume(&mut self) -> Result<(), EngineError>;

    /// Does what can be done of a snapshot while the guest runs, so that its pause is shorter: writes `files.memory` as the
    /// memory is now, of which [`Self::snapshot`] to the same files then corrects what has changed. If there is none,
    /// what was prepared is removed again. Never needed.
    ///
    /// # Errors
    /// [`EngineError`]; the guest runs on.
    async fn prepare_snapshot(&mut self, _files: &SnapshotFiles) -> Result<(), EngineError> {
        Ok(())
    }

    /// Writes a paused guest's device state and memory. `files.memory` must not exist, unless the guest was started with it as
    /// its [shared memory file](crate::spec::Memory::SharedFile): then nothing is copied, but the guest cannot be resumed.
    /// The guest's disks are flushed to their files by then. Neither file is synced to its disk.
    ///
    /// # Errors
    /// [`EngineError`]; nothing of the files is left, and the guest can be resumed.
    async fn snapshot(&mut self, files: &SnapshotFiles) -> Result<(), EngineError>;

    /// Puts `overlay`, an empty qcow2 image of the disk's size that names no other file, on top of a disk of a guest that runs
    /// or is paused. From then on everything the guest writes goes there, and the layer that was the last until now never
    /// changes again: its file is complete, with all the guest had written to it. `disk` counts from zero. The
    /// call must not be given up half-way: then nobody knows which layer is the last.
    ///
    /// # Errors
    /// [`EngineError`]; the disk is as it was.
    async fn push_layer(&mut self, disk: usize, overlay: File) -> Result<(), EngineError>;

    /// Sends SIGKILL to the engine process. Never fails: a process that is gone is what was wanted.
    fn kill(&mut self);

    /// Waits until the engine process is gone and reaped.
    async fn wait(&mut self) -> EngineExit;

    /// What the engine process uses now.
    ///
    /// # Errors
    /// [`EngineError::Gone`] when it has ended.
    fn usage(&self) -> Result<Usage, EngineError>;

    /// The last of what the guest wrote to its console and the engine to its standard error, at most 64 KiB, for diagnosis.
    fn console_tail(&self) -> Vec<u8>;
}

/// How an engine process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineExit {
    /// Its exit code, if it called exit.
    pub code: Option<i32>,
    /// The signal that killed it, if one did.
    pub signal: Option<i32>,
}

impl std::fmt::Display for EngineExit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "exit code {code}"),
            (None, Some(signal)) => write!(f, "signal {signal}"),
            (None, None) => f.write_str("no exit code"),
        }
    }
}

/// What an engine process uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory in KiB, shared pages included.
    pub rss_kib: u64,
    /// Proportional set size in KiB: shared pages divided among those who share them.
    pub pss_kib: u64,
    /// Processor time used so far, in milliseconds.
    pub cpu_ms: u64,
}

/// What can go wrong with an engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The engine's program is not installed.
    #[error("{program} is not installed")]
    ProgramMissing {
        /// The program looked for.
        program: String,
    },
    /// A step on the host failed.
    #[error("{operation}: {path}")]
    Host {
        /// What was being done.
        operation: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The engine's process could not be started.
    #[error("starting {program}")]
    Spawn {
        /// The program.
        program: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The engine's control channel broke or spoke nonsense.
    #[error("talking to the engine while {operation}")]
    Control {
        /// What was being done.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The engine refused.
    #[error("the engine refused to {operation}: {reason}")]
    Refused {
        /// What was asked.
        operation: &'static str,
        /// Its own words.
        reason: String,
    },
    /// The engine's process has ended.
    #[error("the engine ended while {operation} ({exit}){}", tail_suffix(.tail))]
    Gone {
        /// What was being done.
        operation: &'static str,
        /// How it ended.
        exit: String,
        /// The last lines it printed.
        tail: String,
    },
    /// This engine cannot do that.
    #[error("the {engine} engine cannot {operation}")]
    Unsupported {
        /// The engine.
        engine: &'static str,
        /// What was asked.
        operation: &'static str,
    },
}

fn tail_suffix(tail: &str) -> String {
    if tail.is_empty() { String::new() } else { format!("; it said: {tail}") }
}
