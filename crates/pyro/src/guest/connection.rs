//! A connection to something that listens in the guest, as two halves of bytes. This file must not know what is said on it.
//!
//! It ends as a TCP connection does: each direction by itself, with [`StreamWriter::finish`] and with `None` from
//! [`ConnectionReader::read`]. A half that is dropped before its direction has ended resets the connection, which the
//! server in the guest sees.

use super::client::send_request;
use super::error::GuestError;
use super::shared::Pending;
use super::shared::Shared;
use super::stream::Dropped;
use super::stream::StreamWriter;
use pyro_proto::ReceiveWindow;
use pyro_proto::SendWindow;
use pyro_proto::StreamId;
use pyro_proto::connect::ConnectSpec;
use pyro_proto::connect::Endpoint;
use pyro_proto::frame::Kind;
use pyro_proto::limits::CONNECTION_CREDIT_BYTES;
use pyro_proto::message::ReplyBody;
use pyro_proto::message::RequestBody;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::sync::mpsc;
use tokio::sync::oneshot;

/// What the window of a connection grows to once it is used, in bytes.
const WIDE_BYTES: u32 = 1024 * 1024;

/// Most connections of one guest whose window is that large at once: each may be that much of this process's memory.
const WIDE_MAX: usize = 16;

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    /// What comes from the guest.
    pub reader: ConnectionReader,
    /// What goes to it.
    pub writer: StreamWriter,
}

/// The half that comes from the guest.
#[derive(Debug)]
pub struct ConnectionReader {
    id: StreamId,
    shared: Arc<Shared>,
    /// Bytes that were handed out and not granted again.
    out: usize,
    /// Bytes read since it was opened, as far as they matter.
    total: u64,
    wide: bool,
    ended: bool,
}

/// What there is to read.
enum Found {
    Bytes(Vec<u8>),
    Nothing(Arc<Notify>),
    /// There will be no more, and why, unless it ended as it should.
    End(Option<GuestError>),
}

/// Begins to open a connection; a future that is dropped gives it up.
pub(super) fn open(
    shared: &Arc<Shared>,
    data: &mpsc::Sender<Vec<u8>>,
    to: Endpoint,
) -> impl Future<Output = Result<Connection, GuestError>> + Send + use<> {
    let windows = (ReceiveWindow::of(CONNECTION_CREDIT_BYTES), SendWindow::of(CONNECTION_CREDIT_BYTES));
    let id = shared.open_connection(windows);
    let reader =
        ConnectionReader { id, shared: Arc::clone(shared), out: 0, total: 0, wide: false, ended: false };
    let writer = StreamWriter {
        id,
        shared: Arc::clone(shared),
        data: data.clone(),
        ended: false,
        dropped: Dropped::Resets,
    };
    let connection = Connection { reader, writer };
    let (sender, answer) = oneshot::channel();
    let body = RequestBody::Connect(ConnectSpec { stream: id, to });
    let sent = send_request(shared, shared.next_request(), body, Pending::Once(sender));
    let shared = Arc::clone(shared);
    async move {
        let answered = match sent {
            Ok(()) => answer.await.unwrap_or_else(|_| Err(shared.closed_reason())),
            Err(error) => Err(error),
        };
        match answered {
            Ok(ReplyBody::Connected) => Ok(connection),
            Ok(_) => Err(super::shared::protocol("a connect was answered with something else")),
            Err(error) => {
                // The guest knows nothing of it, so there is nobody to tell.
                shared.forget_stream(id);
                Err(error)
            }
        }
    }
}

impl ConnectionReader {
    /// The bytes that have arrived, waiting for at least one; `None` at the end. What was handed out counts as read when this
    /// is called again: a caller that passes bytes on first holds the guest's program up, and at most a window of bytes.
    /// May be given up.
    ///
    /// # Errors
    /// [`GuestError::Reset`] when the other end gave up, or the channel's own.
    pub async fn read(&mut self) -> Result<Option<Vec<u8>>, GuestError> {
        self.grant();
        loop {
            match self.look() {
                Found::Bytes(bytes) => {
                    self.out = bytes.len();
                    return Ok(Some(bytes));
                }
                Found::Nothing(more) => more.notified().await,
                Found::End(error) => {
                    self.ended = true;
                    return error.map_or(Ok(None), Err);
                }
            }
        }
    }

    fn look(&self) -> Found {
        let mut state = self.shared.lock();
        let closed = state.closed.clone();
        let Some(stream) = state.streams.get_mut(&self.id) else {
            // The other half was dropped.
            return Found::End(Some(GuestError::Closed));
        };
        if !stream.inbound.is_empty() {
            return Found::Bytes(std::mem::take(&mut stream.inbound));
        }
        let reset = stream.reset.clone().map(|reason| GuestError::Reset { reason });
        match reset.or(closed) {
            Some(error) => Found::End(Some(error)),
            None if stream.inbound_ended => Found::End(None),
            None => Found::Nothing(Arc::clone(&stream.readable)),
        }
    }

    /// Grants again what was handed out; more than that once a whole window has gone through.
    fn grant(&mut self) {
        let bytes = std::mem::take(&mut self.out);
        if bytes == 0 {
            return;
        }
        self.total = self.total.saturating_add(bytes as u64);
        let mut state = self.shared.lock();
        let widen = !self.wide && self.total > u64::from(CONNECTION_CREDIT_BYTES) && state.wide < WIDE_MAX;
        if widen {
            (self.wide, state.wide) = (true, state.wide + 1);
        }
        let Some(stream) = state.streams.get_mut(&self.id) else { return };
        let mut grant = stream.receive.consume(bytes).unwrap_or_default();
        if widen {
            grant += stream.receive.widen(WIDE_BYTES - CONNECTION_CREDIT_BYTES);
        }
        drop(state);
        if grant > 0 {
            self.shared.grant(self.id, grant);
        }
    }
}

impl Drop for ConnectionReader {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if self.wide {
            state.wide -= 1;
        }
        if let Some(stream) = state.streams.get_mut(&self.id) {
            stream.reader_alive = false;
        }
        drop(state);
        if self.ended {
            self.shared.collect(self.id);
        } else {
            self.shared.reset_stream(self.id);
        }
    }
}

impl Shared {
    fn closed_reason(&self) -> GuestError {
        self.lock().closed.clone().unwrap_or(GuestError::Closed)
    }

    /// Gives a stream up in both directions; what is still queued for it is dropped in the guest. Does nothing the second time.
    pub(super) fn reset_stream(&self, id: StreamId) {
        let Some(stream) = self.forget_stream(id) else { return };
        if stream.reset.is_none() {
            self.send_frame(id, Kind::Reset, &[]);
        }
    }
}
