//! The server's side of one connection: who may come in, and which request begins what. This file must not do what is asked
//! for itself.

use crate::channel;
use crate::channel::Incoming;
use crate::command;
use crate::command::Outgoing;
use crate::command::Wanted;
use crate::error::SshError;
use crate::forward;
use crate::keys::Keys;
use crate::sftp;
use pyro::Work;
use pyro::guest::Endpoint;
use pyro::terminal::TerminalSize;
use pyro::workspace::Workspace;
use russh::Channel;
use russh::ChannelId;
use russh::ChannelWriteHalf;
use russh::MethodKind;
use russh::MethodSet;
use russh::Pty;
use russh::SshId;
use russh::keys::PublicKey;
use russh::server;
use russh::server::Auth;
use russh::server::ChannelOpenHandle;
use russh::server::Msg;
use russh::server::Session;
use russh::server::VerifiedPublicKey;
use std::collections::HashMap;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;

/// Who a client must want to be.
const USER: &str = "root";

/// Most variables that a client may set for one command.
const VARIABLES_MAX: usize = 256;

/// What a connection is made of.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Serves one connection until it ends.
///
/// # Errors
/// [`SshError::Connection`]: the client speaks no SSH, has not the key, or breaks the protocol. That it is gone is none.
pub fn serve(
    workspace: Workspace,
    keys: &Keys,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Work<'_, Result<(), SshError>> {
    serve_stream(workspace, keys, Box::new(stream))
}

fn serve_stream(
    workspace: Workspace,
    keys: &Keys,
    stream: Box<dyn Stream>,
) -> Work<'_, Result<(), SshError>> {
    Box::pin(async move {
        let config = server::Config {
            server_id: SshId::Standard("SSH-2.0-pyro".into()),
            methods: MethodSet::from(&[MethodKind::PublicKey][..]),
            // Whoever has this stream is this user already; there is nobody to hold up.
            auth_rejection_time: Duration::ZERO,
            keys: vec![keys.host.clone()],
            inactivity_timeout: None,
            ..server::Config::default()
        };
        let server = Server { workspace, client: keys.client.clone(), channels: HashMap::new() };
        let served = async { server::run_stream(Arc::new(config), stream, server).await?.await }.await;
        match served {
            Ok(()) | Err(russh::Error::Disconnect | russh::Error::HUP) => Ok(()),
            Err(russh::Error::IO(error)) if is_gone(&error) => Ok(()),
            Err(error) => Err(SshError::Connection { reason: error.to_string() }),
        }
    })
}

fn is_gone(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}

struct Server {
    workspace: Workspace,
    client: PublicKey,
    /// Sessions for which nothing has been begun yet.
    channels: HashMap<ChannelId, Waiting>,
}

struct Waiting {
    write: ChannelWriteHalf<Msg>,
    incoming: Incoming,
    env: Vec<(OsString, OsString)>,
    terminal: Option<TerminalSize>,
}

impl Server {
    fn begin(
        &mut self,
        channel: ChannelId,
        command: Option<Vec<u8>>,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let Some(waiting) = self.channels.remove(&channel) else { return session.channel_failure(channel) };
        session.channel_success(channel)?;
        let Waiting { write, incoming, env, terminal } = waiting;
        let outgoing = Outgoing { channel: write, session: session.handle() };
        let wanted = Wanted { command, env, terminal };
        tokio::spawn(command::run(self.workspace.clone(), wanted, incoming, outgoing));
        Ok(())
    }

    fn forward(&self, to: Endpoint, channel: Channel<Msg>, reply: ChannelOpenHandle) {
        tokio::spawn(forward::run(self.workspace.clone(), to, channel, reply));
    }
}

impl server::Handler for Server {
    type Error = russh::Error;

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        let is_known = user == USER && key.public_key.key_data() == self.client.key_data();
        Ok(if is_known { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        let id = channel.id();
        let (read, write) = channel.split();
        let incoming = channel::take(read, self.workspace.folder().path());
        self.channels.insert(id, Waiting { write, incoming, env: Vec::new(), terminal: None });
        reply.accept().await;
        Ok(())
    }

    async fn channel_close(&mut self, channel: ChannelId, _: &mut Session) -> Result<(), Self::Error> {
        self.channels.remove(&channel);
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        match u16::try_from(port) {
            Ok(port @ 1..) => {
                self.forward(Endpoint::Tcp { host: Some(host.to_owned()), port }, channel, reply);
            }
            _ => reply.reject(russh::ChannelOpenFailure::ConnectFailed).await,
        }
        Ok(())
    }

    async fn channel_open_direct_streamlocal(
        &mut self,
        channel: Channel<Msg>,
        path: &str,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.forward(Endpoint::Unix { path: path.into() }, channel, reply);
        Ok(())
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        term: &str,
        cols: u32,
        rows: u32,
        _: u32,
        _: u32,
        _: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let Some(waiting) = self.channels.get_mut(&channel) else { return session.channel_failure(channel) };
        waiting.terminal = Some(channel::size(cols, rows));
        if !term.is_empty() {
            waiting.env.push(("TERM".into(), term.into()));
        }
        session.channel_success(channel)
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        value: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        match self.channels.get_mut(&channel) {
            Some(waiting) if waiting.env.len() < VARIABLES_MAX => {
                waiting.env.push((name.into(), value.into()));
                session.channel_success(channel)
            }
            _ => session.channel_failure(channel),
        }
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        self.begin(channel, None, session)
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.begin(channel, Some(command.to_vec()), session)
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let waiting = if name == "sftp" { self.channels.remove(&channel) } else { None };
        let Some(Waiting { write, incoming, .. }) = waiting else { return session.channel_failure(channel) };
        session.channel_success(channel)?;
        let outgoing = Outgoing { channel: write, session: session.handle() };
        tokio::spawn(sftp::run(self.workspace.clone(), incoming, outgoing));
        Ok(())
    }
}
