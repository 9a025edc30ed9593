//! Published ports: listeners on the host whose clients are joined to servers in the guest. Whoever owns a
//! [`PublishedPorts`] owns how long its ports are there: dropping it closes them and resets what is connected. This file must
//! not copy bytes.
//!
//! ```text
//!   document --start--> listening <--reset-- (the next client reaches the new guest)
//!   publish ---------->     |
//!                           +--remove, stop, the guest gone--> closed; clients reset
//! ```

use super::Supervisor;
use super::order::Report;
use super::serve::Client;
use super::splice;
use crate::code::chain;
use crate::guest::Connection;
use crate::guest::Endpoint;
use crate::guest::GuestError;
use crate::workspace::control::message::Event;
use crate::workspace::error::WorkspaceError;
use crate::workspace::event;
use crate::workspace::port::PortError;
use crate::workspace::port::PortSpec;
use crate::workspace::port::PublishedPort;
use crate::workspace::port::describe_state;
use pyro_proto::limits::CONNECTIONS_MAX;
use pyro_proto::message::ErrorCode;
use serde_json::Value;
use serde_json::json;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::net::TcpSocket;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::task::JoinSet;

/// Most ports that one workspace publishes.
const PORTS_MAX: usize = 64;

/// Clients that wait to be accepted.
const BACKLOG: u32 = 1024;

/// Most clients of all published ports of one workspace at once; more wait to be accepted. Some of what the guest allows is
/// left to probes and to connections that are asked for.
pub(super) const CLIENTS_MAX: usize = CONNECTIONS_MAX - 64;

/// How long the guest may take to open a connection.
const OPEN_DEADLINE: Duration = Duration::from_secs(30);

/// The pause after the host could not accept a client: it has no descriptors left, and needs time more than it needs work.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How much longer an idle workspace lives is not worth a write of its document for each of many short connections.
const TOUCH_EVERY: Duration = Duration::from_secs(1);

/// Published ports with one owner.
#[derive(Debug, Default)]
pub(super) struct PublishedPorts {
    open: Vec<OpenPort>,
}

#[derive(Debug)]
struct OpenPort {
    port: PublishedPort,
    task: JoinHandle<()>,
}

impl Drop for OpenPort {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl PublishedPorts {
    /// Listens on one more port, until it is closed or this is dropped.
    ///
    /// # Errors
    /// [`PortError`]; nothing is open then that was not before.
    pub(super) fn open(
        &mut self,
        supervisor: &Arc<Supervisor>,
        spec: &PortSpec,
    ) -> Result<PublishedPort, PortError> {
        if self.open.len() >= PORTS_MAX {
            return Err(PortError::TooMany { most: PORTS_MAX });
        }
        let wanted = SocketAddr::new(spec.bind, spec.host_port.unwrap_or(0));
        let failed = |source| PortError::listening(wanted, source);
        let listener = listen(wanted).map_err(failed)?;
        let port = PublishedPort::of(spec, listener.local_addr().map_err(failed)?.port());
        let task = tokio::spawn(accept(Arc::clone(supervisor), listener, port.guest_port));
        self.open.push(OpenPort { port: port.clone(), task });
        Ok(port)
    }

    /// Listens on a port again that was published before; on another of the host's where it was chosen and is taken.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(super) fn open_again(
        &mut self,
        supervisor: &Arc<Supervisor>,
        port: &PublishedPort,
    ) -> Result<PublishedPort, PortError> {
        let as_it_was =
            PortSpec { bind: port.host, host_port: Some(port.host_port), guest_port: port.guest_port };
        match self.open(supervisor, &as_it_was) {
            Ok(_) => Ok(port.clone()),
            Err(_) if port.chosen => self.open(supervisor, &PortSpec { host_port: None, ..as_it_was }),
            Err(error) => Err(error),
        }
    }

    /// Closes the port of this number on the host.
    pub(super) fn close(&mut self, host_port: u16) {
        self.open.retain(|open| open.port.host_port != host_port);
    }

    /// Whether this port is open.
    pub(super) fn has(&self, port: &PublishedPort) -> bool {
        self.open.iter().any(|open| open.port.address() == port.address())
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Connections of the last time that are not quite forgotten do not stand in the way; a listener does.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn accept(supervisor: Arc<Supervisor>, listener: TcpListener, guest_port: u16) {
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            accepted = next_client(&supervisor.port_clients, &listener) => match accepted {
                Some((stream, permit)) => {
                    clients.spawn(serve(Arc::clone(&supervisor), stream, guest_port, permit));
                }
                None => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = clients.join_next() => {}
        }
    }
}

/// The next client, once there is room for one.
async fn next_client(
    room: &Arc<Semaphore>,
    listener: &TcpListener,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(room).acquire_owned().await.ok()?;
    let (stream, _) = listener.accept().await.ok()?;
    Some((stream, permit))
}

/// Joins one client to the guest. However it is left, but by both sides having ended, the client is reset.
async fn serve(supervisor: Arc<Supervisor>, client: TcpStream, guest_port: u16, _room: OwnedSemaphorePermit) {
    let _in_use = supervisor.port_in_use();
    if splice::reset_on_drop(&client, true).is_err() {
        return;
    }
    let to = Endpoint::Tcp { host: None, port: guest_port };
    let Ok(guest) = supervisor.open_in_guest(to).await else { return };
    if splice::join(&client, guest).await.is_ok() {
        // Its last bytes may still be under way.
        let _ = splice::reset_on_drop(&client, false);
    }
}

/// While this value lives a client is connected.
struct PortInUse(Arc<Supervisor>);

impl Drop for PortInUse {
    fn drop(&mut self) {
        self.0.activity.change(|uses| *uses = uses.saturating_sub(1));
        self.0.touch_now_and_then();
    }
}

impl Supervisor {
    fn port_in_use(self: &Arc<Self>) -> PortInUse {
        self.activity.change(|uses| *uses += 1);
        self.touch_now_and_then();
        PortInUse(Arc::clone(self))
    }

