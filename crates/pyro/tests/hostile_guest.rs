//! A guest that breaks the protocol harms nobody: the channel closes with a reason, every waiter learns it, and nothing is
//! held in memory beyond the credit that was given. The guest here is a script over an in-memory pipe.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use pyro::guest::Exec;
use pyro::guest::ExecStreams;
use pyro::guest::GuestClient;
use pyro::guest::GuestError;
use pyro_proto::Frame;
use pyro_proto::Kind;
use pyro_proto::SYNC;
use pyro_proto::exec::ExecExit;
use pyro_proto::exec::ExecSpec;
use pyro_proto::frame::encode;
use pyro_proto::limits::INITIAL_CREDIT_BYTES;
use pyro_proto::message::Reply;
use pyro_proto::message::ReplyBody;
use pyro_proto::message::to_payload;
use tokio::io::AsyncWriteExt as _;
use tokio::io::DuplexStream;

/// The first command of a client: its request number, and the streams it is given.
const JOB: u64 = 1;
const STDOUT: u32 = 1;
const STDERR: u32 = 2;

fn pair() -> (GuestClient, DuplexStream) {
    let (ours, theirs) = tokio::io::duplex(4 * 1024 * 1024);
    (GuestClient::connect(ours), theirs)
}

fn command(client: &GuestClient) -> Exec {
    let spec = ExecSpec { argv: vec!["x".into()], ..ExecSpec::default() };
    client.exec(spec, ExecStreams { stderr: true, ..ExecStreams::default() }).unwrap()
}

/// What a guest says, as bytes.
#[derive(Default)]
struct Script(Vec<u8>);

impl Script {
    fn new() -> Self {
        Self(SYNC.to_vec())
    }

    fn reply(mut self, body: ReplyBody) -> Self {
        let payload = to_payload(&Reply { request: JOB, body }).unwrap();
        encode(&mut self.0, 0, Kind::Control, &payload);
        self
    }

    fn data(mut self, stream: u32, bytes: &[u8]) -> Self {
        encode(&mut self.0, stream, Kind::Data, bytes);
        self
    }

    fn frame(mut self, frame: &Frame) -> Self {
        encode(&mut self.0, frame.stream, frame.kind, &frame.payload);
        self
    }

    async fn said_by(self, guest: &mut DuplexStream) {
        guest.write_all(&self.0).await.unwrap();
    }
}

fn exit() -> ReplyBody {
    ReplyBody::Exited(ExecExit {
        ending: pyro::guest::Ending::Code(0),
        timed_out: false,
        detached: 0,
        duration_us: 1,
        max_rss_kib: 1,
        cpu_us: 1,
    })
}

/// The reason with which a command fails when the guest says this.
async fn failure(script: Script) -> GuestError {
    let (client, mut guest) = pair();
    let mut exec = command(&client);
    script.said_by(&mut guest).await;
    exec.exited().await.unwrap_err()
}

#[tokio::test]
async fn an_honest_guest_is_understood() {
    let (client, mut guest) = pair();
    let mut exec = command(&client);
    let script = Script::new().reply(ReplyBody::Started { pid: 7 }).data(STDOUT, b"out").data(STDERR, b"err");
    let script = script.frame(&Frame::eof(STDOUT)).frame(&Frame::eof(STDERR)).reply(exit());
    script.said_by(&mut guest).await;
    assert_eq!(exec.started().await.unwrap(), 7);
    assert_eq!(exec.stdout.as_mut().unwrap().read().await.unwrap(), b"out");
    assert_eq!(exec.stderr.as_mut().unwrap().read().await.unwrap(), b"err");
    assert_eq!(exec.stdout.as_mut().unwrap().read().await, None);
    assert_eq!(exec.exited().await.unwrap().duration_us, 1);
}

#[tokio::test]
async fn more_data_than_credit_closes_the_channel() {
    let piece = vec![0; 64 * 1024];
    let mut script = Script::new();
    for _ in 0..=INITIAL_CREDIT_BYTES as usize / piece.len() {
        script = script.data(STDOUT, &piece);
    }
    let error = failure(script).await;
    assert!(matches!(&error, GuestError::Protocol { reason } if reason.contains("credit")), "{error:?}");
}

#[tokio::test]
async fn data_after_the_end_closes_the_channel() {
    let error = failure(Script::new().frame(&Frame::eof(STDOUT)).data(STDOUT, b"late")).await;
    assert!(
        matches!(&error, GuestError::Protocol { reason } if reason.contains("after the end")),
        "{error:?}"
    );
}

#[tokio::test]
async fn endless_credit_closes_the_channel() {
    let mut script = Script::new();
    for _ in 0..3 {
        script = script.frame(&Frame::credit(STDOUT, 8 * 1024 * 1024));
    }
    assert!(matches!(failure(script).await, GuestError::Protocol { .. }));
    let short = Frame { stream: STDOUT, kind: Kind::Credit, payload: vec![1] };
    assert!(matches!(failure(Script::new().frame(&short)).await, GuestError::Protocol { .. }));
}

#[tokio::test]
async fn answers_of_the_wrong_kind_close_the_channel() {
    assert!(matches!(failure(Script::new().reply(exit())).await, GuestError::Protocol { .. }));
    let twice = Script::new().reply(ReplyBody::Started { pid: 1 }).reply(ReplyBody::Started { pid: 2 });
    assert!(matches!(failure(twice).await, GuestError::Protocol { .. }));
    assert!(matches!(failure(Script::new().reply(ReplyBody::Done)).await, GuestError::Protocol { .. }));
}

#[tokio::test]
async fn garbage_closes_the_channel_and_every_waiter_learns_it() {
    let (client, mut guest) = pair();
    let mut exec = command(&client);
    let ping = client.call(pyro_proto::message::RequestBody::Ping);
    guest.write_all(&SYNC).await.unwrap();
    guest.write_all(&[0x55; 4096]).await.unwrap();
    assert!(matches!(exec.started().await, Err(GuestError::Protocol { .. })));
    assert!(matches!(exec.exited().await, Err(GuestError::Protocol { .. })));
    assert!(matches!(ping.await, Err(GuestError::Protocol { .. })));
    assert_eq!(exec.stdout.as_mut().unwrap().read().await, None);
    // What is asked afterwards is told the same.
    let late = client.call(pyro_proto::message::RequestBody::Ping).await;
    assert!(matches!(late, Err(GuestError::Protocol { .. })), "{late:?}");
}

#[tokio::test]
async fn a_guest_that_goes_away_is_closed_not_broken() {
    let (client, guest) = pair();
    let mut exec = command(&client);
    drop(guest);
    assert!(matches!(exec.exited().await, Err(GuestError::Closed | GuestError::Channel(_))));
}

#[tokio::test]
async fn frames_for_streams_that_are_not_ours_are_dropped() {
    let (client, mut guest) = pair();
    let mut exec = command(&client);
    let script = Script::new().data(999, b"for nobody").frame(&Frame::eof(998)).frame(&Frame::credit(997, 1));
    script.reply(ReplyBody::Started { pid: 3 }).said_by(&mut guest).await;
    assert_eq!(exec.started().await.unwrap(), 3);
}
