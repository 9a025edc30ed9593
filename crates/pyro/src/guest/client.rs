//! A connection to one guest's agent.

use super::error::GuestError;
use super::exec;
use super::exec::Exec;
use super::exec::ExecStreams;
use super::shared::Pending;
use super::shared::Shared;
use super::shared::protocol;
use pyro_proto::Decoder;
use pyro_proto::Item;
use pyro_proto::Kind;
use pyro_proto::SYNC;
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
use std::sync::Arc;
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
        let (data, data_queue) = mpsc::channel(DATA_QUEUE_FRAMES);
        let (hello_sender, hello) = oneshot::channel();
        let _ = control.send(SYNC.to_vec());
        let shared = Arc::new(Shared::new(control));
        let tasks = [
            tokio::spawn(read_channel(reader, Arc::clone(&shared), hello_sender)),
            tokio::spawn(write_channel(writer, Arc::clone(&shared), control_queue, data_queue)),
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
    let payload = message::to_payload(&Request { request: id, body })
        .map_err(|error| GuestError::Encode(Arc::new(error)))?;
    {
        let mut state = shared.lock();
        if let Some(reason) = &state.closed {
            return Err(reason.clone());
        }
        state.pending.insert(id, pending);
    }
    shared.send_frame(CONTROL, Kind::Control, &payload);
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
    mut control: mpsc::UnboundedReceiver<Vec<u8>>,
    mut data: mpsc::Receiver<Vec<u8>>,
) {
    loop {
        let bytes = tokio::select! {
            biased;
            Some(bytes) = control.recv() => bytes,
            Some(bytes) = data.recv() => bytes,
            else => return,
        };
        if let Err(error) = writer.write_all(&bytes).await {
            return shared.close(GuestError::Channel(Arc::new(error)));
        }
    }
}
