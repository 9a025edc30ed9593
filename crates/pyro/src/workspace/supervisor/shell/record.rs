//! A shell as the contract shows it. This file must not change anything.

use super::now;
use crate::guest::GuestError;
use crate::identity::random_bytes;
use crate::terminal::TerminalSize;
use crate::workspace::WORKSPACE_PATH;
use crate::workspace::control::shell::OpenRequest;
use crate::workspace::document::UnixSeconds;
use crate::workspace::view::EXECUTION_MODE;
use pyro_proto::bytes::to_hex;
use pyro_proto::exec::Ending;
use pyro_proto::exec::ExecExit;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;
use serde_json::json;
use std::io;

/// What of a shell never changes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::workspace::supervisor) struct Facts {
    pub(super) id: String,
    pub(super) workspace: String,
    command: String,
    cwd: String,
    started_at: UnixSeconds,
}

/// How a shell ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::workspace::supervisor) struct Ended {
    exit_code: Option<i32>,
    signal: Option<i32>,
    error: Option<String>,
    ended_at: UnixSeconds,
}

impl Facts {
    /// A new shell, whose id no other has or had: one that is remembered too long never means another.
    pub(super) fn new(workspace: String, request: &OpenRequest) -> io::Result<Self> {
        let cwd = request.cwd.as_ref().map_or_else(
            || WORKSPACE_PATH.to_owned(),
            |cwd| String::from_utf8_lossy(cwd.as_bytes()).into_owned(),
        );
        Ok(Self {
            id: format!("sh-{}", to_hex(&random_bytes::<4>()?)),
            workspace,
            command: request.shown.clone(),
            cwd,
            started_at: now(),
        })
    }

    pub(super) fn describe(
        &self,
        ended: Option<&Ended>,
        size: TerminalSize,
        attached: usize,
        [total, kept_from]: [u64; 2],
    ) -> Value {
        json!({
            "workspace_id": self.workspace,
            "shell_id": self.id,
            "command": self.command,
            "cwd": self.cwd,
            "cols": size.cols(),
            "rows": size.rows(),
            "state": if ended.is_some() { "stopped" } else { "running" },
            "started_at": self.started_at,
            "ended_at": ended.map(|ended| ended.ended_at),
            "exit_code": ended.and_then(|ended| ended.exit_code),
            "ended_by_signal": ended.and_then(|ended| ended.signal),
            "error": ended.and_then(|ended| ended.error.as_deref()),
            "execution_mode": EXECUTION_MODE,
            "attached": attached,
            "output_bytes": total,
            "kept_from": kept_from,
        })
    }
}

impl Ended {
    pub(super) fn of(exit: Result<ExecExit, GuestError>) -> Self {
        let (exit_code, signal) = match exit.map(|exit| exit.ending) {
            Ok(Ending::Code(code)) => (code, None),
            Ok(Ending::Signal(signal)) => (128 + signal, Some(signal)),
            Err(error) => return Self::lost(&error.to_string()),
        };
        Self { exit_code: Some(exit_code), signal, error: None, ended_at: now() }
    }

    /// Nobody saw it end.
    pub(super) fn lost(reason: &str) -> Self {
        Self { exit_code: None, signal: None, error: Some(reason.to_owned()), ended_at: now() }
    }
}
