//! The state that a channel's two tasks and all its users share: streams and open requests. Every lock here is held for a
//! few instructions and never across an await.

use super::error::GuestError;
use pyro_proto::ReceiveWindow;
use pyro_proto::SendWindow;
use pyro_proto::StreamId;
use pyro_proto::exec::ExecExit;
use pyro_proto::frame;
use pyro_proto::frame::Frame;
use pyro_proto::frame::Kind;
use pyro_proto::message::Reply;
use pyro_proto::message::ReplyBody;
use pyro_proto::message::RequestId;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use tokio::sync::Notify;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::sync::watch;

/// Most lines of a guest's own log that are kept.
const LOG_LINES_MAX: usize = 64;

/// Most bytes of a guest's reason for a reset that are kept.
const RESET_BYTES_MAX: usize = 256;

/// One stream's host side.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Bytes that arrived and were not read; never more than the credit granted.
    pub(super) inbound: Vec<u8>,
    pub(super) inbound_ended: bool,
    pub(super) receive: ReceiveWindow,
    pub(super) send: SendWindow,
    /// Why the guest gave up on it in both directions, once it has.
    pub(super) reset: Option<String>,
    /// The stream's reader or writer handle still exists.
    pub(super) reader_alive: bool,
    pub(super) writer_alive: bool,
    pub(super) readable: Arc<Notify>,
    pub(super) writable: Arc<Notify>,
}

impl Stream {
    const fn finished(&self) -> bool {
        !self.reader_alive && !self.writer_alive && (self.inbound_ended || self.reset.is_some())
    }
}

/// What is queued for the channel ahead of data.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// A frame.
    Frame(Vec<u8>),
    /// A frame behind which nothing is sent until [`Shared::go_on`].
    Last(Vec<u8>),
}

/// Who waits for the answer to a request.
#[derive(Debug)]
pub(super) enum Pending {
    /// One answer.
    Once(oneshot::Sender<Result<ReplyBody, GuestError>>),
    /// A start, then an end.
    Exec {
        /// Its input; nobody reads it once the job is over.
        stream: StreamId,
        started: Option<oneshot::Sender<Result<u32, GuestError>>>,
        exited: oneshot::Sender<Result<ExecExit, GuestError>>,
    },
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) streams: HashMap<StreamId, Stream>,
    pub(super) pending: HashMap<RequestId, Pending>,
    pub(super) closed: Option<GuestError>,
    pub(super) log: Vec<String>,
    /// Connections with a large window.
    pub(super) wide: usize,
    next_request: RequestId,
    next_stream: StreamId,
}

impl State {
    /// Nobody in the guest reads or writes this stream any more. Whoever waits for room in it waits no longer.
    fn end_stream(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.inbound_ended = true;
            stream.reset.get_or_insert_default();
            stream.readable.notify_one();
            stream.writable.notify_one();
        }
    }
}

/// Shared by a channel's tasks and handles.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    control: mpsc::UnboundedSender<Outgoing>,
    /// What is sent although the guest stands still.
    ahead: mpsc::UnboundedSender<Vec<u8>>,
    pub(super) closed: watch::Sender<bool>,
}

