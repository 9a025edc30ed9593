//! A guest that stands still is told nothing: what is asked of it or sent to it meanwhile waits, in its order, and goes out
//! once it is thawed. The guest here is a script over an in-memory pipe.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use pyro::guest::ExecStreams;
use pyro::guest::GuestClient;
use pyro_proto::Decoder;
use pyro_proto::Frame;
use pyro_proto::Item;
use pyro_proto::Kind;
use pyro_proto::SYNC;
use pyro_proto::exec::ExecSpec;
use pyro_proto::frame::encode;
use pyro_proto::message::ErrorCode;
use pyro_proto::message::Reply;
use pyro_proto::message::ReplyBody;
use pyro_proto::message::Request;
use pyro_proto::message::RequestBody;
use pyro_proto::message::WireError;
use pyro_proto::message::to_payload;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::io::DuplexStream;

struct Guest {
    channel: DuplexStream,
    decoder: Decoder,
}

impl Guest {
    async fn new() -> (GuestClient, Self) {
        let (ours, mut channel) = tokio::io::duplex(1 << 20);
        channel.write_all(&SYNC).await.unwrap();
        (GuestClient::connect(ours), Self { channel, decoder: Decoder::new() })
    }

    async fn frame(&mut self) -> Frame {
        loop {
            match self.decoder.next_item().unwrap() {
                Some(Item::Frame(frame)) => return frame,
                Some(Item::Sync) => {}
                None => {
                    let mut bytes = [0; 4096];
                    let size = self.channel.read(&mut bytes).await.unwrap();
                    assert!(size > 0, "the channel has closed");
                    self.decoder.push(&bytes[..size]);
                }
            }
        }
    }

    async fn request(&mut self) -> Request {
        serde_json::from_slice(&self.frame().await.payload).unwrap()
    }

    async fn reply(&mut self, request: &Request, body: ReplyBody) {
        let mut bytes = Vec::new();
        let payload = to_payload(&Reply { request: request.request, body }).unwrap();
        encode(&mut bytes, 0, Kind::Control, &payload);
        self.channel.write_all(&bytes).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_sent_to_a_guest_that_stands_still_waits_until_it_is_thawed() {
    let (client, mut guest) = Guest::new().await;
    let (quiesced, quiesce) = tokio::join!(client.quiesce(), async {
        let request = guest.request().await;
        guest.reply(&request, ReplyBody::Done).await;
        request
    });
    quiesced.unwrap();
    assert!(matches!(quiesce.body, RequestBody::Quiesce));

    let spec = ExecSpec { argv: vec!["cat".into()], ..ExecSpec::default() };
    let streams = ExecStreams { stdin: true, ..ExecStreams::default() };
    let mut exec = client.exec(spec, streams).unwrap();
    exec.stdin.as_mut().unwrap().write_all(b"input").await.unwrap();
    exec.signal(15, pyro_proto::message::SignalTarget::Tree);

    let (thawed, thaw) = tokio::join!(client.thaw(), async {
        let request = guest.request().await;
        guest.reply(&request, ReplyBody::Done).await;
        request
    });
    thawed.unwrap();
    assert!(matches!(thaw.body, RequestBody::Thaw), "{thaw:?}");
    assert!(matches!(guest.request().await.body, RequestBody::Exec(_)));
    assert!(matches!(guest.request().await.body, RequestBody::Signal { signal: 15, .. }));
    assert_eq!(guest.frame().await.payload, b"input");
}

/// Whoever takes over what runs in a guest that was saved counts on this: what was handed over before is in its memory.
#[tokio::test]
async fn what_was_sent_before_a_guest_is_to_stand_still_arrives_before_it_does() {
    let (client, mut guest) = Guest::new().await;
    let spec = ExecSpec { argv: vec!["cat".into()], ..ExecSpec::default() };
    let streams = ExecStreams { stdin: true, ..ExecStreams::default() };
    let mut exec = client.exec(spec, streams).unwrap();
    for piece in [&b"one"[..], b"two", b"three"] {
        exec.stdin.as_mut().unwrap().write_all(piece).await.unwrap();
    }
    let (quiesced, ()) = tokio::join!(client.quiesce(), async {
        assert!(matches!(guest.request().await.body, RequestBody::Exec(_)));
        for piece in [&b"one"[..], b"two", b"three"] {
            assert_eq!(guest.frame().await.payload, piece);
        }
        let request = guest.request().await;
        assert!(matches!(request.body, RequestBody::Quiesce));
        guest.reply(&request, ReplyBody::Done).await;
    });
    quiesced.unwrap();
}

#[tokio::test]
async fn a_job_that_is_taken_over_is_sent_nothing_that_it_has_no_room_for() {
    let (client, mut guest) = Guest::new().await;
    let streams = ExecStreams { stdin: true, ..ExecStreams::default() };
    let mut exec = client.take_over(7, streams).unwrap();
    let request = guest.request().await;
    let RequestBody::TakeOver { job: 7, stdio } = &request.body else { panic!("{request:?}") };
    guest.reply(&request, ReplyBody::Started { pid: 42 }).await;
    assert_eq!(exec.started().await.unwrap(), 42);
    let mut stdin = exec.stdin.take().unwrap();
    let (written, ()) = tokio::join!(stdin.write_all(b"rest"), async {
        let mut credit = Vec::new();
        encode(&mut credit, stdio.stream, Kind::Credit, &3u32.to_le_bytes());
        guest.channel.write_all(&credit).await.unwrap();
        assert_eq!(guest.frame().await.payload, b"res");
        guest.channel.write_all(&credit).await.unwrap();
        assert_eq!(guest.frame().await.payload, b"t");
    });
    written.unwrap();
}

#[tokio::test]
async fn nothing_waits_for_a_guest_that_refuses_to_stand_still() {
    let (client, mut guest) = Guest::new().await;
    let (quiesced, ()) = tokio::join!(client.quiesce(), async {
        let request = guest.request().await;
        let error = WireError { code: ErrorCode::Busy, message: "busy".into(), errno: None };
        guest.reply(&request, ReplyBody::Failed(error)).await;
    });
    quiesced.unwrap_err();
    let (answered, asked) = tokio::join!(client.call(RequestBody::Ping), async {
        let request = guest.request().await;
        guest.reply(&request, ReplyBody::Done).await;
        request
    });
    answered.unwrap();
    assert!(matches!(asked.body, RequestBody::Ping));
}
