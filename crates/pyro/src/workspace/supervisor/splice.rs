//! A client on the host and a connection in the guest, joined: bytes pass in both directions as fast as the slower end takes
//! them, an end of one direction is passed on as that, and whoever gives up gives up for both. This file must not decide who
//! is joined to what.

use super::feed::Feed;
use super::serve::Client;
use crate::guest::Connection;
use crate::guest::ConnectionReader;
use crate::guest::GuestError;
use crate::guest::StreamWriter;
use crate::workspace::control::frame::Frame;
use crate::workspace::control::frame::Tag;
use crate::workspace::error::WorkspaceError;
use crate::workspace::port::PortError;
use pyro_proto::limits::DATA_CHUNK_BYTES;
use rustix::net::Shutdown;
use rustix::net::sockopt;
use serde_json::Value;
use std::io;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Pieces of input on their way to a server that does not read them yet.
const INPUT_DEPTH: usize = 4;

/// Whether dropping a client tells it that something went wrong.
pub(super) fn reset_on_drop(client: &TcpStream, resets: bool) -> io::Result<()> {
    Ok(sockopt::set_socket_linger(client, resets.then_some(Duration::ZERO))?)
}

/// Passes bytes between a client and the guest until both directions have ended.
///
/// # Errors
/// Either side gave up before.
pub(super) async fn join(client: &TcpStream, guest: Connection) -> io::Result<()> {
    // What a person types must not wait for an acknowledgement of what was typed before.
    client.set_nodelay(true)?;
    let Connection { reader, writer } = guest;
    let both = async { tokio::try_join!(to_client(client, reader), to_guest(client, writer)) };
    tokio::select! {
        done = both => done.map(drop),
        // It may have gone although nothing is to be read or written.
        gone = client.ready(Interest::ERROR) => {
            gone?;
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
}

async fn to_client(client: &TcpStream, mut guest: ConnectionReader) -> io::Result<()> {
    while let Some(bytes) = guest.read().await.map_err(io::Error::other)? {
        write_all(client, &bytes).await?;
    }
    Ok(rustix::net::shutdown(client, Shutdown::Write)?)
}

async fn write_all(client: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match client.try_write(bytes) {
            Ok(size) => bytes = &bytes[size..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => client.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn to_guest(client: &TcpStream, mut guest: StreamWriter) -> io::Result<()> {
    loop {
        client.readable().await?;
        // Not kept while there is nothing to read: very many may be idle.
        let mut bytes = Vec::with_capacity(DATA_CHUNK_BYTES);
        match client.try_read_buf(&mut bytes) {
            Ok(0) => return guest.finish().await.map_err(io::Error::other),
            Ok(_) => guest.write_all(&bytes).await.map_err(io::Error::other)?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Passes bytes between a client of the supervisor and the guest until the guest's side has ended.
pub(super) async fn join_caller(client: &mut Client, guest: Connection) -> Result<Value, WorkspaceError> {
    let failed = |source| WorkspaceError::from(PortError::Guest(source));
    let Connection { mut reader, writer } = guest;
    let mut feed = Feed::new(Some(writer), INPUT_DEPTH);
    loop {
        let room = !feed.is_full();
        tokio::select! {
            bytes = reader.read() => match bytes.map_err(failed)? {
                Some(bytes) => client.send(Tag::Stdout, &bytes).await.map_err(|source| {
                    WorkspaceError::Caller { operation: "answering the client", source }
                })?,
                None => return Ok(Value::Null),
            },
            () = feed.make_room(), if !room => {}
            frame = client.next(room) => match frame {
                Some(Frame { tag: Tag::Input, payload }) => feed.push(payload),
                Some(Frame { tag: Tag::InputEnd, .. }) => feed.end(),
                Some(_) => {}
                None => return Err(failed(GuestError::Closed)),
            },
        }
    }
}
