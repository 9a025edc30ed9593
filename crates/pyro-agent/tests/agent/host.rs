//! A blocking host for tests: one agent process over a socket pair, streams collected as they come. This file must not
//! assert what a test is about.

use pyro_proto::Decoder;
use pyro_proto::Item;
use pyro_proto::Kind;
use pyro_proto::SYNC;
use pyro_proto::SendWindow;
use pyro_proto::StreamId;
use pyro_proto::bytes::ByteString;
use pyro_proto::connect::ConnectSpec;
use pyro_proto::connect::Endpoint;
use pyro_proto::exec::ExecExit;
use pyro_proto::exec::ExecSpec;
use pyro_proto::exec::Stdio;
use pyro_proto::frame;
use pyro_proto::hello::Attach;
use pyro_proto::hello::Identity;
use pyro_proto::limits::CONNECTION_CREDIT_BYTES;
use pyro_proto::message;
use pyro_proto::message::Reply;
use pyro_proto::message::ReplyBody;
use pyro_proto::message::Request;
use pyro_proto::message::RequestBody;
use pyro_proto::message::RequestId;
use pyro_proto::message::WireError;
use pyro_proto::tool::Tool;
use pyro_proto::tool::ToolSpec;
use pyro_proto::tree::Record;
use pyro_proto::tree::TreeDecoder;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::VecDeque;
use std::io::Read as _;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::process::Command;

pub(crate) struct Host {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) socket: UnixStream,
    pub(crate) agent: Child,
    decoder: Decoder,
    next_request: RequestId,
    next_stream: StreamId,
    pub(crate) replies: VecDeque<Reply>,
    pub(crate) data: BTreeMap<StreamId, Vec<u8>>,
    pub(crate) ended: BTreeSet<StreamId>,
    /// Streams this side has given up.
    pub(crate) abandoned: BTreeSet<StreamId>,
    pub(crate) resets: BTreeSet<StreamId>,
    /// Streams that are granted no credit: their reader is slow.
    pub(crate) slow: BTreeSet<StreamId>,
    pub(crate) windows: BTreeMap<StreamId, SendWindow>,
    pub(crate) hellos: usize,
}

pub(crate) struct Running {
    pub(crate) request: RequestId,
    pub(crate) out: StreamId,
    pub(crate) err: StreamId,
    pub(crate) pid: u32,
}

/// What a tool wrote.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) records: Vec<Record>,
    pub(crate) last: Result<Vec<u8>, WireError>,
    pub(crate) max_rss_kib: u64,
}

pub(crate) struct Outcome {
    pub(crate) exit: ExecExit,
    pub(crate) out: Vec<u8>,
    pub(crate) err: Vec<u8>,
}

pub(crate) fn spec(argv: &[&str]) -> ExecSpec {
    ExecSpec { argv: argv.iter().map(|word| ByteString::from(*word)).collect(), ..ExecSpec::default() }
}

pub(crate) fn shell(script: &str) -> ExecSpec {
    spec(&["/bin/sh", "-c", script])
}

pub(crate) fn identity() -> Identity {
    Identity {
        generation: 1,
        entropy: ByteString(vec![1; 64]),
        realtime_ns: 1,
        hostname: "test".into(),
        machine_id: "0".repeat(32),
    }
}

pub(crate) fn attach(token: &str) -> Attach {
    Attach {
        protocol_min: 1,
        protocol_max: 1,
        token: token.into(),
        next_token: None,
        identity: Some(identity()),
        open_disk: None,
        keep_jobs: false,
    }
}

