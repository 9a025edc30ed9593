//! One connection to what listens in the guest: opened without waiting, its bytes moved as far as credit and the other end
//! allow. This file must not talk to the host but through the channel it is lent.
//!
//! ```text
//!   opening --an address answered--> open --both directions ended--> over
//!      \--none did--> refused          \--either side gave up--> over (reset)
//! ```

use crate::channel::Channel;
use crate::output::Turn;
use crate::refusal::refuse;
use crate::refusal::refuse_errno;
use pyro_proto::ReceiveWindow;
use pyro_proto::SendWindow;
use pyro_proto::StreamId;
use pyro_proto::connect::Endpoint;
use pyro_proto::credit::CreditError;
use pyro_proto::limits::CONNECTION_CREDIT_BYTES;
use pyro_proto::limits::DATA_CHUNK_BYTES;
use pyro_proto::message::ErrorCode;
use pyro_proto::message::RequestId;
use pyro_proto::message::WireError;
use rustix::io::Errno;
use rustix::net::AddressFamily;
use rustix::net::SendFlags;
use rustix::net::Shutdown;
use rustix::net::SocketAddrUnix;
use rustix::net::SocketFlags;
use rustix::net::SocketType;
use rustix::net::sockopt;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// What the window of a connection grows to once the other end takes bytes as they come, in bytes.
const WIDE_BYTES: u32 = 1024 * 1024;

/// Somewhere to connect to.
#[derive(Clone, Debug)]
enum Address {
    Tcp(SocketAddr),
    Unix(SocketAddrUnix),
}

/// How far opening is.
#[derive(Debug)]
pub(crate) enum Opening {
    /// Nothing is known yet.
    Pending,
    /// Another socket is there, to be watched; nothing is known of it yet.
    Another,
    /// It is open since just now, or has been for a while.
    Open,
}

/// What the other end made of bytes.
#[derive(Debug, Default)]
pub(crate) struct Pumped {
    /// Credit to grant back.
    pub(crate) grant: Option<u32>,
    /// It takes no more, and why.
    pub(crate) broken: Option<Errno>,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: StreamId,
    /// Who asked, until that is answered.
    pub(crate) request: Option<RequestId>,
    /// Whether it waits for its turn already.
    pub(crate) queued: bool,
    name: String,
    socket: OwnedFd,
    /// Addresses that were not tried yet.
    others: VecDeque<Address>,
    open: bool,
    /// From the host to the other end.
    receive: ReceiveWindow,
    /// Bytes that the other end took, as far as they matter.
    total: u64,
    pending: Vec<u8>,
    taken: usize,
    input_ended: bool,
    shut: bool,
    /// From the other end to the host.
    send: SendWindow,
    readable: bool,
    output_ended: bool,
}

impl Connection {
    /// Begins to open one.
    pub(crate) fn begin(request: RequestId, stream: StreamId, to: &Endpoint) -> Result<Self, WireError> {
        let name = name(to);
        let mut others = addresses(to)?;
        let (socket, open) = first_that_may_work(&name, &mut others, Errno::ADDRNOTAVAIL)?;
        Ok(Self {
            stream,
            request: Some(request),
            queued: false,
            name,
            socket,
            others,
            open,
            receive: ReceiveWindow::of(CONNECTION_CREDIT_BYTES),
            total: 0,
            pending: Vec::new(),
            taken: 0,
            input_ended: false,
            shut: false,
            send: SendWindow::of(CONNECTION_CREDIT_BYTES),
            readable: true,
            output_ended: false,
        })
    }

    /// The socket, to be watched.
    pub(crate) const fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Whether opening it has not ended.
    pub(crate) const fn is_opening(&self) -> bool {
        !self.open
    }

