//! Running one command: what is asked, and how it ended. Shells and services are jobs of the same kind.
//! This file must not spawn anything.

use crate::bytes::ByteString;
use crate::frame::StreamId;
use serde::Deserialize;
use serde::Serialize;

/// A command to run in the guest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecSpec {
    /// Program and arguments; the program is looked up in the command's own `PATH`. Never empty.
    pub argv: Vec<ByteString>,
    /// Working directory; `/workspace` when absent, `/` where that does not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<ByteString>,
    /// Variables added to the default environment (`PATH`, `HOME`, `USER`, `LOGNAME`, `SHELL`, `LANG`), or replacing it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<(ByteString, ByteString)>,
    /// `NAME`, `UID`, `NAME:GROUP` or `UID:GID`; root when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Streams of the command.
    pub stdio: Stdio,
    /// After this many milliseconds the whole tree gets TERM, and KILL when the grace is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Milliseconds between TERM and KILL; [`crate::limits::KILL_GRACE_MS`] when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kill_grace_ms: Option<u64>,
    /// What the command started and what outlives its main process gets TERM as well, and KILL after so many milliseconds, before
    /// the end is told; when absent it lives on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_grace_ms: Option<u64>,
}

/// Where the command's bytes travel. The host chooses unused stream numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stdio {
    /// Carries standard output to the host and, when `stdin` is set, standard input to the guest.
    pub stream: StreamId,
    /// Whether standard input comes from the host; otherwise it is `/dev/null`.
    #[serde(default)]
    pub stdin: bool,
    /// Carries standard error to the host; when absent it is merged into standard output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr_stream: Option<StreamId>,
    /// Run on a terminal of this size; standard error is then merged by nature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pty: Option<PtySize>,
}

/// A terminal's size in character cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PtySize {
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// It called exit.
    Code(i32),
    /// A signal killed it.
    Signal(i32),
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecExit {
    /// How the main process ended.
    pub ending: Ending,
    /// The time-out ended it.
    #[serde(default)]
    pub timed_out: bool,
    /// Processes of the job that outlived its main process. They still run, unless [`ExecSpec::left_grace_ms`] was set.
    #[serde(default)]
    pub detached: u32,
    /// Microseconds of guest time from start to end.
    pub duration_us: u64,
    /// Largest resident set of the main process, in KiB.
    #[serde(default)]
    pub max_rss_kib: u64,
    /// Processor time of the main process, in microseconds.
    #[serde(default)]
    pub cpu_us: u64,
}
