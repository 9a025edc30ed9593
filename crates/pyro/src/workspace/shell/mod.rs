//! Shells: programs on a terminal in the guest that outlive who opened them, the client's side. Their output has byte cursors
//! that never change, they are written to without waiting, and people attach to them. This folder must not know how a
//! shell is shown, or what becomes of one whose client is gone.
//!
//! ```text
//!   open ---> running --- its program ended, or it was closed ---> stopped --- forgotten behind newer ones,
//!               |  ^                                                           or with the guest
//!               +--+  read, write, signal, resize; attach, detach
//! ```

mod attach;
mod error;
mod pattern;
mod plain;
mod read;
mod screen;
mod spec;

pub use attach::Attached;
pub use attach::ShellTerminal;
pub use error::ShellError;
pub(super) use pattern::Pattern;
pub use read::CHARS_DEFAULT;
pub use read::CHARS_MAX;
pub use read::IDLE_MS_MAX;
pub use read::ShellRead;
pub use read::ShellReadSpec;
pub use read::ShellWait;
pub use spec::ShellSpec;

use super::control::connection;
use super::control::message::Request;
use super::control::shell::ShellRequest;
use super::error::WorkspaceError;
use super::handle::Workspace;
use crate::terminal::TerminalSize;
use serde_json::Value;

/// Most bytes that may wait for the program of one shell.
pub(super) const INPUT_BYTES_MAX: usize = 1 << 20;

impl Workspace {
    /// Opens a shell, which goes on whatever becomes of its caller; its record.
    ///
    /// A record has `workspace_id`, `shell_id`, `command`, `cwd`, `cols`, `rows`, `state` (`running` or `stopped`),
    /// `started_at`, `ended_at`, `exit_code`, `ended_by_signal`, `error`, `execution_mode`, `attached` (clients at its terminal),
    /// `output_bytes` (the cursor behind everything it has printed) and `kept_from` (the first cursor that is still kept).
    ///
    /// # Errors
    /// [`WorkspaceError`].
    pub async fn open_shell(&self, spec: ShellSpec) -> Result<Value, WorkspaceError> {
        self.ask_shell(ShellRequest::Open(spec.request())).await
    }

    /// The records of all shells, the oldest first: those that run, and the last that have ended.
    ///
    /// # Errors
    /// [`WorkspaceError`].
    pub async fn list_shells(&self) -> Result<Vec<Value>, WorkspaceError> {
        connection::call(&self.config, &self.folder, Request::Shell(ShellRequest::List)).await
    }

    /// Puts input before the program of a shell, all of it or nothing, and does not wait until it is read; the shell's record.
    ///
    /// # Errors
    /// [`ShellError::InputFull`] when the program does not read and too much waits already, [`ShellError::Ended`].
    pub async fn write_shell(&self, shell: &str, input: &[u8]) -> Result<Value, WorkspaceError> {
        if input.len() > INPUT_BYTES_MAX {
            return Err(ShellError::InputTooLong { bytes: input.len(), most: INPUT_BYTES_MAX }.into());
        }
        let request = Request::Shell(ShellRequest::Write { shell: shell.to_owned() });
        let (mut sender, receiver) = connection::ask(&self.config, &self.folder, request).await?;
        // What it refuses before it has read everything is told on the other half.
        let _ = sender.input(input).await;
        let _ = sender.end_input().await;
        connection::result(sender, receiver).await
    }

    /// Sends a signal to the foreground job of a shell's terminal, as a key would; the shell's record.
    ///
    /// # Errors
    /// [`ShellError::Ended`], or the guest refused.
    pub async fn signal_shell(&self, shell: &str, signal: i32) -> Result<Value, WorkspaceError> {
        self.ask_shell(ShellRequest::Signal { shell: shell.to_owned(), signal }).await
    }

    /// Changes the size of a shell's terminal; the shell's record.
    ///
    /// # Errors
    /// [`ShellError::Ended`], or the guest refused.
    pub async fn resize_shell(&self, shell: &str, size: TerminalSize) -> Result<Value, WorkspaceError> {
        self.ask_shell(ShellRequest::Resize { shell: shell.to_owned(), size }).await
    }

    /// Ends a shell with everything it has started, by HUP and TERM and after a moment by KILL, and waits for that; its record.
    /// One that has ended stays as it is.
    ///
    /// # Errors
    /// [`ShellError::Unknown`].
    pub async fn close_shell(&self, shell: &str) -> Result<Value, WorkspaceError> {
        self.ask_shell(ShellRequest::Close { shell: shell.to_owned() }).await
    }

    async fn ask_shell(&self, request: ShellRequest) -> Result<Value, WorkspaceError> {
        connection::call(&self.config, &self.folder, Request::Shell(request)).await
    }
}
