//! Connections through the host's client and the real agent to servers that are threads of the test.

use crate::attached;
use pyro::guest::Connection;
use pyro::guest::Endpoint;
use pyro::guest::GuestError;
use pyro_proto::message::ErrorCode;
use std::io::ErrorKind;
use std::io::Read as _;
use std::io::Write as _;
use std::net::TcpListener;
use std::net::TcpStream;
use std::thread::JoinHandle;

/// A server of one connection, and where it is.
fn serve<T: Send + 'static>(talk: impl FnOnce(TcpStream) -> T + Send + 'static) -> (Endpoint, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (Endpoint::Tcp { host: None, port }, std::thread::spawn(move || talk(listener.accept().unwrap().0)))
}

/// What a server came to, waited for without holding up the client.
async fn joined<T: Send + 'static>(server: JoinHandle<T>) -> T {
    tokio::task::spawn_blocking(move || server.join().unwrap()).await.unwrap()
}

async fn read_to_end(connection: &mut Connection) -> Result<Vec<u8>, GuestError> {
    let mut all = Vec::new();
    while let Some(bytes) = connection.reader.read().await? {
        all.extend(bytes);
    }
    Ok(all)
}

#[tokio::test]
async fn both_directions_end_by_themselves() {
    let agent = attached().await;
    let bytes: Vec<u8> = (0..5_000_000u32).map(|n| (n % 251) as u8).collect();
    let (to, server) = serve(|mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        stream.write_all(&all).unwrap();
    });
    let mut connection = agent.client.open(to).await.unwrap();
    connection.writer.write_all(&bytes).await.unwrap();
    let Connection { reader, writer } = connection;
    writer.finish().await.unwrap();
    let mut reader = reader;
    let mut back = Vec::new();
    while let Some(piece) = reader.read().await.unwrap() {
        back.extend(piece);
    }
    assert!(back == bytes, "{} bytes came back", back.len());
    assert!(reader.read().await.unwrap().is_none(), "an end stays one");
    joined(server).await;
}

#[tokio::test]
async fn what_is_not_passed_on_holds_the_server_up() {
    let agent = attached().await;
    let (to, server) = serve(|mut stream| stream.write_all(&vec![1; 30 << 20]).unwrap());
    let mut slow = agent.client.open(to).await.unwrap();
    let first = slow.reader.read().await.unwrap().unwrap().len();
    // Another takes as much and more meanwhile.
    let (to, other) = serve(|mut stream| stream.write_all(&vec![2; 30 << 20]).unwrap());
    let mut fast = agent.client.open(to).await.unwrap();
    assert_eq!(read_to_end(&mut fast).await.unwrap().len(), 30 << 20);
    joined(other).await;
    assert!(!server.is_finished(), "30 MiB went nowhere");
    let held = slow.reader.read().await.unwrap().unwrap().len();
    assert!(first + held <= 128 * 1024, "{} bytes were held", first + held);
    assert_eq!(read_to_end(&mut slow).await.unwrap().len(), (30 << 20) - first - held);
    joined(server).await;
}

#[tokio::test]
async fn giving_up_is_told_to_the_other_side() {
    let agent = attached().await;
    // Ours, by either half and by the whole.
    for dropped in 0..3 {
        let (to, server) =
            serve(|mut stream| stream.read_to_end(&mut Vec::new()).map_err(|error| error.kind()));
        let connection = agent.client.open(to).await.unwrap();
        let Connection { mut reader, mut writer } = connection;
        match dropped {
            0 => {
                drop(reader);
                assert!(writer.write_all(b"x").await.is_err());
            }
            1 => {
                drop(writer);
                assert!(reader.read().await.is_err());
            }
            _ => drop((reader, writer)),
        }
        assert_eq!(joined(server).await, Err(ErrorKind::ConnectionReset));
    }
    // The server's, in the middle of what it sends.
    let (to, server) = serve(|mut stream| {
        stream.write_all(b"half").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        // What was not read makes the end of it a reset.
    });
    let mut connection = agent.client.open(to).await.unwrap();
    connection.writer.write_all(&[7; 1000]).await.unwrap();
    joined(server).await;
    let error = read_to_end(&mut connection).await.unwrap_err();
    assert!(matches!(error, GuestError::Reset { .. }) && error.code() == "connection_reset", "{error}");
    assert!(connection.writer.write_all(&[7; 1 << 20]).await.is_err());
    // The agent's itself.
    let (to, server) = serve(|mut stream| stream.read_to_end(&mut Vec::new()).map_err(|error| error.kind()));
    let mut connection = agent.client.open(to).await.unwrap();
    drop(agent);
    assert!(connection.reader.read().await.is_err(), "the end of the guest is no end of the connection");
    let _ = joined(server).await;
}

#[tokio::test]
async fn what_cannot_be_opened_is_refused_and_forgotten() {
    let agent = attached().await;
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for _ in 0..2000 {
        let refused = agent.client.open(Endpoint::Tcp { host: None, port }).await.unwrap_err();
        assert_eq!(refused.code(), "connection_refused");
    }
    let bad = agent.client.open(Endpoint::Tcp { host: None, port: 0 }).await.unwrap_err();
    assert!(matches!(bad, GuestError::Refused(error) if error.code == ErrorCode::BadRequest));
    // One that is given up before it was opened.
    let (to, server) = serve(|mut stream| stream.read_to_end(&mut Vec::new()).map_err(|error| error.kind()));
    drop(agent.client.open(to));
    let given_up = joined(server).await;
    assert!(given_up == Err(ErrorKind::ConnectionReset) || given_up == Ok(0), "{given_up:?}");
}
