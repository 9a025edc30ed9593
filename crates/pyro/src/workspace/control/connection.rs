//! A client's end of one operation: the request goes out, events and output come back, the last says how it went. Dropping
//! it gives the operation up. This file must not know what the operation means.

use super::frame;
use super::frame::CHUNK_BYTES;
use super::frame::FRAME_BYTES_MAX;
use super::frame::Tag;
use super::message::Envelope;
use super::message::Event;
use super::message::Request;
use super::socket;
use crate::config::Config;
use crate::work::Work;
use crate::workspace::error::WorkspaceError;
use crate::workspace::folder::Folder;
use crate::workspace::history::Stream;
use rustix::process::Pid;
use rustix::process::PidfdFlags;
use rustix::process::pidfd_open;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::os::fd::OwnedFd;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::net::unix::OwnedWriteHalf;
use tokio::time::Instant;

/// What came from a supervisor.
#[derive(Debug)]
pub(in crate::workspace) enum Incoming {
    /// An event, never the last.
    Event(Event),
    /// Output.
    Bytes(Stream, Vec<u8>),
    /// The end.
    Done(Value),
}

/// The half that reads.
#[derive(Debug)]
pub(in crate::workspace) struct Receiver {
    reader: OwnedReadHalf,
    workspace: String,
}

/// The half that writes.
#[derive(Debug)]
pub(in crate::workspace) struct Sender {
    writer: OwnedWriteHalf,
    workspace: String,
}

/// Connects to the supervisor of a workspace and asks for something.
///
/// # Errors
/// [`WorkspaceError::NotRunning`], or the connection failed.
pub(in crate::workspace) fn ask<'a>(
    config: &'a Config,
    folder: &'a Folder,
    request: Request,
) -> Work<'a, Result<(Sender, Receiver), WorkspaceError>> {
    Box::pin(async move {
        let stream = reach(config, folder).await?;
        send(config, folder, stream, request).await
    })
}

/// A connection to a supervisor, which may be about to start: whoever holds the workspace is waited for.
async fn reach(config: &Config, folder: &Folder) -> Result<UnixStream, WorkspaceError> {
    let broke = |error| broken(folder.id().as_str(), &error);
    let deadline = Instant::now() + config.boot_deadline;
    loop {
        if let Some(stream) = socket::connect(folder).await.map_err(broke)? {
            return Ok(stream);
        }
        if !folder.is_held() {
            return Err(WorkspaceError::not_running(folder));
        }
        match tokio::time::timeout_at(deadline, folder.wait_for_change()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) if !folder.path().exists() => return Err(WorkspaceError::not_running(folder)),
            Ok(Err(error)) => return Err(broke(error)),
            Err(_) => return Err(WorkspaceError::Busy { workspace: folder.id().to_string() }),
        }
    }
}

/// Asks for something that has nothing but a result, if a supervisor is there at this moment.
///
/// # Errors
/// As for [`call`].
pub(in crate::workspace) async fn call_now<T: DeserializeOwned>(
    config: &Config,
    folder: &Folder,
    request: Request,
) -> Result<T, WorkspaceError> {
    let stream = socket::connect(folder).await.map_err(|error| broken(folder.id().as_str(), &error))?;
    let stream = stream.ok_or_else(|| WorkspaceError::not_running(folder))?;
    let (sender, receiver) = send(config, folder, stream, request).await?;
    result(sender, receiver).await
}

async fn send(
    config: &Config,
    folder: &Folder,
    stream: UnixStream,
    request: Request,
) -> Result<(Sender, Receiver), WorkspaceError> {
    let workspace = folder.id().to_string();
    let envelope = Envelope { caller: config.caller.clone(), request };
    let bytes = serde_json::to_vec(&envelope).map_err(|error| broken(&workspace, &error.into()))?;
    if bytes.len() > FRAME_BYTES_MAX {
        return Err(WorkspaceError::RequestTooLarge { bytes: bytes.len(), most: FRAME_BYTES_MAX });
    }
    let (reader, writer) = stream.into_split();
    let mut sender = Sender { writer, workspace: workspace.clone() };
    sender.frame(Tag::Json, &bytes).await?;
    Ok((sender, Receiver { reader, workspace }))
}

