//! Published ports and connections: servers in the guest, clients on the host. What passes is compared byte by byte.

use crate::debian;
use pyro_testkit::Workspace;
use rustix::net::sockopt;
use serde_json::Value;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::ErrorKind;
use std::io::Read as _;
use std::io::Write as _;
use std::net::Shutdown;
use std::net::TcpListener;
use std::net::TcpStream;
use std::process::Child;
use std::process::Stdio;

/// Repeated to make large downloads; a prime number of bytes, so that a piece which is lost or doubled is seen.
const BLOCK_BYTES: usize = 1_000_003;

const MIB: usize = 1 << 20;

/// A server for all purposes: it says `listening`, and then what happened to it. One process serves all connections of `echo`.
const SERVER: &str = r#"
use strict; use IO::Socket::IP; use IO::Select; use Socket;
$| = 1; $SIG{CHLD} = 'IGNORE'; $SIG{PIPE} = 'IGNORE';
my ($mode, $host, $port, $count) = @ARGV;
my $listener = IO::Socket::IP->new(Listen => 512, LocalHost => $host, LocalPort => $port, ReuseAddr => 1, V6Only => 1)
    or die "listening: $@";
print "listening\n";
sub all { my ($to, $bytes) = @_; my $at = 0;
    while ($at < length $$bytes) { my $n = syswrite($to, $$bytes, length($$bytes) - $at, $at) or exit; $at += $n } }
if ($mode eq 'echo') {
    my $select = IO::Select->new($listener);
    while (1) { for my $ready ($select->can_read) {
        if ($ready == $listener) { $select->add($listener->accept); next }
        if (sysread($ready, my $bytes, 65536)) { all($ready, \$bytes) } else { $select->remove($ready); close $ready }
    } }
}
while (my $client = $listener->accept) {
    if ($mode eq 'blocks') {
        next if fork;
        open(my $file, '<:raw', '/workspace/block'); local $/; my $block = <$file>;
        all($client, \$block) for 1..$count;
        exit;
    }
    if ($mode eq 'ends-first') {
        my $hello = 'hello'; all($client, \$hello); shutdown($client, 1);
        my $total = 0; while (my $n = sysread($client, my $bytes, 65536)) { $total += $n }
        print "read $total\n";
    }
    if ($mode eq 'dies') {
        my $bytes = 'x' x 100_000; all($client, \$bytes);
        sysread($client, my $word, 1);
        setsockopt($client, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0));
        exit;
    }
}
"#;

pub(crate) struct Server {
    child: Child,
    said: BufReader<std::process::ChildStdout>,
}