impl Shared {
    pub(super) fn new(
        control: mpsc::UnboundedSender<Outgoing>,
        ahead: mpsc::UnboundedSender<Vec<u8>>,
    ) -> Self {
        Self { state: Mutex::new(State::default()), control, ahead, closed: watch::channel(false).0 }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a frame ahead of all data. Control frames are few and small: one per request, one per half window read.
    pub(super) fn send_frame(&self, stream: StreamId, kind: Kind, payload: &[u8]) {
        let mut bytes = Vec::new();
        frame::encode(&mut bytes, stream, kind, payload);
        // A send to a writer that has ended is a send to a closed channel, which every waiter learns from `closed`.
        let _ = self.control.send(Outgoing::Frame(bytes));
    }

    /// Queues a message behind which everything else waits until [`Self::go_on`].
    pub(super) fn send_last(&self, payload: &[u8]) {
        let mut bytes = Vec::new();
        frame::encode(&mut bytes, frame::CONTROL, Kind::Control, payload);
        let _ = self.control.send(Outgoing::Last(bytes));
    }

    /// Sends a message, if there is one, and then everything that waits.
    pub(super) fn go_on(&self, payload: Option<&[u8]>) {
        let mut bytes = Vec::new();
        if let Some(payload) = payload {
            frame::encode(&mut bytes, frame::CONTROL, Kind::Control, payload);
        }
        let _ = self.ahead.send(bytes);
    }

    /// Gives every waiter the reason and accepts nothing new. The first reason stays.
    pub(super) fn close(&self, reason: GuestError) {
        let mut state = self.lock();
        let reason = state.closed.get_or_insert(reason).clone();
        for (_, pending) in state.pending.drain() {
            fail(pending, &reason);
        }
        for stream in state.streams.values_mut() {
            stream.inbound_ended = true;
            stream.readable.notify_waiters();
            stream.readable.notify_one();
            stream.writable.notify_waiters();
            stream.writable.notify_one();
        }
        drop(state);
        self.closed.send_replace(true);
    }

    pub(super) fn next_request(&self) -> RequestId {
        let mut state = self.lock();
        state.next_request += 1;
        state.next_request
    }

    /// Opens a stream's host side and returns its number.
    pub(super) fn open_stream(&self, reader: bool, writer: bool) -> StreamId {
        self.add_stream(Stream { reader_alive: reader, writer_alive: writer, ..Stream::default() })
    }

    /// Opens the host side of a stream of a job that another host began, on which nothing may be sent yet.
    pub(super) fn open_taken_over(&self, reader: bool, writer: bool) -> StreamId {
        let send = SendWindow::of(0);
        self.add_stream(Stream { reader_alive: reader, writer_alive: writer, send, ..Stream::default() })
    }

    /// Opens the host side of a stream for a connection, with these windows, and returns its number.
    pub(super) fn open_connection(&self, (receive, send): (ReceiveWindow, SendWindow)) -> StreamId {
        self.add_stream(Stream { reader_alive: true, writer_alive: true, receive, send, ..Stream::default() })
    }

    fn add_stream(&self, stream: Stream) -> StreamId {
        let mut state = self.lock();
        state.next_stream += 1;
        let id = state.next_stream;
        state.streams.insert(id, stream);
        id
    }

    /// Forgets a stream, whoever uses it still.
    pub(super) fn forget_stream(&self, id: StreamId) -> Option<Stream> {
        let stream = self.lock().streams.remove(&id)?;
        stream.readable.notify_one();
        stream.writable.notify_one();
        Some(stream)
    }

    /// Forgets a stream once nobody on either side will use it again.
    pub(super) fn collect(&self, id: StreamId) {
        let mut state = self.lock();
        if state.streams.get(&id).is_some_and(Stream::finished) {
            state.streams.remove(&id);
        }
    }

    /// Takes a frame from the guest.
    pub(super) fn receive(&self, frame: &Frame) -> Result<(), GuestError> {
        let mut state = self.lock();
        // A frame for a stream that this side has closed is a matter of timing, not a fault.
        let Some(stream) = state.streams.get_mut(&frame.stream) else { return Ok(()) };
        match frame.kind {
            Kind::Control => {}
            Kind::Data => {
                let size = frame.payload.len();
                stream.receive.receive(size).map_err(protocol)?;
                if stream.inbound_ended {
                    return Err(protocol("data after the end of a stream"));
                }
                if stream.reader_alive {
                    stream.inbound.extend_from_slice(&frame.payload);
                    stream.readable.notify_one();
                } else if let Some(grant) = stream.receive.consume(size) {
                    // Nobody reads any more: swallow it, so that the guest's program is not held up.
                    drop(state);
                    self.grant(frame.stream, grant);
                }
            }
            Kind::Eof | Kind::Reset => {
                stream.inbound_ended = true;
                if frame.kind == Kind::Reset {
                    let reason = &frame.payload[..frame.payload.len().min(RESET_BYTES_MAX)];
                    stream.reset = Some(String::from_utf8_lossy(reason).into_owned());
                }
                stream.readable.notify_one();
                stream.writable.notify_one();
                drop(state);
                self.collect(frame.stream);
            }
            Kind::Credit => {
                let bytes = frame.credit_bytes().ok_or_else(|| protocol("a malformed credit frame"))?;
                stream.send.grant(bytes).map_err(protocol)?;
                stream.writable.notify_one();
            }
        }
        Ok(())
    }

    pub(super) fn grant(&self, stream: StreamId, bytes: u32) {
        self.send_frame(stream, Kind::Credit, &bytes.to_le_bytes());
    }

    /// Takes a message from the guest.
    pub(super) fn receive_reply(&self, reply: Reply) -> Result<(), GuestError> {
        let mut state = self.lock();
        if let ReplyBody::Log { text } = reply.body {
            if state.log.len() < LOG_LINES_MAX {
                state.log.push(text);
            }
            return Ok(());
        }
        // An answer to a request that was given up is a matter of timing.
        let Some(pending) = state.pending.remove(&reply.request) else { return Ok(()) };
        match (pending, reply.body) {
            (Pending::Exec { stream, started: Some(started), exited }, ReplyBody::Started { pid }) => {
                let _ = started.send(Ok(pid));
                state.pending.insert(reply.request, Pending::Exec { stream, started: None, exited });
                Ok(())
            }
            (Pending::Exec { stream, started: None, exited }, ReplyBody::Exited(exit)) => {
                state.end_stream(stream);
                let _ = exited.send(Ok(exit));
                drop(state);
                self.collect(stream);
                Ok(())
            }
            (pending, ReplyBody::Failed(error)) => {
                if let Pending::Exec { stream, .. } = &pending {
                    state.end_stream(*stream);
                }
                fail(pending, &GuestError::Refused(error));
                Ok(())
            }
            (Pending::Once(answer), body) => {
                let _ = answer.send(Ok(body));
                Ok(())
            }
            (pending, _) => {
                let error = protocol("an answer of the wrong kind");
                fail(pending, &error);
                Err(error)
            }
        }
    }
}

fn fail(pending: Pending, reason: &GuestError) {
    match pending {
        Pending::Once(answer) => drop(answer.send(Err(reason.clone()))),
        Pending::Exec { started, exited, .. } => {
            if let Some(started) = started {
                let _ = started.send(Err(reason.clone()));
            }
            let _ = exited.send(Err(reason.clone()));
        }
    }
}

pub(super) fn protocol(reason: impl std::fmt::Display) -> GuestError {
    GuestError::Protocol { reason: format!("{reason}") }
}