    /// The kernel has news of a socket that was being connected.
    pub(crate) fn advance(&mut self) -> Result<Opening, WireError> {
        if self.open {
            return Ok(Opening::Open);
        }
        let errno = match sockopt::socket_error(&self.socket) {
            Ok(Ok(())) if rustix::net::getpeername(&self.socket).is_err() => return Ok(Opening::Pending),
            Ok(Ok(())) => {
                self.open = true;
                return Ok(Opening::Open);
            }
            Ok(Err(errno)) | Err(errno) => errno,
        };
        if errno == Errno::CONNRESET {
            // Something listens there, and has given up already.
            self.others.clear();
        }
        (self.socket, self.open) = first_that_may_work(&self.name, &mut self.others, errno)?;
        Ok(Opening::Another)
    }

    /// Notes that the kernel has something to read.
    pub(crate) const fn note_readable(&mut self) {
        self.readable = true;
    }

    /// Whether a turn is worth taking.
    pub(crate) const fn is_ready(&self) -> bool {
        self.open && self.readable && !self.output_ended && self.send.available() > 0
    }

    /// Whether nothing will travel any more.
    pub(crate) const fn is_over(&self) -> bool {
        self.output_ended && self.shut
    }

    /// The host granted credit.
    pub(crate) fn grant(&mut self, bytes: u32) -> Result<(), CreditError> {
        self.send.grant(bytes)
    }

