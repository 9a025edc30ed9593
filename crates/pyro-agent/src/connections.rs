//! All connections to what listens in the guest: opened for the host, fed, closed. This file must not move their bytes.

use crate::agent::Agent;
use crate::agent::Lane;
use crate::connection::Connection;
use crate::connection::Opening;
use crate::poll::ConnectionId;
use crate::poll::Readiness;
use crate::poll::Token;
use crate::refusal::refuse;
use crate::refusal::refuse_errno;
use pyro_proto::Frame;
use pyro_proto::Kind;
use pyro_proto::StreamId;
use pyro_proto::connect::ConnectSpec;
use pyro_proto::credit::CreditError;
use pyro_proto::frame::CONTROL;
use pyro_proto::limits::CONNECTIONS_MAX;
use pyro_proto::message::ErrorCode;
use pyro_proto::message::ReplyBody;
use pyro_proto::message::RequestId;
use pyro_proto::message::WireError;
use rustix::io::Errno;
use std::collections::BTreeMap;

/// Most connections whose window has grown at once: each may be that much of this process's memory.
const WIDE_MAX: usize = 8;

/// Every connection that is not over.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    all: BTreeMap<ConnectionId, Connection>,
    by_stream: BTreeMap<StreamId, ConnectionId>,
    /// How many have a window that has grown.
    wide: usize,
    numbered: ConnectionId,
}

impl Connections {
    pub(crate) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.all.get_mut(&id)
    }

    /// The connection that a stream belongs to.
    pub(crate) fn of_stream(&self, stream: StreamId) -> Option<ConnectionId> {
        self.by_stream.get(&stream).copied()
    }

    fn insert(&mut self, connection: Connection) -> ConnectionId {
        self.numbered += 1;
        self.by_stream.insert(connection.stream, self.numbered);
        self.all.insert(self.numbered, connection);
        self.numbered
    }

    fn remove(&mut self, id: ConnectionId) -> Option<Connection> {
        let connection = self.all.remove(&id)?;
        self.by_stream.remove(&connection.stream);
        self.wide -= usize::from(connection.is_wide());
        Some(connection)
    }

    /// The host is gone: the other end of each shall not take that for an ordinary end.
    pub(crate) fn abort_all(&mut self) {
        self.by_stream.clear();
        self.wide = 0;
        std::mem::take(&mut self.all).into_values().for_each(Connection::abort);
    }
}

impl Agent {
    /// Begins to open a connection.
    pub(crate) fn connect(&mut self, request: RequestId, spec: &ConnectSpec) -> Result<(), WireError> {
        if self.stillness.is_shutting_down() {
            return Err(refuse(ErrorCode::Quiesced, "the guest is shutting down"));
        }
        let stream = spec.stream;
        let in_use = self.connections.of_stream(stream).is_some() || self.jobs.of_stream(stream).is_some();
        if stream == CONTROL || in_use {
            return Err(refuse(ErrorCode::BadRequest, format!("the stream {stream} is in use")));
        }
        if self.connections.all.len() >= CONNECTIONS_MAX {
            let text = format!("{CONNECTIONS_MAX} connections are open already");
            return Err(refuse(ErrorCode::LimitReached, text));
        }
        let id = self.connections.insert(Connection::begin(request, stream, &spec.to)?);
        if let Err(error) = self.watch_connection(id) {
            self.connections.remove(id);
            return Err(error);
        }
        self.connection_changed(id);
        Ok(())
    }

    fn watch_connection(&self, id: ConnectionId) -> Result<(), WireError> {
        let Some(connection) = self.connections.all.get(&id) else { return Ok(()) };
        self.poller
            .add(connection.socket(), Token::Connection(id))
            .map_err(|errno| refuse_errno(ErrorCode::LimitReached, "watching a connection", errno))
    }

    /// The kernel has news of a connection's socket.
    pub(crate) fn connection_event(&mut self, id: ConnectionId, event: &Readiness) {
        if self.session.is_quiesced() {
            // Nothing is said until the guest goes on; then every connection is looked at.
            return;
        }
        let Some(connection) = self.connections.get_mut(id) else { return };
        if event.readable {
            connection.note_readable();
        }
        if connection.is_opening() && event.writable && !self.open_further(id) {
            return;
        }
        self.connection_changed(id);
    }

