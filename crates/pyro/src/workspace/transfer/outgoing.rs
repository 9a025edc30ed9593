//! A tree on its way into the guest: encoded on a thread, passed on as fast as the guest takes it. This file must not know
//! where the tree comes from.

use super::Moved;
use crate::code::Coded;
use crate::guest::ToolError;
use crate::guest::ToolRun;
use crate::tree::Encoder;
use crate::tree::Stop;
use crate::workspace::error::WorkspaceError;
use crate::workspace::handle::Workspace;
use pyro_proto::ByteString;
use pyro_proto::tool::ReceiveDone;
use pyro_proto::tool::Tool;
use pyro_proto::tree::Entry;
use pyro_proto::tree::Record;
use std::io;
use tokio::sync::mpsc;

/// Chunks that are encoded ahead of the guest.
const CHUNKS_AHEAD: usize = 8;

/// The document at the end of what is sent.
const DONE: &[u8] = b"{}";

/// Any error of whoever reads a tree on the host.
pub(super) type SourceError = Box<dyn Coded + Send + Sync>;

/// Told how a file lies in the guest. What a guest says may be anything, and as much of it as it likes.
pub(super) type Landed<'a> = &'a mut (dyn FnMut(Entry) + Send);

/// Where a tree goes, and how.
pub(super) struct Destination {
    /// An absolute guest path.
    pub(super) root: Vec<u8>,
    /// Nothing changes unless all of it arrives.
    pub(super) staged: bool,
    /// What the audit says.
    pub(super) activity: String,
}

impl Workspace {
    /// Sends what `encode` writes. Its report, and the guest's. With `landed`, the guest says how the files lie there in the end.
    pub(super) async fn send_tree<R: Send + 'static>(
        &self,
        to: Destination,
        encode: impl FnOnce(&mut Encoder<'_>) -> Result<R, SourceError> + Send + 'static,
        moved: Moved<'_>,
        landed: Option<Landed<'_>>,
    ) -> Result<(R, ReceiveDone), WorkspaceError> {
        let receive =
            Tool::Receive { root: ByteString(to.root), staged: to.staged, report: landed.is_some() };
        let mut run = self.tool(receive, true, Some(to.activity)).await?;
        let (sender, chunks) = mpsc::channel::<Vec<u8>>(CHUNKS_AHEAD);
        let reading = tokio::task::spawn_blocking(move || {
            let mut sink = |bytes| sender.blocking_send(bytes).map_err(|_| Stop);
            let mut encoder = Encoder::new(&mut sink);
            let report = encode(&mut encoder)?;
            // A guest that takes no more says why on its own stream.
            let _ = encoder.done(DONE);
            Ok::<R, SourceError>(report)
        });
        let (whole, taken) = stream(&mut run, chunks, moved, landed).await;
        let report = reading.await.unwrap_or_else(|error| Err(Box::new(Panicked(io::Error::other(error)))));
        match (report, taken) {
            // The guest was told less than everything, and says no more than that.
            (Err(error), _) if whole => Err(WorkspaceError::Source(error)),
            (_, Err(error)) => Err(error.into()),
            (Err(error), Ok(())) => Err(WorkspaceError::Source(error)),
            (Ok(report), Ok(())) => Ok((report, run.done::<ReceiveDone>().await?)),
        }
    }
}

/// Sends chunks until there are no more, and takes what the guest answers meanwhile. Whether it took all of them, and what it
/// made of them.
async fn stream(
    run: &mut ToolRun,
    mut chunks: mpsc::Receiver<Vec<u8>>,
    moved: Moved<'_>,
    mut landed: Option<Landed<'_>>,
) -> (bool, Result<(), ToolError>) {
    let input = run.take_input();
    let send = async move {
        let Some(mut input) = input else { return false };
        let mut sent = 0;
        while let Some(chunk) = chunks.recv().await {
            if input.send_bytes(&chunk).await.is_err() {
                return false;
            }
            sent += chunk.len() as u64;
            moved(sent);
        }
        input.finish().await.is_ok()
    };
    let receive = async {
        while let Some(record) = run.next().await? {
            if let (Record::Entry(entry), Some(landed)) = (record, &mut landed) {
                landed(entry);
            }
        }
        Ok(())
    };
    tokio::join!(send, receive)
}

/// The thread that read a tree ended badly.
#[derive(Debug, thiserror::Error)]
#[error("reading the files")]
struct Panicked(#[source] io::Error);

impl Coded for Panicked {
    fn code(&self) -> &'static str {
        crate::code::HOST_FAILED
    }

    fn hints(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A tool's error is the guest's word for it.
impl From<ToolError> for SourceError {
    fn from(error: ToolError) -> Self {
        Box::new(error)
    }
}
