//! A connection to one guest's agent.

use super::connection;
use super::connection::Connection;
use super::error::GuestError;
use super::exec;
use super::exec::Exec;
use super::exec::ExecStreams;
use super::shared::Outgoing;
use super::shared::Pending;
use super::shared::Shared;
use super::shared::protocol;
use super::tool;
use super::tool::ToolRun;
use pyro_proto::Decoder;
use pyro_proto::Item;
use pyro_proto::Kind;
use pyro_proto::SYNC;
use pyro_proto::connect::Endpoint;
use pyro_proto::exec::ExecSpec;
use pyro_proto::frame::CONTROL;
use pyro_proto::hello;
use pyro_proto::hello::Attach;
use pyro_proto::hello::Attached;
use pyro_proto::hello::Hello;
use pyro_proto::message;
use pyro_proto::message::ReplyBody;
use pyro_proto::message::Request;
use pyro_proto::message::RequestBody;
use pyro_proto::message::RequestId;
use pyro_proto::status::GuestStatus;
use pyro_proto::tool::Tool;
use pyro_proto::tool::ToolSpec;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Data frames queued for the channel before senders wait.
const DATA_QUEUE_FRAMES: usize = 16;
/// Bytes read from the channel at once.
const READ_BYTES: usize = 64 * 1024;

/// A connection to one guest's agent. Dropping it closes the host's end of the channel.
#[derive(Debug)]
pub struct GuestClient {
    shared: Arc<Shared>,
    data: mpsc::Sender<Vec<u8>>,
    hello: Option<oneshot::Receiver<Hello>>,
    tasks: [JoinHandle<()>; 2],
}