    /// Takes bytes from the host.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Result<(), CreditError> {
        self.receive.receive(bytes.len())?;
        if !self.input_ended {
            self.pending.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// The host will send no more.
    pub(crate) const fn end_input(&mut self) {
        self.input_ended = true;
    }

    /// Whether its window has grown.
    pub(crate) const fn is_wide(&self) -> bool {
        self.receive.size() > CONNECTION_CREDIT_BYTES
    }

    /// Writes what the other end takes, and tells it the end once there is nothing left. The window may grow if `widen`.
    pub(crate) fn pump(&mut self, widen: bool) -> Pumped {
        let mut consumed = 0;
        if self.is_opening() {
            return Pumped::default();
        }
        while self.taken < self.pending.len() {
            match rustix::net::send(&self.socket, &self.pending[self.taken..], SendFlags::NOSIGNAL) {
                Ok(count) => {
                    self.taken += count;
                    consumed += count;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(errno) => return Pumped { grant: None, broken: Some(errno) },
            }
        }
        self.compact();
        if self.input_ended && self.pending.is_empty() && !self.shut {
            self.shut = true;
            if let Err(errno) = rustix::net::shutdown(&self.socket, Shutdown::Write) {
                return Pumped { grant: None, broken: Some(errno) };
            }
        }
        Pumped { grant: self.consume(consumed, widen), broken: self.error_after_end() }
    }

    /// The credit to grant back; more than was taken once a whole window has gone through.
    fn consume(&mut self, bytes: usize, widen: bool) -> Option<u32> {
        self.total = self.total.saturating_add(bytes as u64);
        let grant = self.receive.consume(bytes);
        if !widen || self.is_wide() || self.total <= u64::from(CONNECTION_CREDIT_BYTES) {
            return grant;
        }
        let more = self.receive.widen(WIDE_BYTES - CONNECTION_CREDIT_BYTES);
        Some(grant.unwrap_or_default() + more)
    }

    /// Once there is nothing to read, the kernel alone knows that the other end has gone.
    fn error_after_end(&self) -> Option<Errno> {
        if !self.output_ended || self.is_over() {
            return None;
        }
        sockopt::socket_error(&self.socket).ok().and_then(Result::err)
    }

    /// Moves at most one chunk to the host; or says why there will never be one again.
    pub(crate) fn turn(&mut self, channel: &mut Channel, scratch: &mut [u8]) -> Result<Turn, Errno> {
        if !self.is_ready() {
            return Ok(Turn::Idle);
        }
        let budget = DATA_CHUNK_BYTES.min(self.send.available()).min(scratch.len());
        match rustix::io::read(&self.socket, &mut scratch[..budget]) {
            Ok(0) => {
                channel.send_eof(self.stream);
                self.output_ended = true;
                Ok(Turn::Idle)
            }
            Ok(count) => {
                channel.send_data(self.stream, &scratch[..count]);
                self.send.spend(count);
                Ok(Turn::Again)
            }
            Err(Errno::INTR) => Ok(Turn::Again),
            Err(Errno::AGAIN) => {
                self.readable = false;
                Ok(Turn::Idle)
            }
            Err(errno) => Err(errno),
        }
    }

    /// Closes it in such a way that the other end sees that it was not meant to end.
    pub(crate) fn abort(self) {
        // Where it cannot be said, an ordinary end has to do.
        let _ = sockopt::set_socket_linger(&self.socket, Some(Duration::ZERO));
    }

    fn compact(&mut self) {
        if self.taken == self.pending.len() {
            self.pending = Vec::new();
        } else if self.taken >= self.pending.len() / 2 {
            self.pending.drain(..self.taken);
        } else {
            return;
        }
        self.taken = 0;
    }
}

/// The first address at which something may listen, with its socket, and whether that is connected already; or the last
/// error there was.
fn first_that_may_work(
    name: &str,
    addresses: &mut VecDeque<Address>,
    mut last: Errno,
) -> Result<(OwnedFd, bool), WireError> {
    while let Some(address) = addresses.pop_front() {
        match dial(&address) {
            Ok(done) => return Ok(done),
            Err(errno) => last = errno,
        }
    }
    let code = match last {
        Errno::CONNREFUSED => ErrorCode::ConnectionRefused,
        Errno::NOENT => ErrorCode::NotFound,
        Errno::MFILE | Errno::NFILE => ErrorCode::LimitReached,
        _ => ErrorCode::System,
    };
    Err(refuse_errno(code, &format!("connecting to {name} in the guest"), last))
}

fn dial(address: &Address) -> Result<(OwnedFd, bool), Errno> {
    let family = match address {
        Address::Tcp(SocketAddr::V4(_)) => AddressFamily::INET,
        Address::Tcp(SocketAddr::V6(_)) => AddressFamily::INET6,
        Address::Unix(_) => AddressFamily::UNIX,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    let connected = match address {
        Address::Tcp(address) => {
            // What a person types must not wait for an acknowledgement of what was typed before.
            sockopt::set_tcp_nodelay(&socket, true)?;
            rustix::net::connect(&socket, address)
        }
        Address::Unix(address) => rustix::net::connect(&socket, address),
    };
    match connected {
        Ok(()) => Ok((socket, true)),
        Err(Errno::INPROGRESS) => Ok((socket, false)),
        Err(errno) => Err(errno),
    }
}

fn addresses(to: &Endpoint) -> Result<VecDeque<Address>, WireError> {
    let bad = |text: String| refuse(ErrorCode::BadRequest, text);
    match to {
        Endpoint::Tcp { port: 0, .. } => Err(bad("there is no port 0".to_owned())),
        Endpoint::Tcp { host, port } => {
            let hosts = match host.as_deref() {
                None | Some("localhost") => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
                Some(text) => {
                    let unbracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
                    let parsed = unbracketed.unwrap_or(text).parse::<IpAddr>();
                    let shown = crate::names::shown(text.as_bytes());
                    vec![parsed.map_err(|_| bad(format!("'{shown}' is neither an address nor localhost")))?]
                }
            };
            Ok(hosts.into_iter().map(|host| Address::Tcp(SocketAddr::new(host, *port))).collect())
        }
        Endpoint::Unix { path } => {
            let bad_path = || bad(format!("'{}' is no path of a socket", crate::names::shown(&path.0)));
            if path.0.first() != Some(&b'/') {
                return Err(bad_path());
            }
            let address = SocketAddrUnix::new(&path.0[..]).map_err(|_| bad_path())?;
            Ok(VecDeque::from([Address::Unix(address)]))
        }
    }
}

fn name(to: &Endpoint) -> String {
    match to {
        Endpoint::Tcp { host: None, port } => format!("port {port}"),
        Endpoint::Tcp { host: Some(host), port } => {
            format!("{} port {port}", crate::names::shown(host.as_bytes()))
        }
        Endpoint::Unix { path } => crate::names::shown(&path.0),
    }
}
