//! Who asked a workspace for what, and what came of it: one line for each request that changes or runs something, in a
//! journal. A command's line is in it; its environment and input, and the contents of files, never are.
//! This file must not refuse anything.
//!
//! ```text
//!   {"time": 1750000000.5, "caller": "cli", "pid": 4711, "operation": "exec", "detail": "make test", "outcome": "ok",
//!    "exit_code": 2, "received_bytes": 0, "sent_bytes": 5120, "duration_ms": 1830}
//! ```

use super::control::message::Envelope;
use super::control::message::Request;
use super::control::shell::ShellRequest;
use super::document::UnixSeconds;
use super::error::WorkspaceError;
use super::folder::Folder;
use super::handle::Workspace;
use super::history::Ended;
use super::journal;
use crate::code::Coded;
use crate::guest::Endpoint;
use crate::secret::Needles;
use serde::Deserialize;
use serde::Serialize;
use std::time::Duration;

/// Longest description of a request, in characters.
const DETAIL_CHARS_MAX: usize = 500;

/// One request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditLine {
    /// When it came.
    pub time: UnixSeconds,
    /// The surface that asked: `cli`, `python`, `mcp`, `rust`.
    pub caller: String,
    /// The process that asked.
    pub pid: Option<i32>,
    /// What was asked for.
    pub operation: String,
    /// With what: a command, a path, a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// `ok`, or the stable code of the failure. A command that ended by itself is `ok`, whatever its exit code.
    pub outcome: String,
    /// The exit code of the command whose end was told; nothing for what is no command, or did not end meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Bytes that came in: a command's input, files as they travel.
    #[serde(default)]
    pub received_bytes: u64,
    /// Bytes that went back: a command's output, files as they travel.
    pub sent_bytes: u64,
    /// How long it took.
    pub duration_ms: u64,
}

/// What went over a connection, and the end of a command if one was told on it.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    pub(super) received_bytes: u64,
    pub(super) sent_bytes: u64,
    pub(super) ended: Option<Ended>,
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Entry {
    time: UnixSeconds,
    caller: String,
    pid: Option<i32>,
    operation: String,
    detail: Option<String>,
}

impl Entry {
    /// A request of a client of a supervisor; nothing for those that only look.
    pub(super) fn begin(envelope: &Envelope, pid: Option<i32>, needles: &Needles) -> Option<Self> {
        let (operation, detail) = describe(&envelope.request)?;
        Some(Self::new(&envelope.caller, pid, &operation, detail.map(|text| needles.redact(&text))))
    }

    /// Something done in the caller's own process.
    pub(super) fn new(caller: &str, pid: Option<i32>, operation: &str, detail: Option<String>) -> Self {
        Self {
            time: UnixSeconds::now(),
            caller: caller.chars().take(64).collect(),
            pid,
            operation: operation.to_owned(),
            detail: detail.map(|text| text.chars().take(DETAIL_CHARS_MAX).collect()),
        }
    }

    /// Writes it down.
    pub(super) fn end(
        self,
        folder: &Folder,
        error: Option<&WorkspaceError>,
        exchange: &Exchange,
        took: Duration,
    ) {
        let ended = exchange.ended.as_ref();
        let lost = ended.and_then(|ended| ended.error.as_ref()).map(|(code, _)| code.as_str());
        let line = AuditLine {
            time: self.time,
            caller: self.caller,
            pid: self.pid,
            operation: self.operation,
            detail: self.detail,
            outcome: error.map(Coded::code).or(lost).unwrap_or("ok").to_owned(),
            exit_code: ended.map(|ended| ended.exit_code),
            received_bytes: exchange.received_bytes,
            sent_bytes: exchange.sent_bytes,
            duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        };
        // A workspace whose audit cannot be written is still its owner's.
        let _ = journal::append(&folder.audit(), &line);
    }
}