impl GuestClient {
    /// Starts to serve a channel, and begins the attachment on it. The guest need not be up yet.
    pub fn connect<C>(channel: C) -> Self
    where
        C: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (reader, writer) = tokio::io::split(channel);
        let (control, control_queue) = mpsc::unbounded_channel();
        let (ahead, ahead_queue) = mpsc::unbounded_channel();
        let (data, data_queue) = mpsc::channel(DATA_QUEUE_FRAMES);
        let (hello_sender, hello) = oneshot::channel();
        let _ = control.send(Outgoing::Frame(SYNC.to_vec()));
        let shared = Arc::new(Shared::new(control, ahead));
        let tasks = [
            tokio::spawn(read_channel(reader, Arc::clone(&shared), hello_sender)),
            tokio::spawn(write_channel(writer, Arc::clone(&shared), ahead_queue, control_queue, data_queue)),
        ];
        Self { shared, data, hello: Some(hello), tasks }
    }

    /// Waits until the agent says that it is there.
    ///
    /// # Errors
    /// The channel's own, when it ends before.
    pub async fn hello(&mut self) -> Result<Hello, GuestError> {
        let Some(hello) = self.hello.take() else { return Err(protocol("the greeting was already taken")) };
        hello.await.map_err(|_| self.closed_reason())
    }

    /// Opens the attachment. May be called before [`Self::hello`] has answered: the guest finds the request waiting.
    ///
    /// # Errors
    /// [`GuestError::Refused`] when the guest does not accept the token, the version or the identity.
    pub fn attach(&self, attach: Attach) -> impl Future<Output = Result<Attached, GuestError>> + use<> {
        let answer = self.request(RequestBody::Attach(attach));
        async move {
            match answer.await? {
                ReplyBody::Attached(attached) => {
                    let ours = (hello::PROTOCOL_MIN, hello::PROTOCOL_MAX);
                    let spoken = hello::negotiate(ours, (attached.protocol, attached.protocol));
                    spoken
                        .map(|_| attached)
                        .ok_or_else(|| protocol("it chose a version that was not offered"))
                }
                _ => Err(protocol("an attach was answered with something else")),
            }
        }
    }

    /// Starts a command. Returns at once; [`Exec::started`] tells whether the guest could start it.
    ///
    /// # Errors
    /// [`GuestError::Encode`] when the command is larger than a message may be.
    pub fn exec(&self, spec: ExecSpec, streams: ExecStreams) -> Result<Exec, GuestError> {
        exec::start(&self.shared, &self.data, spec, streams)
    }

    /// Starts a command and waits until it runs.
    ///
    /// # Errors
    /// The guest's reason when it could not be started.
    pub async fn start(&self, spec: ExecSpec, streams: ExecStreams) -> Result<Exec, GuestError> {
        let mut exec = self.exec(spec, streams)?;
        exec.started().await?;
        Ok(exec)
    }

    /// Asks for a job of the host before this one, which attached with `keep_jobs`: [`Exec::started`] tells whether it is there.
    /// `streams` are those that it was started with; without `stdin` an input that is no terminal ends.
    ///
    /// # Errors
    /// The channel's own.
    pub fn take_over(&self, job: RequestId, streams: ExecStreams) -> Result<Exec, GuestError> {
        exec::take_over(&self.shared, &self.data, job, streams)
    }

    /// Starts a tool, whose streams carry the bytes of [tree records](pyro_proto::tree).
    ///
    /// # Errors
    /// [`GuestError::Encode`] when the request is larger than a message may be.
    pub fn tool_bytes(&self, tool: Tool, input: bool) -> Result<Exec, GuestError> {
        let streams = ExecStreams { stdin: input, ..ExecStreams::default() };
        exec::start_job(&self.shared, &self.data, streams, |stdio| {
            RequestBody::Tool(ToolSpec { tool, stdio, timeout_ms: None })
        })
    }

    /// Opens a connection to something that listens in the guest. The guest gives up by itself only after minutes, so whoever
    /// cannot wait drops the future.
    ///
    /// # Errors
    /// [`GuestError::Refused`] when nothing listens there, or by an agent that is too old to know; or the channel's own.
    pub fn open(&self, to: Endpoint) -> impl Future<Output = Result<Connection, GuestError>> + Send + use<> {
        connection::open(&self.shared, &self.data, to)
    }

    /// Waits until the channel has closed: the guest or its engine is gone.
    pub async fn closed(&self) {
        let mut closed = self.shared.closed.subscribe();
        // The sender is in `shared`, which this borrows.
        let _ = closed.wait_for(|closed| *closed).await;
    }

    /// Starts a tool: work on the guest's files that needs no program of the guest. Returns at once.
    ///
    /// # Errors
    /// [`GuestError::Encode`] when what is asked for is larger than a message may be.
    pub fn tool(&self, tool: Tool, input: bool, timeout: Option<Duration>) -> Result<ToolRun, GuestError> {
        tool::start(&self.shared, &self.data, tool, input, timeout)
    }

    /// Has the guest freeze its processes and flush what they wrote. What is asked of it or sent to it from then on waits until
    /// it is thawed, for a guest that stands still must not be told anything. Once this has returned, the guest has got what was
    /// sent before, and everything it had said has come.
    ///
    /// # Errors
    /// [`GuestError::Refused`] with the guest's reason, or the channel's own; nothing waits then.
    pub async fn quiesce(&self) -> Result<(), GuestError> {
        let quiesced = self.call(RequestBody::Quiesce).await;
        if quiesced.is_err() {
            self.shared.go_on(None);
        }
        quiesced
    }

    /// Has the guest go on, and sends it what waited.
    ///
    /// # Errors
    /// [`GuestError::Refused`] with the guest's reason, or the channel's own.
    pub async fn thaw(&self) -> Result<(), GuestError> {
        self.call(RequestBody::Thaw).await
    }

    /// Asks for something whose answer is [`ReplyBody::Done`].
    ///
    /// # Errors
    /// [`GuestError::Refused`] with the guest's reason, or the channel's own.
    pub fn call(&self, body: RequestBody) -> impl Future<Output = Result<(), GuestError>> + use<> {
        let answer = self.request(body);
        async move {
            match answer.await? {
                ReplyBody::Done => Ok(()),
                _ => Err(protocol("a request was answered with something else")),
            }
        }
    }

    /// How the guest is doing.
    ///
    /// # Errors
    /// [`GuestError::Refused`] by an agent that is too old to know, or the channel's own.
    pub fn status(&self) -> impl Future<Output = Result<GuestStatus, GuestError>> + use<> {
        let answer = self.request(RequestBody::Status);
        async move {
            match answer.await? {
                ReplyBody::Status(status) => Ok(status),
                _ => Err(protocol("a status was answered with something else")),
            }
        }
    }

    /// What the guest's agent logged, oldest first.
    pub fn log(&self) -> Vec<String> {
        self.shared.lock().log.clone()
    }

    fn request(&self, body: RequestBody) -> impl Future<Output = Result<ReplyBody, GuestError>> + use<> {
        let id = self.shared.next_request();
        let (sender, answer) = oneshot::channel();
        let sent = send_request(&self.shared, id, body, Pending::Once(sender));
        let shared = Arc::clone(&self.shared);
        async move {
            sent?;
            answer.await.unwrap_or_else(|_| Err(closed_reason(&shared)))
        }
    }

    fn closed_reason(&self) -> GuestError {
        closed_reason(&self.shared)
    }
}

