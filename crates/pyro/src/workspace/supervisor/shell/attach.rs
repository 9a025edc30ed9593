//! Somebody at the terminal of a shell: their keys go into its input as it has room for them, what it prints goes to them as
//! fast as they take it, and neither waits for the other. This file must not end a shell but for its owner.

use super::Presence;
use super::Shell;
use super::close;
use super::kept::RECENT_BYTES_MAX;
use crate::workspace::control::frame::CHUNK_BYTES;
use crate::workspace::control::frame::Frame;
use crate::workspace::control::frame::Tag;
use crate::workspace::control::message::Event;
use crate::workspace::control::shell::AttachRequest;
use crate::workspace::control::shell::ShellControl;
use crate::workspace::error::WorkspaceError;
use crate::workspace::shell::ShellError;
use crate::workspace::supervisor::serve::Client;
use crate::workspace::supervisor::serve::Incoming;
use crate::workspace::supervisor::serve::Outgoing;
use serde_json::Value;
use std::io;

/// Most bytes of the past that are shown again.
const REPLAYED_BYTES_MAX: u64 = RECENT_BYTES_MAX as u64;

/// How a client left.
enum Left {
    /// It said so.
    Detached,
    /// It did not.
    Gone,
}

/// How showing ended.
enum Shown {
    /// The shell ended.
    Ended,
    /// The client is gone.
    HungUp,
}

/// Serves somebody at a shell's terminal until either ends.
pub(super) async fn attach(
    shell: &Shell,
    request: &AttachRequest,
    client: &mut Client,
) -> Result<Value, WorkspaceError> {
    let _present = Presence::at(shell);
    let live_from = shell.kept.extent().total;
    let replay_from = live_from.saturating_sub(REPLAYED_BYTES_MAX).max(shell.kept.kept_from());
    let joined = Event::ShellAttached { size: shell.size(), replayed_bytes: live_from - replay_from };
    client.event(&joined).await?;
    if let Some(size) = request.size.filter(|size| *size != shell.size()) {
        // One that has ended has no terminal any more, and its last screen can be seen all the same.
        let _ = shell.resize(size).await;
    }
    let (mut incoming, outgoing) = client.halves();
    let left = tokio::select! {
        shown = show(shell, replay_from, outgoing) => match shown {
            Ok(Shown::Ended) => return Ok(shell.record()),
            Ok(Shown::HungUp) | Err(_) => last_words(incoming).await,
        },
        left = take(shell, &mut incoming) => left,
    };
    if request.owner && matches!(left, Left::Gone) {
        close(shell).await?;
    }
    Ok(shell.record())
}

/// Whether a client that hung up had said so.
async fn last_words(mut from: Incoming<'_>) -> Left {
    while let Some(frame) = from.read().await {
        if frame.tag == Tag::Json
            && matches!(serde_json::from_slice(&frame.payload), Ok(ShellControl::Detach))
        {
            return Left::Detached;
        }
    }
    Left::Gone
}

/// Sends what the shell prints from a cursor on until it ends. Who is so slow that bytes are dropped goes on behind them.
async fn show(shell: &Shell, mut cursor: u64, mut to: Outgoing<'_>) -> io::Result<Shown> {
    let mut extents = shell.kept.watch();
    loop {
        let extent = *extents.borrow_and_update();
        while cursor < extent.total {
            let piece = shell.kept.read(cursor, CHUNK_BYTES);
            to.send(Tag::Stdout, &piece.bytes).await?;
            cursor = piece.from + piece.bytes.len() as u64;
        }
        if extent.ended {
            // Its end is known a moment after its output's.
            shell.end().await;
            return Ok(Shown::Ended);
        }
        tokio::select! {
            // The sender is the shell's own.
            _ = extents.changed() => {}
            () = to.hung_up() => return Ok(Shown::HungUp),
        }
    }
}

/// Takes what is typed until whoever types has gone.
async fn take(shell: &Shell, from: &mut Incoming<'_>) -> Left {
    while let Some(frame) = from.read().await {
        match frame {
            Frame { tag: Tag::Input, payload } => {
                // Somebody else may be quicker.
                while let Err(ShellError::InputFull { .. }) = shell.push(payload.clone()) {
                    shell.input.room_for(payload.len()).await;
                }
            }
            Frame { tag: Tag::Json, payload } => match serde_json::from_slice(&payload) {
                Ok(ShellControl::Resize { size }) => drop(shell.resize(size).await),
                Ok(ShellControl::Detach) => return Left::Detached,
                Err(_) => {}
            },
            _ => {}
        }
    }
    Left::Gone
}