    fn touch_now_and_then(&self) {
        let last = self.document_mut().last_activity_at;
        if last.elapsed() > TOUCH_EVERY {
            self.touch();
        }
    }

    pub(super) fn ports(&self) -> MutexGuard<'_, PublishedPorts> {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a connection to something in the guest there is now.
    pub(super) async fn open_in_guest(&self, to: Endpoint) -> Result<Connection, PortError> {
        let name = match &to {
            Endpoint::Tcp { host, port } => format!("{} port {port}", host.as_deref().unwrap_or("localhost")),
            Endpoint::Unix { path } => String::from_utf8_lossy(&path.0).into_owned(),
        };
        let opening = self.client().open(to);
        match tokio::time::timeout(OPEN_DEADLINE, opening).await {
            Ok(opened) => opened.map_err(|error| PortError::guest(self.id(), error)),
            Err(_) => Err(PortError::NoAnswer { name }),
        }
    }

    /// Publishes a port from now on.
    pub(super) async fn publish_port(self: &Arc<Self>, spec: &PortSpec) -> Result<Value, WorkspaceError> {
        self.can_connect().await?;
        let mut ports = self.ports();
        if *self.ended.borrow() {
            return Err(WorkspaceError::not_running(&self.folder));
        }
        let document = self.document();
        if document.published_ports.len() >= PORTS_MAX {
            return Err(PortError::TooMany { most: PORTS_MAX }.into());
        }
        let same = |port: &&PublishedPort| Some(port.host_port) == spec.host_port;
        if let Some(port) = document.published_ports.iter().find(same) {
            // Even at another address: a port is named by its number.
            return Err(PortError::InUse { address: port.address() }.into());
        }
        let port = ports.open(self, spec)?;
        if let Err(error) = self.change(|document| document.published_ports.push(port.clone())) {
            ports.close(port.host_port);
            return Err(error.into());
        }
        event::note(&self.config, self.folder.id(), "port_published", Some(port.to_string()));
        Ok(json!(port))
    }

    /// An agent that came out of an old snapshot does not know what a connection is. One that does knows that there is no port 0.
    pub(super) async fn can_connect(&self) -> Result<(), PortError> {
        match self.open_in_guest(Endpoint::Tcp { host: None, port: 0 }).await {
            Ok(_) => Ok(()),
            Err(PortError::Guest(GuestError::Refused(error))) if error.code == ErrorCode::BadRequest => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Publishes a port no longer.
    pub(super) fn remove_port(&self, host_port: u16) -> Result<Value, WorkspaceError> {
        let mut ports = self.ports();
        let found =
            self.document_mut().published_ports.iter().find(|port| port.host_port == host_port).cloned();
        let port = found.ok_or_else(|| PortError::Unknown { workspace: self.id(), host_port })?;
        self.change(|document| document.published_ports.retain(|port| port.host_port != host_port))?;
        ports.close(host_port);
        event::note(&self.config, self.folder.id(), "port_removed", Some(port.to_string()));
        Ok(json!(port))
    }

    /// What is published, and how each is.
    pub(super) fn describe_ports(&self) -> Value {
        let ports = self.ports();
        let describe = |port: &PublishedPort| {
            let listening = ports.has(port);
            let error = (!listening).then(|| PortError::InUse { address: port.address() }.to_string());
            describe_state(port, listening, error.as_deref())
        };
        self.document().published_ports.iter().map(describe).collect()
    }

    /// Listens again on what the document says. A port that is taken meanwhile is no reason not to start.
    pub(super) fn open_ports(self: &Arc<Self>, report: &mut Report) {
        let mut ports = self.ports();
        for port in self.document().published_ports {
            if let Err(error) = self.open_again(&mut ports, &port) {
                report.notice(format!("{port} is not published: {}", chain(&error)));
            }
        }
    }

    fn open_again(
        self: &Arc<Self>,
        ports: &mut PublishedPorts,
        port: &PublishedPort,
    ) -> Result<(), WorkspaceError> {
        let another = ports.open_again(self, port)?;
        if another == *port {
            return Ok(());
        }
        let replace = |found: &mut PublishedPort| {
            if found == port {
                *found = another.clone();
            }
        };
        Ok(self.change(|document| document.published_ports.iter_mut().for_each(replace))?)
    }

    /// Listens on nothing any more, and resets every client.
    pub(super) fn close_ports(&self) {
        *self.ports() = PublishedPorts::default();
    }

    /// Joins a client of the supervisor to something in the guest.
    pub(super) async fn connect(
        self: &Arc<Self>,
        to: Endpoint,
        client: &mut Client,
    ) -> Result<Value, WorkspaceError> {
        let _in_use = self.in_use();
        let guest = self.unless_blocked(async { Ok(self.open_in_guest(to).await?) }).await?;
        client.event(&Event::Connected).await?;
        splice::join_caller(client, guest).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_somebody_listens_on_is_named() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _entered = runtime.enter();
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let error = PortError::listening(address, listen(address).unwrap_err());
        assert!(error.to_string().contains(&format!("port {}", address.port())), "{error}");
        assert!(matches!(error, PortError::InUse { .. }));
        // Documentation addresses are nobody's.
        let nobody = "192.0.2.1:0".parse().unwrap();
        let error = PortError::listening(nobody, listen(nobody).unwrap_err());
        assert!(matches!(error, PortError::NoAddress { .. }), "{error}");
    }
}