impl Server {
    /// Starts one and waits until it listens.
    pub(crate) fn start(work: &Workspace<'_>, words: &str) -> Self {
        work.sh(&format!("cat > /tmp/server.pl <<'END'{SERVER}END"));
        let script = format!("exec perl /tmp/server.pl {words}");
        let mut child = work
            .command("exec", &["--timeout-seconds", "0", "--", &script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let mut server = Self { child, said };
        assert_eq!(server.line(), "listening");
        server
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It ends with its client.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Publishes a port; the host's.
pub(crate) fn publish(work: &Workspace<'_>, port: &str) -> u16 {
    let told = work.call("port publish", &[port, "--json"]).succeeds().json();
    u16::try_from(told["published_port"]["host_port"].as_u64().unwrap()).unwrap()
}

pub(crate) fn connect(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port)).unwrap()
}

pub(crate) fn echoes(stream: &mut TcpStream, text: &[u8]) {
    stream.write_all(text).unwrap();
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, text);
}

/// A port of the host that nobody listens on just now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// That the other side did not end but gave up.
fn is_reset(mut stream: TcpStream) {
    let error = stream.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

fn block() -> Vec<u8> {
    let mut state = 1u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(BLOCK_BYTES).collect()
}

/// Reads to the end; that it was so many times the block.
fn is_whole(mut stream: TcpStream, block: &[u8], count: usize) {
    let mut bytes = vec![0; block.len()];
    for number in 0..count {
        stream.read_exact(&mut bytes).unwrap();
        assert!(bytes == block, "block {number} of {count} is another");
    }
    assert_eq!(stream.read(&mut bytes).unwrap(), 0, "there is more than was sent");
}

fn put_block(work: &Workspace<'_>) -> Vec<u8> {
    let block = block();
    let mut child =
        work.command("exec", &["--", "cat > /workspace/block"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&block).unwrap();
    assert!(child.wait().unwrap().success());
    block
}

pub(crate) fn resident_kib(status: &str) -> u64 {
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_published_port_reaches_the_guest_without_a_network() {
    let home = debian();
    let work = home.workspace("debian:12", &["--publish", "7001"]);
    let record = work.status();
    assert_eq!(record["network_policy"], "off");
    let port = &record["published_ports"][0];
    assert_eq!((&port["host"], &port["guest_port"]), (&"127.0.0.1".into(), &7001.into()));
    assert_eq!(port["protocol"], "tcp");
    let at = u16::try_from(port["host_port"].as_u64().unwrap()).unwrap();

    // Nothing listens yet: the client learns that at once.
    is_reset(connect(at));
    let server = Server::start(&work, "echo 127.0.0.1 7001");
    let mut stream = connect(at);
    echoes(&mut stream, b"hello");
    echoes(&mut stream, b"again");
    // The client ends first, and what it sent before comes back whole.
    let large = vec![7; 3 * MIB];
    let (mut to, expected) = (stream.try_clone().unwrap(), large.clone());
    let sender = std::thread::spawn(move || {
        to.write_all(&large).unwrap();
        to.shutdown(Shutdown::Write).unwrap();
    });
    let mut back = Vec::new();
    stream.read_to_end(&mut back).unwrap();
    assert!(back == expected, "{} bytes came back", back.len());
    sender.join().unwrap();
    drop(server);

    // The server ends first, and still reads.
    let mut server = Server::start(&work, "ends-first 127.0.0.1 7001");
    let mut stream = connect(at);
    let mut hello = Vec::new();
    stream.read_to_end(&mut hello).unwrap();
    assert_eq!(hello, b"hello");
    stream.write_all(&vec![1; 2 * MIB]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(server.line(), format!("read {}", 2 * MIB));
    drop(server);

    // A server that gives up in the middle is no server that has ended.
    let server = Server::start(&work, "dies 127.0.0.1 7001");
    let mut stream = connect(at);
    stream.read_exact(&mut vec![0; 100_000]).unwrap();
    stream.write_all(b"!").unwrap();
    is_reset(stream);
    drop(server);

    // A client that gives up does not disturb the next.
    let server = Server::start(&work, "echo ::1 7001");
    let stream = connect(at);
    sockopt::set_socket_linger(&stream, Some(std::time::Duration::ZERO)).unwrap();
    drop(stream);
    echoes(&mut connect(at), b"six");
    drop(server);
}

#[test]
fn downloads_arrive_whole_at_fast_and_slow_clients() {
    let home = debian();
    let work = home.workspace("debian:12", &[]);
    let block = put_block(&work);
    // More than 30 MiB.
    let small = Server::start(&work, "blocks 127.0.0.1 7002 32");
    let at = publish(&work, "7002");
    // One reads nothing while another has all of it, and then goes on.
    let slow = connect(at);
    is_whole(connect(at), &block, 32);
    is_whole(slow, &block, 32);
    drop(small);

    // More than 1 GiB.
    let large = Server::start(&work, "blocks 127.0.0.1 7002 1074");
    let slow = connect(at);
    let other = connect(at);
    drop(other);
    is_whole(slow, &block, 1074);
    drop(large);
    let status = std::fs::read_to_string(format!("/proc/{}/status", work.pid("supervisor_pid"))).unwrap();
    assert!(resident_kib(&status) < 64 << 10, "the supervisor took {} KiB", resident_kib(&status));
}

#[test]
fn ports_live_as_long_as_they_are_published() {
    let home = debian();
    let work = home.workspace("debian:12", &[]);
    let fixed = free_port();
    assert_eq!(publish(&work, &format!("{fixed}:7004")), fixed);
    let chosen = publish(&work, "7005");
    let ports = |work: &Workspace<'_>| -> Vec<(Value, Value)> {
        let told = work.call("port list", &["--json"]).succeeds().json();
        let ports = told["published_ports"].as_array().unwrap();
        ports.iter().map(|port| (port["host_port"].clone(), port["listening"].clone())).collect()
    };
    assert_eq!(ports(&work), [(fixed.into(), true.into()), (chosen.into(), true.into())]);
    let text = work.call("port list", &[]).succeeds().stdout();
    assert!(
        text.contains(&format!("host_port={fixed} guest_port=7004 protocol=tcp listening=yes")),
        "{text}"
    );

    let server = Server::start(&work, "echo 127.0.0.1 7004");
    let mut open = connect(fixed);
    echoes(&mut open, b"before");
    // A reset takes the server and the connection, and keeps the port.
    work.call("reset", &[]).succeeds();
    is_reset(open);
    drop(server);
    let server = Server::start(&work, "echo 127.0.0.1 7004");
    let mut open = connect(fixed);
    echoes(&mut open, b"after the reset");
    // A stop closes it, and a start opens it.
    work.call("stop", &[]).succeeds();
    is_reset(open);
    drop(server);
    for port in [fixed, chosen] {
        let refused = TcpStream::connect(("127.0.0.1", port)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    }
    assert_eq!(ports(&work), [(fixed.into(), false.into()), (chosen.into(), false.into())]);
    // Somebody has the chosen one meanwhile: another does as well.
    let taken = TcpListener::bind(("127.0.0.1", chosen)).unwrap();
    work.call("start", &[]).succeeds();
    let started = ports(&work);
    assert_eq!(started[0], (fixed.into(), true.into()));
    assert!(started[1].0 != chosen && started[1].1 == true, "{started:?}");
    drop(taken);
    let server = Server::start(&work, "echo 127.0.0.1 7004");
    let mut open = connect(fixed);
    echoes(&mut open, b"after the start");

    // Removed is removed, with whoever is connected.
    let line = work.call("port remove", &[&fixed.to_string()]).succeeds().stdout();
    assert_eq!(line, format!("[workspace-port-remove] published_port=127.0.0.1:{fixed}->7004/tcp\n"));
    is_reset(open);
    assert_eq!(TcpStream::connect(("127.0.0.1", fixed)).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    work.call("port remove", &[&fixed.to_string()]).fails_with(1, "port_unknown", &fixed.to_string());
    drop(server);
    // A fork does not have its parent's ports, and a stopped workspace can lose them.
    work.call("stop", &[]).succeeds();
    work.call("port remove", &[&started[1].0.to_string()]).succeeds();
    assert!(ports(&work).is_empty());
    work.call("port publish", &["7004"]).fails_with(1, "workspace_not_running", "");
}

#[test]
fn what_cannot_be_published_says_why() {
    let home = debian();
    let one = home.workspace("debian:12", &[]);
    let fixed = free_port();
    publish(&one, &format!("{fixed}:80"));
    let same = format!("{fixed}:81");
    one.call("port publish", &[&same]).fails_with(1, "port_in_use", &fixed.to_string());
    // Nothing is left of a workspace that cannot have its ports.
    let flags = ["workspace", "create", "debian:12", "--publish", &same, "--name", "two"];
    home.run(flags).fails_with(1, "port_in_use", &format!("the port {fixed} of the host"));
    home.run(["workspace", "status", "two"]).fails_with(1, "workspace_unknown", "two");
    // One that was stopped meanwhile starts without it, and says so.
    let two = home.workspace("debian:12", &[]);
    let other = free_port();
    publish(&two, &format!("{other}:80"));
    two.call("stop", &[]).succeeds();
    publish(&one, &format!("{other}:82"));
    let said = two.call("start", &[]).succeeds().stderr();
    assert!(said.contains(&format!("the port {other} of the host is in use")), "{said}");
    let told = two.call("port list", &["--json"]).succeeds().json();
    assert_eq!(told["published_ports"][0]["listening"], false);
    assert!(told["published_ports"][0]["error"].as_str().unwrap().contains(&other.to_string()));

    one.call("port publish", &["80", "--bind", "192.0.2.1"]).fails_with(
        1,
        "address_unavailable",
        "192.0.2.1",
    );
    for bad in ["0", "80:80", "1024:80", "65536", "x"] {
        assert_eq!(one.call("port publish", &[bad]).code(), 2, "{bad}");
    }
    // Nobody but this host is let in unless it was asked for.
    let wide = free_port();
    let told =
        one.call("port publish", &[&format!("{wide}:83"), "--bind", "0.0.0.0", "--json"]).succeeds().json();
    assert_eq!(told["published_port"]["host"], "0.0.0.0");
    let listening = std::fs::read_to_string("/proc/net/tcp").unwrap();
    assert!(listening.contains(&format!("00000000:{wide:04X} ")), "0.0.0.0 is not listened on");
    assert!(listening.contains(&format!("0100007F:{fixed:04X} ")), "127.0.0.1 is not listened on");
    assert!(!listening.contains(&format!("00000000:{fixed:04X} ")), "every address is listened on");
}

#[test]
fn standard_streams_are_connected_to_a_port() {
    let home = debian();
    let work = home.workspace("debian:12", &[]);
    let block = put_block(&work);
    work.call("connect", &["7006"]).fails_with(1, "connection_refused", "port 7006");
    let server = Server::start(&work, "echo ::1 7006");
    let mut child =
        work.command("connect", &["7006"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut to, mut from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    // What is sent comes back before anything ends.
    to.write_all(b"ping").unwrap();
    let mut back = [0; 4];
    from.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"ping");
    let sent = block.clone();
    let sender = std::thread::spawn(move || to.write_all(&sent).unwrap());
    let mut all = Vec::new();
    from.read_to_end(&mut all).unwrap();
    sender.join().unwrap();
    assert!(all == block, "{} bytes came back", all.len());
    assert!(child.wait().unwrap().success());
    drop(server);
    // The guest's side ends first: so does the program, whatever its input does.
    let _server = Server::start(&work, "blocks 127.0.0.1 7006 3");
    let mut child =
        work.command("connect", &["7006"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let input = child.stdin.take();
    let out = child.wait_with_output().unwrap();
    drop(input);
    assert!(out.status.success() && out.stdout.len() == 3 * BLOCK_BYTES);
}
