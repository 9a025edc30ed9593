//! Connections to servers, which here are threads of the test: the agent runs on the host as any process does.

use crate::host::Host;
use pyro_proto::Kind;
use pyro_proto::StreamId;
use pyro_proto::connect::Endpoint;
use pyro_proto::limits::CONNECTIONS_MAX;
use pyro_proto::message::ErrorCode;
use pyro_proto::message::RequestBody;
use rustix::net::sockopt;
use std::io::Read as _;
use std::io::Write as _;
use std::net::Shutdown;
use std::net::TcpListener;
use std::net::TcpStream;
use std::os::unix::net::UnixListener;
use std::thread::JoinHandle;
use std::time::Duration;

fn port(port: u16) -> Endpoint {
    Endpoint::Tcp { host: None, port }
}

fn listen(address: &str) -> (TcpListener, u16) {
    let listener = TcpListener::bind(address).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A server of one connection.
fn serve<T: Send + 'static>(
    listener: TcpListener,
    talk: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> JoinHandle<T> {
    std::thread::spawn(move || talk(listener.accept().unwrap().0))
}

fn wait_for_reset(host: &mut Host, stream: StreamId) {
    while !host.resets.contains(&stream) {
        host.step();
    }
}

#[test]
fn bytes_travel_both_ways_and_either_side_may_end_first() {
    let mut host = Host::new();
    // The client ends first, and is answered all the same.
    let (listener, at) = listen("127.0.0.1:0");
    let server = serve(listener, |mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        stream.write_all(&all).unwrap();
    });
    let stream = host.connect(port(at)).unwrap();
    let bytes: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    host.feed(stream, &bytes);
    while !host.ended.contains(&stream) {
        host.step();
    }
    assert!(host.take(stream, bytes.len()) == bytes, "other bytes came back");
    server.join().unwrap();

    // The server ends first, and still reads.
    let (listener, at) = listen("127.0.0.1:0");
    let server = serve(listener, |mut stream| {
        stream.write_all(b"hello").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        all
    });
    let stream = host.connect(port(at)).unwrap();
    while !host.ended.contains(&stream) {
        host.step();
    }
    assert_eq!(host.take(stream, 5), b"hello");
    host.feed(stream, &bytes);
    assert!(server.join().unwrap() == bytes, "other bytes arrived");
    assert!(host.resets.is_empty());
}

#[test]
fn what_listens_is_found_at_either_address_and_at_a_path() {
    let mut host = Host::new();
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let (listener, at) = listen(address);
        let server = serve(listener, |mut stream| stream.write_all(b"here").unwrap());
        let stream = host.connect(port(at)).unwrap();
        assert_eq!(host.take(stream, 4), b"here");
        server.join().unwrap();
    }
    let (listener, at) = listen("[::1]:0");
    let server = serve(listener, |mut stream| stream.write_all(b"six").unwrap());
    let elsewhere = host.connect(Endpoint::Tcp { host: Some("127.0.0.1".into()), port: at }).unwrap_err();
    assert_eq!(elsewhere.code, ErrorCode::ConnectionRefused);
    let stream = host.connect(Endpoint::Tcp { host: Some("[::1]".into()), port: at }).unwrap();
    assert_eq!(host.take(stream, 3), b"six");
    server.join().unwrap();

    let path = host.folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let server = std::thread::spawn(move || listener.accept().unwrap().0.write_all(b"path").unwrap());
    let stream = host.connect(Endpoint::Unix { path: path.to_str().unwrap().into() }).unwrap();
    assert_eq!(host.take(stream, 4), b"path");
    server.join().unwrap();
}

