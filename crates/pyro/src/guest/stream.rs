//! The two ends of a stream that a user of the library holds. Dropping one lets go of its direction.

use super::error::GuestError;
use super::shared::Shared;
use pyro_proto::StreamId;
use pyro_proto::frame::Kind;
use pyro_proto::limits::DATA_CHUNK_BYTES;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Receives a stream's bytes from the guest.
#[derive(Debug)]
pub struct StreamReader {
    pub(super) id: StreamId,
    pub(super) shared: Arc<Shared>,
}

impl StreamReader {
    /// The bytes that have arrived since the last call, waiting for at least one; `None` at the end of the stream. The
    /// guest may send more only as these are taken, so a slow caller slows the guest's program, and nothing else.
    pub async fn read(&mut self) -> Option<Vec<u8>> {
        loop {
            let notified = {
                let mut state = self.shared.lock();
                let stream = state.streams.get_mut(&self.id)?;
                if !stream.inbound.is_empty() {
                    let bytes = std::mem::take(&mut stream.inbound);
                    let grant = stream.receive.consume(bytes.len());
                    drop(state);
                    if let Some(grant) = grant {
                        self.shared.grant(self.id, grant);
                    }
                    return Some(bytes);
                }
                if stream.inbound_ended {
                    return None;
                }
                Arc::clone(&stream.readable)
            };
            notified.notified().await;
        }
    }
}

impl Drop for StreamReader {
    fn drop(&mut self) {
        let mut grant = None;
        if let Some(stream) = self.shared.lock().streams.get_mut(&self.id) {
            stream.reader_alive = false;
            // What was not read counts as read: the guest's program must not wait for a reader who has gone.
            let unread = std::mem::take(&mut stream.inbound);
            grant = stream.receive.consume(unread.len());
        }
        if let Some(grant) = grant {
            self.shared.grant(self.id, grant);
        }
        self.shared.collect(self.id);
    }
}

/// What it means when a writer is dropped before it was finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dropped {
    /// The input of a command is over.
    Ends,
    /// A connection is given up.
    Resets,
}

/// Sends a stream's bytes to the guest. End it with [`Self::finish`]; dropping it unfinished tells the guest to give up on
/// what it has not read yet, or, when it is half of a connection, resets that.
#[derive(Debug)]
pub struct StreamWriter {
    pub(super) dropped: Dropped,
    pub(super) id: StreamId,
    pub(super) shared: Arc<Shared>,
    pub(super) data: mpsc::Sender<Vec<u8>>,
    pub(super) ended: bool,
}

impl StreamWriter {
    /// Sends all of `bytes`, waiting for the guest's program to take them.
    ///
    /// # Errors
    /// [`GuestError::Closed`] when the program no longer reads, or the channel's own error.
    pub async fn write_all(&mut self, mut bytes: &[u8]) -> Result<(), GuestError> {
        while !bytes.is_empty() {
            let size = self.slot().await?.send(bytes);
            bytes = &bytes[size..];
        }
        Ok(())
    }

    /// Waits until something can be sent. May be given up: nothing is sent by that.
    ///
    /// # Errors
    /// As [`Self::write_all`].
    pub(crate) async fn slot(&self) -> Result<Slot<'_>, GuestError> {
        self.credit().await?;
        let permit = self.data.reserve().await.map_err(|_| GuestError::Closed)?;
        Ok(Slot { writer: self, permit })
    }

    /// Tells the guest's program that nothing more will come.
    ///
    /// # Errors
    /// [`GuestError::Closed`] when the channel is gone.
    pub async fn finish(mut self) -> Result<(), GuestError> {
        self.ended = true;
        let mut frame = Vec::new();
        pyro_proto::frame::encode(&mut frame, self.id, Kind::Eof, &[]);
        self.data.send(frame).await.map_err(|_| GuestError::Closed)
    }

    /// Waits for credit.
    async fn credit(&self) -> Result<(), GuestError> {
        loop {
            let notified = {
                let mut state = self.shared.lock();
                if let Some(error) = &state.closed {
                    return Err(error.clone());
                }
                let stream = state.streams.get_mut(&self.id).ok_or(GuestError::Closed)?;
                if stream.reset.is_some() {
                    return Err(GuestError::Closed);
                }
                if stream.send.available() > 0 {
                    return Ok(());
                }
                Arc::clone(&stream.writable)
            };
            notified.notified().await;
        }
    }
}

/// A place on the channel, for one piece of a stream.
#[derive(Debug)]
pub(crate) struct Slot<'a> {
    writer: &'a StreamWriter,
    permit: mpsc::Permit<'a, Vec<u8>>,
}

impl Slot<'_> {
    /// Sends as much of the beginning of `bytes` as one piece may hold and the guest has room for; how much that is.
    pub(crate) fn send(self, bytes: &[u8]) -> usize {
        let Self { writer, permit } = self;
        let size = {
            let mut state = writer.shared.lock();
            let Some(stream) = state.streams.get_mut(&writer.id) else { return 0 };
            let size = bytes.len().min(DATA_CHUNK_BYTES).min(stream.send.available());
            stream.send.spend(size);
            size
        };
        if size > 0 {
            let mut frame = Vec::new();
            pyro_proto::frame::encode(&mut frame, writer.id, Kind::Data, &bytes[..size]);
            permit.send(frame);
        }
        size
    }
}

impl Drop for StreamWriter {
    fn drop(&mut self) {
        if let Some(stream) = self.shared.lock().streams.get_mut(&self.id) {
            stream.writer_alive = false;
        }
        if !self.ended && self.dropped == Dropped::Resets {
            return self.shared.reset_stream(self.id);
        }
        if !self.ended {
            // Ahead of whatever data is still queued, which nobody will miss: the stream's user gave up.
            self.shared.send_frame(self.id, Kind::Eof, &[]);
        }
        self.shared.collect(self.id);
    }
}