impl Host {
    /// An agent that nothing was said to.
    pub(crate) fn silent() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("workspace")).unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let agent = Command::new("/bin/sh")
            .args([
                "-c",
                "exec \"$0\" --host-compat \"$1\" 3<&0 0</dev/null",
                env!("CARGO_BIN_EXE_pyro-agent"),
            ])
            .arg(folder.path())
            .stdin(OwnedFd::from(theirs))
            .spawn()
            .unwrap();
        Self {
            folder,
            socket: ours,
            agent,
            decoder: Decoder::new(),
            next_request: 1,
            next_stream: 1,
            replies: VecDeque::new(),
            data: BTreeMap::new(),
            ended: BTreeSet::new(),
            abandoned: BTreeSet::new(),
            resets: BTreeSet::new(),
            slow: BTreeSet::new(),
            windows: BTreeMap::new(),
            hellos: 0,
        }
    }

    /// An agent that is attached to.
    pub(crate) fn new() -> Self {
        let mut host = Self::silent();
        host.sync();
        host.ask(RequestBody::Attach(attach("token"))).unwrap();
        host
    }

    /// Becomes a new host, as a supervisor does: what the agent was writing to the old one, half a frame included,
    /// is passed over until its own sync.
    pub(crate) fn sync(&mut self) {
        self.decoder.reset();
        self.socket.write_all(&SYNC).unwrap();
        self.data.clear();
        self.ended.clear();
        self.windows.clear();
        let hellos = self.hellos;
        while self.hellos == hellos {
            self.step();
        }
    }

    pub(crate) fn send(&mut self, body: RequestBody) -> RequestId {
        let request = self.next_request;
        self.next_request += 1;
        let payload = message::to_payload(&Request { request, body }).unwrap();
        self.write(frame::CONTROL, Kind::Control, &payload);
        request
    }

    /// Sends two requests in one piece; what they are may depend on the number of the first.
    pub(crate) fn send_both(&mut self, bodies: impl FnOnce(RequestId) -> [RequestBody; 2]) -> [RequestId; 2] {
        let first = self.next_request;
        self.next_request += 2;
        let mut wire = Vec::new();
        for (request, body) in (first..).zip(bodies(first)) {
            let payload = message::to_payload(&Request { request, body }).unwrap();
            frame::encode(&mut wire, frame::CONTROL, Kind::Control, &payload);
        }
        self.socket.write_all(&wire).unwrap();
        [first, first + 1]
    }

    /// A stream that nothing uses yet.
    pub(crate) const fn next_stream(&mut self) -> StreamId {
        self.next_stream += 1;
        self.next_stream - 1
    }

    pub(crate) fn write(&mut self, stream: StreamId, kind: Kind, payload: &[u8]) {
        let mut wire = Vec::new();
        frame::encode(&mut wire, stream, kind, payload);
        self.socket.write_all(&wire).unwrap();
    }

    /// Sends a request and waits for its first reply.
    pub(crate) fn ask(&mut self, body: RequestBody) -> Result<ReplyBody, WireError> {
        let request = self.send(body);
        match self.reply(request) {
            ReplyBody::Failed(error) => Err(error),
            other => Ok(other),
        }
    }

    /// The next reply to a request.
    pub(crate) fn reply(&mut self, request: RequestId) -> ReplyBody {
        loop {
            if let Some(at) = self.replies.iter().position(|reply| reply.request == request) {
                return self.replies.remove(at).unwrap().body;
            }
            self.step();
        }
    }

    /// Starts a command on fresh streams.
    pub(crate) fn start(&mut self, mut spec: ExecSpec) -> Result<Running, WireError> {
        let (out, err) = (self.next_stream, self.next_stream + 1);
        self.next_stream += 2;
        let terminal = spec.stdio.pty.is_some();
        spec.stdio = Stdio { stream: out, stderr_stream: (!terminal).then_some(err), ..spec.stdio };
        if terminal {
            self.ended.insert(err);
        }
        self.windows.insert(out, SendWindow::default());
        let request = self.send(RequestBody::Exec(spec));
        match self.reply(request) {
            ReplyBody::Started { pid } => Ok(Running { request, out, err, pid }),
            ReplyBody::Failed(error) => Err(error),
            other => panic!("unexpected {other:?}"),
        }
    }

    /// Asks for a job of the host before, on fresh streams.
    pub(crate) fn take_over(&mut self, old: &Running, stdin: bool) -> Result<Running, WireError> {
        let (out, err) = (self.next_stream, self.next_stream + 1);
        self.next_stream += 2;
        let stdio = Stdio { stream: out, stdin, stderr_stream: Some(err), pty: None };
        self.windows.insert(out, SendWindow::of(0));
        let request = self.send(RequestBody::TakeOver { job: old.request, stdio });
        match self.reply(request) {
            ReplyBody::Started { pid } => Ok(Running { request, out, err, pid }),
            ReplyBody::Failed(error) => Err(error),
            other => panic!("unexpected {other:?}"),
        }
    }

    /// Becomes a new host that wants the jobs of the old one.
    pub(crate) fn come_for_jobs(&mut self) {
        self.sync();
        let keeping = Attach { keep_jobs: true, ..attach("token") };
        self.ask(RequestBody::Attach(keeping)).unwrap();
    }

    /// Asks for a connection on a fresh stream.
    pub(crate) fn begin_connect(&mut self, to: Endpoint) -> (RequestId, StreamId) {
        let stream = self.next_stream;
        self.next_stream += 1;
        self.windows.insert(stream, SendWindow::of(CONNECTION_CREDIT_BYTES));
        (self.send(RequestBody::Connect(ConnectSpec { stream, to })), stream)
    }

    /// Opens a connection; its stream.
    pub(crate) fn connect(&mut self, to: Endpoint) -> Result<StreamId, WireError> {
        let (request, stream) = self.begin_connect(to);
        match self.reply(request) {
            ReplyBody::Connected => Ok(stream),
            ReplyBody::Failed(error) => Err(error),
            other => panic!("unexpected {other:?}"),
        }
    }

    /// Sends bytes as credit allows; what a job that has ended did not take is dropped, since nobody grants it credit.
    pub(crate) fn push(&mut self, stream: StreamId, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = self.windows[&stream].available().min(bytes.len()).min(32 * 1024);
            if room == 0 {
                let exited = self.replies.iter().any(|reply| matches!(reply.body, ReplyBody::Exited(_)));
                if exited && self.ended.contains(&stream) {
                    return;
                }
                self.step();
                continue;
            }
            self.windows.get_mut(&stream).unwrap().spend(room);
            self.write(stream, Kind::Data, &bytes[..room]);
            bytes = &bytes[room..];
        }
    }

    /// Waits until so many bytes of a stream have come, and takes all there are.
    pub(crate) fn take(&mut self, stream: StreamId, least: usize) -> Vec<u8> {
        while self.data.get(&stream).map_or(0, Vec::len) < least {
            self.step();
        }
        self.data.remove(&stream).unwrap_or_default()
    }

    /// Starts a tool on a fresh stream.
    pub(crate) fn start_tool(&mut self, tool: Tool, stdin: bool) -> Result<Running, WireError> {
        let out = self.next_stream;
        self.next_stream += 1;
        self.windows.insert(out, SendWindow::default());
        let stdio = Stdio { stream: out, stdin, ..Stdio::default() };
        let request = self.send(RequestBody::Tool(ToolSpec { tool, stdio, timeout_ms: None }));
        match self.reply(request) {
            ReplyBody::Started { pid } => Ok(Running { request, out, err: out, pid }),
            ReplyBody::Failed(error) => Err(error),
            other => panic!("unexpected {other:?}"),
        }
    }

    /// Waits for a tool's end; what it wrote.
    pub(crate) fn finish_tool(&mut self, running: &Running) -> Told {
        let outcome = self.finish(running);
        let mut decoder = TreeDecoder::new();
        decoder.push(&outcome.out);
        let mut records = Vec::new();
        while let Some(record) = decoder.next_record().unwrap() {
            records.push(record);
        }
        assert!(!decoder.is_cut(), "half a record");
        let (last, code) = match records.pop() {
            Some(Record::Done(json)) => (Ok(json), 0),
            Some(Record::Failed(json)) => (Err(serde_json::from_slice(&json).unwrap()), 1),
            other => panic!("{other:?} came last of {}, {:?}", records.len(), outcome.exit),
        };
        assert_eq!(outcome.exit.ending, pyro_proto::exec::Ending::Code(code));
        Told { records, last, max_rss_kib: outcome.exit.max_rss_kib }
    }

    /// Runs a tool that reads nothing.
    pub(crate) fn tool(&mut self, tool: Tool) -> Told {
        let running = self.start_tool(tool, false).unwrap();
        self.finish_tool(&running)
    }

    /// Runs a tool on an input.
    pub(crate) fn tool_with(&mut self, tool: Tool, input: &[u8]) -> Told {
        let running = self.start_tool(tool, true).unwrap();
        self.feed(running.out, input);
        self.finish_tool(&running)
    }

    /// Waits for a command's end.
    pub(crate) fn finish(&mut self, running: &Running) -> Outcome {
        let ReplyBody::Exited(exit) = self.reply(running.request) else { panic!("not an exit") };
        assert!(
            self.ended.contains(&running.out) && self.ended.contains(&running.err),
            "the end follows the data"
        );
        let mut take = |stream| self.data.remove(&stream).unwrap_or_default();
        Outcome { exit, out: take(running.out), err: take(running.err) }
    }

    pub(crate) fn run(&mut self, spec: ExecSpec) -> Outcome {
        let running = self.start(spec).unwrap();
        self.finish(&running)
    }

    /// Sends all of `bytes` as credit allows, then end-of-file.
    pub(crate) fn feed(&mut self, stream: StreamId, bytes: &[u8]) {
        self.push(stream, bytes);
        self.write(stream, Kind::Eof, &[]);
    }

    pub(crate) fn grant(&mut self, stream: StreamId, bytes: u32) {
        self.write(stream, Kind::Credit, &bytes.to_le_bytes());
    }

    /// Reads once.
    pub(crate) fn step(&mut self) {
        let mut buffer = vec![0; 64 * 1024];
        let count = self.socket.read(&mut buffer).unwrap();
        assert!(count > 0, "the agent closed the channel");
        self.decoder.push(&buffer[..count]);
        while let Some(item) = self.decoder.next_item().unwrap() {
            match item {
                Item::Sync => self.replies.clear(),
                Item::Frame(frame) => self.frame(&frame),
            }
        }
    }

    fn frame(&mut self, frame: &pyro_proto::Frame) {
        let stream = frame.stream;
        if self.abandoned.contains(&stream) {
            return;
        }
        match frame.kind {
            Kind::Control => {
                let reply = message::reply_from_payload(&frame.payload).unwrap();
                self.hellos += usize::from(matches!(reply.body, ReplyBody::Hello(_)));
                self.replies.push_back(reply);
            }
            Kind::Data => {
                assert!(!self.ended.contains(&stream), "data after the end");
                self.data.entry(stream).or_default().extend_from_slice(&frame.payload);
                if !self.slow.contains(&stream) {
                    self.grant(stream, u32::try_from(frame.payload.len()).unwrap());
                }
            }
            Kind::Eof => assert!(self.ended.insert(stream), "two ends"),
            Kind::Credit => {
                self.windows.get_mut(&stream).unwrap().grant(frame.credit_bytes().unwrap()).unwrap();
            }
            Kind::Reset => {
                self.resets.insert(stream);
            }
        }
    }

    /// The agent's resident memory in KiB, at its highest.
    pub(crate) fn agent_peak_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.agent.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // The agent ends when its channel does; a hung one must not outlive the test.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
        if std::thread::panicking() {
            let _ = self.agent.kill();
        }
        let _ = self.agent.wait();
    }
}