/// Asks for something that has nothing but a result.
///
/// # Errors
/// [`WorkspaceError::NotRunning`], the supervisor's own words, or the connection failed.
pub(in crate::workspace) async fn call<T: DeserializeOwned>(
    config: &Config,
    folder: &Folder,
    request: Request,
) -> Result<T, WorkspaceError> {
    let (sender, receiver) = ask(config, folder, request).await?;
    result(sender, receiver).await
}

/// The result of what was asked for.
pub(in crate::workspace) async fn result<T: DeserializeOwned>(
    open: Sender,
    receiver: Receiver,
) -> Result<T, WorkspaceError> {
    let (workspace, value) = done(open, receiver).await?;
    serde_json::from_value(value).map_err(|error| broken(&workspace, &error.into()))
}

/// The workspace and the result, once it is there; the half that writes stays open, or the supervisor would give it up.
fn done(open: Sender, mut receiver: Receiver) -> Work<'static, Result<(String, Value), WorkspaceError>> {
    Box::pin(async move {
        let _open = open;
        loop {
            if let Incoming::Done(value) = receiver.next().await? {
                return Ok((receiver.workspace, value));
            }
        }
    })
}

fn broken(workspace: &str, error: &std::io::Error) -> WorkspaceError {
    WorkspaceError::Supervisor { workspace: workspace.to_owned(), did: format!("does not answer: {error}") }
}

impl Receiver {
    /// What comes next.
    ///
    /// # Errors
    /// The supervisor's own words when the operation failed; the connection ended before its time.
    pub(in crate::workspace) async fn next(&mut self) -> Result<Incoming, WorkspaceError> {
        let frame = match frame::read(&mut self.reader).await {
            Ok(Some(frame)) => frame,
            Ok(None) => {
                let did = "ended before it had answered".to_owned();
                return Err(WorkspaceError::Supervisor { workspace: self.workspace.clone(), did });
            }
            Err(error) => return Err(broken(&self.workspace, &error)),
        };
        match frame.tag {
            Tag::Stdout => Ok(Incoming::Bytes(Stream::Stdout, frame.payload)),
            Tag::Stderr => Ok(Incoming::Bytes(Stream::Stderr, frame.payload)),
            Tag::Json | Tag::Input | Tag::InputEnd => match serde_json::from_slice(&frame.payload) {
                Ok(Event::Done { result }) => Ok(Incoming::Done(result)),
                Ok(Event::Failed(failure)) => Err(WorkspaceError::Remote(failure)),
                Ok(event) => Ok(Incoming::Event(event)),
                Err(error) => Err(broken(&self.workspace, &error.into())),
            },
        }
    }

    /// The process at the other end, which cannot become another one as long as the connection is not closed; `None` when it
    /// is gone.
    pub(in crate::workspace) fn supervisor(&self) -> Option<OwnedFd> {
        let pid = self.reader.as_ref().peer_cred().ok()?.pid()?;
        pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()
    }

    /// Waits until the supervisor has closed the connection.
    pub(in crate::workspace) async fn closed(&mut self) {
        while let Ok(Some(_)) = frame::read(&mut self.reader).await {}
    }
}

impl Sender {
    /// Sends input.
    ///
    /// # Errors
    /// The supervisor is gone.
    pub(in crate::workspace) async fn input(&mut self, bytes: &[u8]) -> Result<(), WorkspaceError> {
        for chunk in bytes.chunks(CHUNK_BYTES) {
            self.frame(Tag::Input, chunk).await?;
        }
        Ok(())
    }

    /// There is no more input.
    ///
    /// # Errors
    /// The supervisor is gone.
    pub(in crate::workspace) async fn end_input(&mut self) -> Result<(), WorkspaceError> {
        self.frame(Tag::InputEnd, &[]).await
    }

    /// Says something about what is under way.
    ///
    /// # Errors
    /// The supervisor is gone.
    pub(in crate::workspace) async fn control(
        &mut self,
        control: &impl serde::Serialize,
    ) -> Result<(), WorkspaceError> {
        let bytes = serde_json::to_vec(control).map_err(|error| broken(&self.workspace, &error.into()))?;
        self.frame(Tag::Json, &bytes).await
    }

    async fn frame(&mut self, tag: Tag, payload: &[u8]) -> Result<(), WorkspaceError> {
        frame::write(&mut self.writer, tag, payload).await.map_err(|error| broken(&self.workspace, &error))
    }
}
