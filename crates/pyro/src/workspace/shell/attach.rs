//! Somebody at a terminal joins a shell: keys go to it, what it prints comes back unchanged. This file must not know what
//! kind of terminal that is, or which keys mean that it is left.

use super::ShellError;
use super::screen;
use super::screen::Modes;
use crate::terminal::TerminalSize;
use crate::workspace::control::connection;
use crate::workspace::control::connection::Incoming;
use crate::workspace::control::connection::Receiver;
use crate::workspace::control::connection::Sender;
use crate::workspace::control::message::Event;
use crate::workspace::control::message::Request;
use crate::workspace::control::shell::AttachRequest;
use crate::workspace::control::shell::ShellControl;
use crate::workspace::control::shell::ShellRequest;
use crate::workspace::error::WorkspaceError;
use crate::workspace::handle::Workspace;
use serde_json::Value;
use std::io;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;

/// Bytes of input read at once.
const INPUT_BYTES: usize = 16 * 1024;

/// A terminal that somebody sits at, in raw mode.
pub struct ShellTerminal {
    /// Its size, if it has one.
    pub size: Option<TerminalSize>,
    /// What is typed. Its end leaves the shell, which goes on.
    pub input: Box<dyn AsyncRead + Send + Unpin>,
    /// Where is shown what the shell prints.
    pub output: Box<dyn AsyncWrite + Send + Unpin>,
    /// Its size, whenever that has changed.
    pub sizes: mpsc::Receiver<TerminalSize>,
    /// Signals that end the call.
    pub interrupts: mpsc::Receiver<i32>,
}

impl std::fmt::Debug for ShellTerminal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShellTerminal").field("size", &self.size).finish_non_exhaustive()
    }
}

/// How being attached ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Attached {
    /// The input ended; the shell goes on.
    Detached,
    /// The shell ended; its record.
    Ended(Value),
}

impl Workspace {
    /// Joins a shell's terminal: shows its last screen, takes the size of this terminal over, and passes bytes to and fro until the
    /// shell ends or the input does. Others may be attached at the same time; the last size given is the shell's.
    ///
    /// With `owner` the shell ends when this call does without its input having ended: by an error, an interrupt, or with its process.
    ///
    /// # Errors
    /// [`WorkspaceError::Interrupted`], [`ShellError::Unknown`], [`ShellError::Gone`] when the guest ended.
    pub async fn attach_shell(
        &self,
        shell: &str,
        terminal: ShellTerminal,
        owner: bool,
    ) -> Result<Attached, WorkspaceError> {
        let ShellTerminal { size, mut input, mut output, mut sizes, mut interrupts } = terminal;
        let request = AttachRequest { shell: shell.to_owned(), size, owner };
        let request = Request::Shell(ShellRequest::Attach(request));
        let (sender, receiver) = connection::ask(&self.config, &self.folder, request).await?;
        let mut modes = Modes::default();
        let result = tokio::select! {
            shown = show(receiver, output.as_mut(), size, &mut modes) => shown.and_then(|record| ended(shell, record)),
            typed = pass_on(sender, input.as_mut(), &mut sizes) => typed.map(|()| Attached::Detached),
            Some(signal) = interrupts.recv() => Err(WorkspaceError::Interrupted { signal }),
        };
        // Whoever has gone needs no reset.
        let _ = output.write_all(&modes.reset()).await;
        let _ = output.flush().await;
        result
    }
}

fn ended(shell: &str, record: Value) -> Result<Attached, WorkspaceError> {
    match record["error"].as_str() {
        Some(reason) => Err(ShellError::Gone { shell: shell.to_owned(), reason: reason.to_owned() }.into()),
        None => Ok(Attached::Ended(record)),
    }
}

/// Shows what comes until the shell ends; its record.
async fn show(
    mut receiver: Receiver,
    output: &mut (dyn AsyncWrite + Send + Unpin),
    size: Option<TerminalSize>,
    modes: &mut Modes,
) -> Result<Value, WorkspaceError> {
    let failed = |source: io::Error| WorkspaceError::Caller { operation: "writing to the terminal", source };
    let (mut past, mut missing, mut then) = (Vec::new(), 0, None);
    loop {
        let mut bytes = match receiver.next().await? {
            Incoming::Done(record) => return Ok(record),
            Incoming::Event(Event::ShellAttached { size, replayed_bytes }) => {
                (then, missing) = (Some(size), usize::try_from(replayed_bytes).unwrap_or(usize::MAX));
                continue;
            }
            Incoming::Event(_) => continue,
            Incoming::Bytes(_, bytes) => bytes,
        };
        if let Some(old) = then {
            let live = bytes.split_off(bytes.len().min(missing));
            missing -= bytes.len();
            past.extend_from_slice(&bytes);
            if missing > 0 {
                continue;
            }
            let seen = screen::replay(&past, old, size.unwrap_or(old));
            modes.show(&seen);
            output.write_all(&seen).await.map_err(failed)?;
            (past, then, bytes) = (Vec::new(), None, live);
        }
        modes.show(&bytes);
        output.write_all(&bytes).await.map_err(failed)?;
        output.flush().await.map_err(failed)?;
    }
}

/// Passes on what is typed, and new sizes, until the input ends.
async fn pass_on(
    mut sender: Sender,
    input: &mut (dyn AsyncRead + Send + Unpin),
    sizes: &mut mpsc::Receiver<TerminalSize>,
) -> Result<(), WorkspaceError> {
    let mut bytes = vec![0; INPUT_BYTES];
    loop {
        tokio::select! {
            read = input.read(&mut bytes) => {
                let failed = |source| WorkspaceError::Caller { operation: "reading the terminal", source };
                let count = read.map_err(failed)?;
                if count == 0 {
                    break;
                }
                if sender.input(&bytes[..count]).await.is_err() {
                    return gone().await;
                }
            }
            Some(size) = sizes.recv() => {
                if sender.control(&ShellControl::Resize { size }).await.is_err() {
                    return gone().await;
                }
            }
        }
    }
    let _ = sender.control(&ShellControl::Detach).await;
    Ok(())
}

/// The supervisor says on the other half why it hung up.
async fn gone<T>() -> T {
    std::future::pending().await
}
