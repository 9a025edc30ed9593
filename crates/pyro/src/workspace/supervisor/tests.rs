//! A guest for tests, in the hand of the test: it hears what is asked and answers what the test says. This file must not
//! assert what a test is about.

use crate::guest::GuestClient;
use pyro_proto::Decoder;
use pyro_proto::Item;
use pyro_proto::Kind;
use pyro_proto::SYNC;
use pyro_proto::StreamId;
use pyro_proto::exec::Ending;
use pyro_proto::exec::ExecExit;
use pyro_proto::frame;
use pyro_proto::frame::CONTROL;
use pyro_proto::message;
use pyro_proto::message::Incoming;
use pyro_proto::message::Reply;
use pyro_proto::message::ReplyBody;
use pyro_proto::message::Request;
use pyro_proto::message::RequestBody;
use pyro_proto::message::RequestId;
use pyro_proto::tool::Tool;
use pyro_proto::tree::Record;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;

/// A guest.
pub(super) struct FakeGuest {
    channel: UnixStream,
    decoder: Decoder,
}

/// A tool that it was asked to run, and says that it runs.
pub(super) struct FakeTool<'g> {
    guest: &'g mut FakeGuest,
    request: RequestId,
    stream: StreamId,
}

impl FakeGuest {
    pub(super) fn new() -> (Self, GuestClient) {
        let (near, far) = UnixStream::pair().unwrap();
        (Self { channel: near, decoder: Decoder::new() }, GuestClient::connect(far))
    }

    /// The next frame; `None` when the host has closed the channel.
    async fn frame(&mut self) -> Option<frame::Frame> {
        loop {
            match self.decoder.next_item().unwrap() {
                Some(Item::Frame(frame)) => return Some(frame),
                Some(Item::Sync) => self.channel.write_all(&SYNC).await.unwrap(),
                None => {
                    let mut bytes = [0; 4096];
                    match self.channel.read(&mut bytes).await.unwrap_or(0) {
                        0 => return None,
                        count => self.decoder.push(&bytes[..count]),
                    }
                }
            }
        }
    }

    /// The next request, whatever else comes before it.
    pub(super) async fn request(&mut self) -> (RequestId, RequestBody) {
        self.next_request().await.expect("the host asks for something")
    }

    async fn next_request(&mut self) -> Option<(RequestId, RequestBody)> {
        loop {
            let frame = self.frame().await?;
            if frame.kind == Kind::Control {
                let heard = message::request_from_payload(&frame.payload).unwrap();
                let Incoming::Request(Request { request, body }) = heard else { panic!("{heard:?}") };
                return Some((request, body));
            }
        }
    }

    /// All that is still asked, when the host has closed the channel.
    pub(super) async fn requests(&mut self) -> Vec<RequestBody> {
        let mut all = Vec::new();
        while let Some((_, body)) = self.next_request().await {
            all.push(body);
        }
        all
    }

    pub(super) async fn hears_nothing_more(&mut self) -> bool {
        self.requests().await.is_empty()
    }

    /// The next tool, which is said to run.
    pub(super) async fn tool(&mut self) -> FakeTool<'_> {
        self.tool_and_what().await.0
    }

    pub(super) async fn tool_and_what(&mut self) -> (FakeTool<'_>, Tool) {
        loop {
            if let (request, RequestBody::Tool(spec)) = self.request().await {
                self.reply(request, ReplyBody::Started { pid: 1 }).await;
                return (FakeTool { guest: self, request, stream: spec.stdio.stream }, spec.tool);
            }
        }
    }

    async fn reply(&mut self, request: RequestId, body: ReplyBody) {
        let payload = message::to_payload(&Reply { request, body }).unwrap();
        self.write(CONTROL, Kind::Control, &payload).await;
    }

    async fn write(&mut self, stream: StreamId, kind: Kind, payload: &[u8]) {
        let mut wire = Vec::new();
        frame::encode(&mut wire, stream, kind, payload);
        self.channel.write_all(&wire).await.unwrap();
    }
}

impl FakeTool<'_> {
    pub(super) async fn says(&mut self, bytes: &[u8]) {
        self.guest.write(self.stream, Kind::Data, bytes).await;
    }

    /// Waits until its input has ended.
    pub(super) async fn input_ends(&mut self) {
        while let Some(frame) = self.guest.frame().await {
            if frame.kind == Kind::Eof && frame.stream == self.stream {
                return;
            }
        }
        panic!("its input did not end");
    }

    /// Waits until the host wants it killed.
    pub(super) async fn is_told_to_die(&mut self) {
        loop {
            let (_, body) = self.guest.request().await;
            if matches!(body, RequestBody::Signal { job, signal: 9, .. } if job == self.request) {
                return;
            }
        }
    }

    /// Ends it, with nothing to tell.
    pub(super) async fn done(mut self) {
        let mut wire = Vec::new();
        Record::Done(b"{}".to_vec()).encode(&mut wire);
        self.says(&wire).await;
        self.end(Ending::Code(0)).await;
    }

    /// Ends it as a signal does.
    pub(super) async fn killed(self) {
        self.end(Ending::Signal(9)).await;
    }

    async fn end(self, ending: Ending) {
        let Self { guest, request, stream } = self;
        guest.write(stream, Kind::Eof, &[]).await;
        let exit =
            ExecExit { ending, timed_out: false, detached: 0, duration_us: 1, max_rss_kib: 1, cpu_us: 1 };
        guest.reply(request, ReplyBody::Exited(exit)).await;
    }
}
