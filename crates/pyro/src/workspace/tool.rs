//! Tools in a running workspace's guest, by way of its supervisor. This file must not know what a tool does.

use super::control::connection;
use super::control::connection::Incoming;
use super::control::connection::Receiver;
use super::control::connection::Sender;
use super::control::message::Request;
use super::error::WorkspaceError;
use super::handle::Workspace;
use super::history::Stream;
use crate::guest::GuestError;
use crate::guest::ToolError;
use crate::guest::ToolOutput;
use crate::guest::ToolRun;
use crate::guest::ToolSink;
use crate::work::Work;
use async_trait::async_trait;
use pyro_proto::tool::Tool;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use tokio::sync::Mutex;

impl Workspace {
    /// Starts a tool in the guest. It ends with the value that is returned. `activity` counts as use of the workspace, and is
    /// what the audit says: a word, and after a blank what it is done with.
    ///
    /// # Errors
    /// [`WorkspaceError::NotRunning`].
    pub(super) fn tool(
        &self,
        tool: Tool,
        input: bool,
        activity: Option<String>,
    ) -> Work<'_, Result<ToolRun, WorkspaceError>> {
        Box::pin(async move {
            let request = Request::Tool { tool, input, activity };
            let (sender, receiver) = connection::ask(&self.config, &self.folder, request).await?;
            // The supervisor ends the tool when it sees the connection's end, so both halves stay until it is done.
            let sender = Arc::new(Mutex::new(sender));
            let output = Relayed { receiver, error: None, _sender: Arc::clone(&sender) };
            let sink: Option<Box<dyn ToolSink>> =
                if input { Some(Box::new(RelayedSink(sender))) } else { None };
            Ok(ToolRun::new(Box::new(output), sink))
        })
    }

    /// Runs a tool that has nothing but a result.
    ///
    /// # Errors
    /// [`WorkspaceError::Tool`].
    pub(super) async fn tool_result<T: DeserializeOwned>(
        &self,
        tool: Tool,
        activity: Option<String>,
    ) -> Result<T, WorkspaceError> {
        Ok(self.tool(tool, false, activity).await?.done().await?)
    }
}

#[derive(Debug)]
struct Relayed {
    receiver: Receiver,
    error: Option<WorkspaceError>,
    _sender: Arc<Mutex<Sender>>,
}

#[async_trait]
impl ToolOutput for Relayed {
    async fn read(&mut self) -> Option<Vec<u8>> {
        loop {
            match self.receiver.next().await {
                Ok(Incoming::Bytes(Stream::Stdout, bytes)) => return Some(bytes),
                Ok(Incoming::Done(_)) => return None,
                Ok(_) => {}
                Err(error) => {
                    self.error = Some(error);
                    return None;
                }
            }
        }
    }

    async fn reason(&mut self) -> ToolError {
        match self.error.take() {
            Some(error) => ToolError::Elsewhere(Box::new(error)),
            None => ToolError::Protocol { reason: "records without a last one" },
        }
    }

    fn kill(&self) {
        // The connection's end does.
    }
}

#[derive(Debug)]
struct RelayedSink(Arc<Mutex<Sender>>);

#[async_trait]
impl ToolSink for RelayedSink {
    async fn write_all(&mut self, bytes: &[u8]) -> Result<(), GuestError> {
        self.0.lock().await.input(bytes).await.map_err(|_| GuestError::Closed)
    }

    async fn finish(self: Box<Self>) -> Result<(), GuestError> {
        self.0.lock().await.end_input().await.map_err(|_| GuestError::Closed)
    }
}
