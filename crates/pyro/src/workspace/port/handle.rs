//! Publishing ports of a workspace, and connecting to one: the client's side. This file must not listen to anything.

use super::PortError;
use super::PortSpec;
use super::PublishedPort;
use crate::guest::Endpoint;
use crate::workspace::control::connection;
use crate::workspace::control::connection::Incoming;
use crate::workspace::control::connection::Receiver;
use crate::workspace::control::connection::Sender;
use crate::workspace::control::message::Event;
use crate::workspace::control::message::Request;
use crate::workspace::error::WorkspaceError;
use crate::workspace::handle::Workspace;
use serde_json::Value;
use serde_json::json;
use std::time::Instant;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt as _;

/// Bytes passed on at once.
const BYTES_AT_ONCE: usize = 64 * 1024;

/// An open connection to something in a guest. Dropping it resets it.
#[derive(Debug)]
pub struct PortConnection {
    sender: Sender,
    receiver: Receiver,
}

impl Workspace {
    /// Publishes a port of the guest on the host, from now on until it is removed, across stops, starts and resets.
    ///
    /// # Errors
    /// [`PortError`], or the workspace does not run.
    pub async fn publish_port(&self, spec: &PortSpec) -> Result<PublishedPort, WorkspaceError> {
        connection::call(&self.config, &self.folder, Request::PublishPort { spec: spec.clone() }).await
    }

    /// The published ports, each with whether the host listens there, and if not why.
    ///
    /// # Errors
    /// The workspace cannot be read.
    pub async fn published_ports(&self) -> Result<Vec<Value>, WorkspaceError> {
        match connection::call(&self.config, &self.folder, Request::Ports).await {
            Err(WorkspaceError::NotRunning { .. }) => {}
            other => return other,
        }
        let ports = self.folder.load()?.published_ports;
        Ok(ports.iter().map(|port| describe_state(port, false, None)).collect())
    }

    /// Publishes a port no longer, and resets the connections to it. The workspace may run or not.
    ///
    /// # Errors
    /// [`PortError::Unknown`].
    pub async fn remove_port(&self, host_port: u16) -> Result<PublishedPort, WorkspaceError> {
        let Some(mut held) = self.hold()? else {
            return connection::call(&self.config, &self.folder, Request::RemovePort { host_port }).await;
        };
        let began = Instant::now();
        let ports = &mut held.document.published_ports;
        let outcome = match ports.iter().position(|port| port.host_port == host_port) {
            Some(at) => {
                let port = ports.remove(at);
                self.folder.save(&held.document).map(|()| port).map_err(Into::into)
            }
            None => Err(PortError::Unknown { workspace: self.id().to_string(), host_port }.into()),
        };
        self.note("port_remove", Some(host_port.to_string()), outcome.as_ref().err(), began);
        outcome
    }

    /// Opens a connection to something that listens in the guest.
    ///
    /// # Errors
    /// [`PortError`], as the supervisor tells it.
    pub async fn connect(&self, to: Endpoint) -> Result<PortConnection, WorkspaceError> {
        let (sender, mut receiver) =
            connection::ask(&self.config, &self.folder, Request::Connect { to }).await?;
        loop {
            match receiver.next().await? {
                Incoming::Event(Event::Connected) => return Ok(PortConnection { sender, receiver }),
                Incoming::Event(_) | Incoming::Bytes(..) => {}
                Incoming::Done(_) => {
                    let did = "did not say that a connection is open".to_owned();
                    return Err(WorkspaceError::Supervisor { workspace: self.id().to_string(), did });
                }
            }
        }
    }
}

impl PortConnection {
    /// Passes bytes to and fro until the guest's side has ended; the end of `input` is passed on and is not the end.
    ///
    /// # Errors
    /// The connection was reset, or `output` takes no more.
    pub async fn copy(
        self,
        input: &mut (dyn AsyncRead + Send + Unpin),
        output: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<(), WorkspaceError> {
        let Self { mut sender, mut receiver } = self;
        let sends = async {
            let mut bytes = vec![0; BYTES_AT_ONCE];
            loop {
                match input.read(&mut bytes).await {
                    Ok(0) | Err(_) => break sender.end_input().await,
                    Ok(size) => sender.input(&bytes[..size]).await?,
                }
            }
        };
        let receives = async {
            let failed = |source| WorkspaceError::Caller { operation: "writing the output", source };
            loop {
                match receiver.next().await? {
                    Incoming::Bytes(_, bytes) => {
                        output.write_all(&bytes).await.map_err(failed)?;
                        output.flush().await.map_err(failed)?;
                    }
                    Incoming::Event(_) => {}
                    Incoming::Done(_) => return Ok(()),
                }
            }
        };
        tokio::pin!(sends, receives);
        let mut sent = false;
        loop {
            tokio::select! {
                received = &mut receives => return received,
                // A supervisor that is gone says so on the other half.
                _ = &mut sends, if !sent => sent = true,
            }
        }
    }
}

/// A published port, and how it is.
pub(in crate::workspace) fn describe_state(
    port: &PublishedPort,
    listening: bool,
    error: Option<&str>,
) -> Value {
    let mut record = port.describe();
    record["listening"] = json!(listening);
    record["error"] = json!(error);
    record
}