impl Drop for GuestClient {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        self.shared.close(GuestError::Closed);
    }
}

fn closed_reason(shared: &Shared) -> GuestError {
    shared.lock().closed.clone().unwrap_or(GuestError::Closed)
}

/// Registers who waits for the answer, then sends.
pub(super) fn send_request(
    shared: &Shared,
    id: RequestId,
    body: RequestBody,
    pending: Pending,
) -> Result<(), GuestError> {
    let request = Request { request: id, body };
    let payload = message::to_payload(&request).map_err(|error| GuestError::Encode(Arc::new(error)))?;
    {
        let mut state = shared.lock();
        if let Some(reason) = &state.closed {
            return Err(reason.clone());
        }
        state.pending.insert(id, pending);
    }
    match request.body {
        RequestBody::Quiesce => shared.send_last(&payload),
        RequestBody::Thaw => shared.go_on(Some(&payload)),
        _ => shared.send_frame(CONTROL, Kind::Control, &payload),
    }
    Ok(())
}

async fn read_channel<R: AsyncRead + Unpin>(
    mut reader: R,
    shared: Arc<Shared>,
    hello: oneshot::Sender<Hello>,
) {
    let mut decoder = Decoder::new();
    let mut hello = Some(hello);
    let mut bytes = vec![0; READ_BYTES];
    loop {
        let size = match reader.read(&mut bytes).await {
            Ok(0) => return shared.close(GuestError::Closed),
            Ok(size) => size,
            Err(error) => return shared.close(GuestError::Channel(Arc::new(error))),
        };
        decoder.push(&bytes[..size]);
        if let Err(error) = take_items(&mut decoder, &shared, &mut hello) {
            return shared.close(error);
        }
    }
}

fn take_items(
    decoder: &mut Decoder,
    shared: &Shared,
    hello: &mut Option<oneshot::Sender<Hello>>,
) -> Result<(), GuestError> {
    while let Some(item) = decoder.next_item().map_err(protocol)? {
        let frame = match item {
            Item::Sync => continue,
            Item::Frame(frame) => frame,
        };
        if frame.kind != Kind::Control {
            shared.receive(&frame)?;
            continue;
        }
        let reply = message::reply_from_payload(&frame.payload).map_err(protocol)?;
        if let ReplyBody::Hello(greeting) = reply.body {
            if let Some(hello) = hello.take() {
                let _ = hello.send(greeting);
            }
        } else {
            shared.receive_reply(reply)?;
        }
    }
    Ok(())
}

/// Writes control frames before data, and ends when the channel does or when all its users are gone.
async fn write_channel<W: AsyncWrite + Unpin>(
    mut writer: W,
    shared: Arc<Shared>,
    mut ahead: mpsc::UnboundedReceiver<Vec<u8>>,
    mut control: mpsc::UnboundedReceiver<Outgoing>,
    mut data: mpsc::Receiver<Vec<u8>>,
) {
    let mut still = false;
    loop {
        let bytes = tokio::select! {
            biased;
            Some(bytes) = ahead.recv() => {
                still = false;
                bytes
            }
            Some(outgoing) = control.recv(), if !still => match outgoing {
                Outgoing::Frame(bytes) => bytes,
                Outgoing::Last(bytes) => {
                    still = true;
                    // What was sent before arrives before: control frames overtake data, and this one must not.
                    for _ in 0..DATA_QUEUE_FRAMES {
                        let Ok(sent) = data.try_recv() else { break };
                        if let Err(error) = writer.write_all(&sent).await {
                            return shared.close(GuestError::Channel(Arc::new(error)));
                        }
                    }
                    bytes
                }
            },
            Some(bytes) = data.recv(), if !still => bytes,
            else => return,
        };
        if let Err(error) = writer.write_all(&bytes).await {
            return shared.close(GuestError::Channel(Arc::new(error)));
        }
    }
}