fn describe(request: &Request) -> Option<(String, Option<String>)> {
    let (operation, detail) = match request {
        Request::Status { .. }
        | Request::Jobs
        | Request::Follow { input: false, .. }
        | Request::Hold
        | Request::KnownSecrets
        | Request::SecretValues => return None,
        Request::SetSecrets { secrets } => {
            let names: Vec<&str> = secrets.iter().map(|secret| secret.name.as_str()).collect();
            ("secret_set", Some(names.join(" ")))
        }
        Request::Ports | Request::Services | Request::ServiceLogs { .. } => return None,
        Request::ServiceStart { name, spec, .. } => {
            ("service_start", Some(format!("{name} {}", spec.command)))
        }
        Request::ServiceStop { name, .. } => ("service_stop", Some(name.to_string())),
        Request::ServiceRestart { name, .. } => ("service_restart", Some(name.to_string())),
        Request::Connect { to } => ("connect", Some(endpoint(to))),
        Request::PublishPort { spec } => ("port_publish", Some(spec.to_string())),
        Request::RemovePort { host_port } => ("port_remove", Some(host_port.to_string())),
        Request::RemoveSecret { name } => ("secret_remove", Some(name.to_string())),
        Request::Exec(exec) => ("exec", Some(exec.shown.clone())),
        Request::Follow { job, .. } => ("job_attach", Some(job.to_string())),
        Request::Signal { job, signal, .. } => ("job_signal", Some(format!("job {job}, signal {signal}"))),
        Request::Tool { activity, .. } => {
            return activity.clone().map(|text| {
                let (operation, detail) = text.split_once(' ').unwrap_or((&text, ""));
                (operation.to_owned(), (!detail.is_empty()).then(|| detail.to_owned()))
            });
        }
        Request::Stop { keep_memory, .. } => ("stop", keep_memory.then(|| "with memory".to_owned())),
        Request::Seeded { seed } => ("seed", seed.seed_path.clone()),
        Request::Finish => ("create", None),
        Request::Update(_) => ("update", None),
        Request::Snapshot { name, .. } => ("snapshot_create", Some(name.to_string())),
        Request::Freeze { memory } => ("pack", memory.then(|| "with memory".to_owned())),
        Request::DeleteSnapshot { name } => ("snapshot_delete", Some(name.to_string())),
        Request::Reset { name } => ("reset", Some(name.to_string())),
        Request::Shell(request) => return describe_shell(request),
        Request::Fork { children } => ("fork", Some(children.len().to_string())),
    };
    Some((operation.to_owned(), detail))
}

/// What is typed into a shell is never said.
fn describe_shell(request: &ShellRequest) -> Option<(String, Option<String>)> {
    let (operation, detail) = match request {
        ShellRequest::List | ShellRequest::Read(_) => return None,
        ShellRequest::Open(open) => ("shell_open", open.shown.clone()),
        ShellRequest::Write { shell } => ("shell_write", shell.clone()),
        ShellRequest::Signal { shell, signal } => ("shell_signal", format!("{shell}, signal {signal}")),
        ShellRequest::Resize { shell, .. } => ("shell_resize", shell.clone()),
        ShellRequest::Close { shell } => ("shell_close", shell.clone()),
        ShellRequest::Attach(attach) => ("shell_attach", attach.shell.clone()),
    };
    Some((operation.to_owned(), Some(detail)))
}

fn endpoint(to: &Endpoint) -> String {
    match to {
        Endpoint::Tcp { host: None, port } => port.to_string(),
        Endpoint::Tcp { host: Some(host), port } => format!("{host} {port}"),
        Endpoint::Unix { path } => String::from_utf8_lossy(&path.0).into_owned(),
    }
}

impl Workspace {
    /// What was asked of the workspace and by whom, the oldest first, as far back as its journal goes.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn audit(&self) -> Result<Vec<AuditLine>, WorkspaceError> {
        let read = journal::read(&self.folder.audit(), 0).map_err(self.disk_error("reading the audit"))?;
        Ok(read.0)
    }
}