#[test]
fn what_cannot_be_opened_says_why() {
    let mut host = Host::new();
    let (listener, at) = listen("127.0.0.1:0");
    drop(listener);
    let refused = host.connect(port(at)).unwrap_err();
    assert_eq!(refused.code, ErrorCode::ConnectionRefused);
    assert!(refused.message.contains(&format!("port {at}")), "{}", refused.message);
    let bad = [
        port(0),
        Endpoint::Tcp { host: Some("example.org".into()), port: 80 },
        Endpoint::Unix { path: "relative".into() },
        Endpoint::Unix { path: "/x".repeat(200).as_str().into() },
    ];
    for to in bad {
        assert_eq!(host.connect(to.clone()).unwrap_err().code, ErrorCode::BadRequest, "{to:?}");
    }
    let gone = host.connect(Endpoint::Unix { path: "/no/such/socket".into() }).unwrap_err();
    assert_eq!(gone.code, ErrorCode::NotFound);
    host.ask(RequestBody::Ping).unwrap();
}

#[test]
fn a_reset_is_passed_on_in_both_directions() {
    let mut host = Host::new();
    // The server's.
    let (listener, at) = listen("127.0.0.1:0");
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let server = serve(listener, move |stream| {
        gone.recv().unwrap();
        sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    });
    let stream = host.connect(port(at)).unwrap();
    go.send(()).unwrap();
    server.join().unwrap();
    wait_for_reset(&mut host, stream);
    assert!(!host.ended.contains(&stream), "a reset is no end");

    // The server's, once it had ended its side.
    let (listener, at) = listen("127.0.0.1:0");
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let server = serve(listener, move |stream| {
        stream.shutdown(Shutdown::Write).unwrap();
        gone.recv().unwrap();
        sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    });
    let stream = host.connect(port(at)).unwrap();
    while !host.ended.contains(&stream) {
        host.step();
    }
    go.send(()).unwrap();
    server.join().unwrap();
    wait_for_reset(&mut host, stream);

    // The client's.
    let (listener, at) = listen("127.0.0.1:0");
    let server = serve(listener, |mut stream| stream.read_to_end(&mut Vec::new()).unwrap_err().kind());
    let stream = host.connect(port(at)).unwrap();
    host.write(stream, Kind::Reset, b"");
    assert_eq!(server.join().unwrap(), std::io::ErrorKind::ConnectionReset);

    // That of a host which goes away, whose successor may use the same numbers.
    let (listener, at) = listen("127.0.0.1:0");
    let server = serve(listener, |mut stream| stream.read_to_end(&mut Vec::new()).unwrap_err().kind());
    host.connect(port(at)).unwrap();
    host.sync();
    assert_eq!(server.join().unwrap(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn a_slow_reader_holds_up_its_own_connection_and_nothing_else() {
    let mut host = Host::new();
    let (listener, at) = listen("127.0.0.1:0");
    let server = serve(listener, |mut stream| {
        stream.write_all(&vec![7; 30 << 20]).unwrap();
    });
    let stream = host.connect(port(at)).unwrap();
    host.slow.insert(stream);
    let other = host.run(crate::host::shell("head -c 2000000 /dev/zero"));
    assert_eq!(other.out.len(), 2_000_000);
    // It has had its credit, and gets no more than that until more is granted.
    let first = host.take(stream, 64 * 1024);
    assert_eq!(first.len(), 64 * 1024);
    assert!(!server.is_finished(), "30 MiB went nowhere");
    host.slow.remove(&stream);
    host.grant(stream, 64 * 1024);
    while !host.ended.contains(&stream) {
        host.step();
    }
    assert_eq!(host.take(stream, 1).len(), (30 << 20) - first.len());
    server.join().unwrap();

    // And the other way round: a server that does not read gets what was granted, and no more is held here.
    let (listener, at) = listen("127.0.0.1:0");
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let server = serve(listener, move |mut stream| {
        gone.recv().unwrap();
        let mut count = 0;
        let mut bytes = vec![0; 1 << 20];
        while let Ok(size @ 1..) = stream.read(&mut bytes) {
            count += size;
        }
        count
    });
    let stream = host.connect(port(at)).unwrap();
    host.push(stream, &vec![1; 64 * 1024]);
    host.ask(RequestBody::Ping).unwrap();
    go.send(()).unwrap();
    host.feed(stream, &vec![1; 20 << 20]);
    assert_eq!(server.join().unwrap(), (20 << 20) + 64 * 1024);
    assert!(host.agent_peak_kib() < 32 * 1024, "{} KiB", host.agent_peak_kib());
}

#[test]
fn the_windows_of_a_few_that_are_used_grow() {
    let mut host = Host::new();
    let (listener, at) = listen("127.0.0.1:0");
    // So many take everything; whatever they are granted beyond the first window is theirs until they end.
    let server = std::thread::spawn(move || {
        let streams: Vec<TcpStream> = (0..20).map(|_| listener.accept().unwrap().0).collect();
        for mut stream in streams {
            stream.read_to_end(&mut Vec::new()).unwrap();
        }
    });
    let streams: Vec<StreamId> = (0..20).map(|_| host.connect(port(at)).unwrap()).collect();
    for stream in &streams {
        // Enough to fill the window and to have all of it granted again.
        host.push(*stream, &vec![0; 96 * 1024]);
    }
    let wide =
        |host: &Host| streams.iter().filter(|stream| host.windows[stream].available() > 64 * 1024).count();
    while wide(&host) < 8 {
        host.step();
    }
    host.ask(RequestBody::Ping).unwrap();
    assert_eq!(wide(&host), 8, "others have grown too");
    for stream in &streams {
        host.write(*stream, Kind::Eof, &[]);
    }
    while !streams.iter().all(|stream| host.ended.contains(stream)) {
        host.step();
    }
    server.join().unwrap();
    // Their room is there for others.
    let (listener, at) = listen("127.0.0.1:0");
    let server = serve(listener, |mut stream| stream.read_to_end(&mut Vec::new()).unwrap());
    let stream = host.connect(port(at)).unwrap();
    host.push(stream, &vec![0; 96 * 1024]);
    while host.windows[&stream].available() <= 64 * 1024 {
        host.step();
    }
    host.write(stream, Kind::Eof, &[]);
    assert_eq!(server.join().unwrap(), 96 * 1024);
}

#[test]
fn more_than_is_granted_ends_the_connection_alone() {
    let mut host = Host::new();
    let (listener, at) = listen("127.0.0.1:0");
    let server = serve(listener, |mut stream| stream.read_to_end(&mut Vec::new()).unwrap_err().kind());
    let stream = host.connect(port(at)).unwrap();
    host.write(stream, Kind::Data, &vec![0; 200 * 1024]);
    wait_for_reset(&mut host, stream);
    assert_eq!(server.join().unwrap(), std::io::ErrorKind::ConnectionReset);
    host.ask(RequestBody::Ping).unwrap();
}

#[test]
fn very_many_are_open_at_once_and_no_more() {
    let mut host = Host::new();
    let (listener, at) = listen("127.0.0.1:0");
    let server = std::thread::spawn(move || {
        let streams: Vec<TcpStream> = (0..CONNECTIONS_MAX).map(|_| listener.accept().unwrap().0).collect();
        for mut stream in streams {
            let mut bytes = [0; 4];
            stream.read_exact(&mut bytes).unwrap();
            stream.write_all(&bytes).unwrap();
        }
    });
    let streams: Vec<StreamId> = (0..CONNECTIONS_MAX).map(|_| host.connect(port(at)).unwrap()).collect();
    assert_eq!(host.connect(port(at)).unwrap_err().code, ErrorCode::LimitReached);
    for stream in &streams {
        host.push(*stream, &stream.to_le_bytes());
    }
    for stream in &streams {
        assert_eq!(host.take(*stream, 4), stream.to_le_bytes());
        host.write(*stream, Kind::Eof, &[]);
    }
    server.join().unwrap();
    while !streams.iter().all(|stream| host.ended.contains(stream)) {
        host.step();
    }
    // All of them are forgotten.
    let (listener, at) = listen("127.0.0.1:0");
    let server = serve(listener, drop);
    host.connect(port(at)).unwrap();
    server.join().unwrap();
    assert!(host.agent_peak_kib() < 32 * 1024, "{} KiB", host.agent_peak_kib());
}