    /// Makes up for the events that were not acted on while the guest was at rest.
    pub(crate) fn look_at_all_connections(&mut self) {
        let ids: Vec<ConnectionId> = self.connections.all.keys().copied().collect();
        for id in ids {
            self.connection_event(
                id,
                &Readiness { token: Token::Connection(id), readable: true, writable: true },
            );
        }
    }

    /// Goes on with opening; false when that has failed.
    fn open_further(&mut self, id: ConnectionId) -> bool {
        let Some(connection) = self.connections.get_mut(id) else { return false };
        let opened = match connection.advance() {
            Ok(Opening::Another) => self.watch_connection(id),
            Ok(Opening::Pending | Opening::Open) => Ok(()),
            Err(error) => Err(error),
        };
        let Err(error) = opened else { return true };
        let request = self.connections.remove(id).and_then(|connection| connection.request);
        if let Some(request) = request {
            self.answer(request, Err(error));
        }
        false
    }

    /// Does everything that a change of a connection makes possible.
    pub(crate) fn connection_changed(&mut self, id: ConnectionId) {
        let may_widen = self.connections.wide < WIDE_MAX;
        let Some(connection) = self.connections.get_mut(id).filter(|found| !found.is_opening()) else {
            return;
        };
        let (stream, asked) = (connection.stream, connection.request.take());
        let was_wide = connection.is_wide();
        let pumped = connection.pump(may_widen);
        let widened = connection.is_wide() && !was_wide;
        self.connections.wide += usize::from(widened);
        if let Some(request) = asked {
            self.say(request, ReplyBody::Connected);
        }
        if let Some(errno) = pumped.broken {
            return self.connection_broke(id, errno);
        }
        if let Some(bytes) = pumped.grant {
            self.channel.send_credit(stream, bytes);
        }
        self.want_connection_turn(id);
        if self.connections.get_mut(id).is_some_and(|connection| connection.is_over()) {
            self.connections.remove(id);
        }
    }

    /// Queues a connection for a turn if one is worth taking.
    pub(crate) fn want_connection_turn(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if !connection.queued && connection.is_ready() {
            connection.queued = true;
            self.turns.push_back(Lane::Connection(id));
        }
    }

    /// Moves one chunk of a connection to the host.
    pub(crate) fn take_connection_turn(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.queued = false;
        match connection.turn(&mut self.channel, &mut self.scratch) {
            Ok(_) => self.connection_changed(id),
            Err(errno) => self.connection_broke(id, errno),
        }
    }

    /// The other end has gone without having ended.
    fn connection_broke(&mut self, id: ConnectionId, errno: Errno) {
        if let Some(connection) = self.connections.remove(id) {
            self.channel.send_reset(connection.stream, &std::io::Error::from(errno).to_string());
        }
    }

    /// Takes a frame of a connection's stream.
    pub(crate) fn connection_frame(&mut self, id: ConnectionId, frame: &Frame) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let taken = match frame.kind {
            Kind::Data => connection.receive(&frame.payload),
            Kind::Credit => frame.credit_bytes().map_or(Ok(()), |bytes| connection.grant(bytes)),
            Kind::Eof => {
                connection.end_input();
                Ok(())
            }
            Kind::Reset => return self.give_connection_up(id, None),
            Kind::Control => Ok(()),
        };
        match taken {
            Ok(()) if self.session.is_quiesced() => {}
            Ok(()) => self.connection_changed(id),
            Err(error) => self.give_connection_up(id, Some(&error)),
        }
    }

    /// The host does not want it any more, or has broken the rules.
    fn give_connection_up(&mut self, id: ConnectionId, error: Option<&CreditError>) {
        let Some(connection) = self.connections.remove(id) else { return };
        if let Some(request) = connection.request {
            self.answer(request, Err(refuse(ErrorCode::NoSuchJob, "the connection was given up")));
        } else if let Some(error) = error {
            self.channel.send_reset(connection.stream, &error.to_string());
        }
        connection.abort();
    }
}
