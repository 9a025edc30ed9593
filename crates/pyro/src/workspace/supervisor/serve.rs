//! One connection of a client: who it is, what it asks, what it is told. This file must not do what is asked.

use super::Supervisor;
use crate::workspace::audit;
use crate::workspace::control::frame;
use crate::workspace::control::frame::CHUNK_BYTES;
use crate::workspace::control::frame::Frame;
use crate::workspace::control::frame::Tag;
use crate::workspace::control::message::Envelope;
use crate::workspace::control::message::Event;
use crate::workspace::control::message::Request;
use crate::workspace::document::StopReason;
use crate::workspace::error::WorkspaceError;
use pyro_proto::message::SignalTarget;
use serde_json::Value;
use serde_json::json;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// How long a client may take to say what it wants.
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);

/// Frames of a client that are read ahead.
const FRAMES_AHEAD: usize = 4;

/// A client.
pub(super) struct Client {
    frames: mpsc::Receiver<Frame>,
    reads: JoinHandle<()>,
    writer: OwnedWriteHalf,
    /// What the audit says of this connection.
    exchange: audit::Exchange,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.reads.abort();
    }
}

impl Client {
    pub(super) fn new(stream: UnixStream) -> Self {
        let (mut reader, writer) = stream.into_split();
        let (sender, frames) = mpsc::channel(FRAMES_AHEAD);
        let reads = tokio::spawn(async move {
            while let Ok(Some(frame)) = frame::read(&mut reader).await {
                if sender.send(frame).await.is_err() {
                    return;
                }
            }
        });
        Self { frames, reads, writer, exchange: audit::Exchange::default() }
    }

    /// Tells the client something.
    pub(super) async fn event(&mut self, event: &Event) -> Result<(), WorkspaceError> {
        if let Event::Ended(ended) = event {
            self.exchange.ended = Some(ended.clone());
        }
        let sent = match serde_json::to_vec(event) {
            Ok(bytes) => frame::write(&mut self.writer, Tag::Json, &bytes).await,
            Err(error) => Err(error.into()),
        };
        sent.map_err(|source| WorkspaceError::Caller { operation: "answering the client", source })
    }

    /// Passes bytes on.
    pub(super) async fn send(&mut self, tag: Tag, bytes: &[u8]) -> io::Result<()> {
        self.exchange.sent_bytes += bytes.len() as u64;
        for chunk in bytes.chunks(CHUNK_BYTES) {
            frame::write(&mut self.writer, tag, chunk).await?;
        }
        Ok(())
    }

    /// The next frame; `None` when the client is gone. May be given up.
    pub(super) async fn read(&mut self) -> Option<Frame> {
        let frame = self.frames.recv().await;
        note_input(frame.as_ref(), &mut self.exchange.received_bytes);
        frame
    }

    /// The next frame if there is room for it; `None` when the client is gone. May be given up.
    pub(super) async fn next(&mut self, room: bool) -> Option<Frame> {
        if room {
            return self.read().await;
        }
        // A socket has no urgent data: all that this can mean is that the other end is closed, whatever is still to be read.
        let _ = self.writer.ready(Interest::PRIORITY).await;
        None
    }

    /// Both directions, for those who must not let one wait for the other.
    pub(super) const fn halves(&mut self) -> (Incoming<'_>, Outgoing<'_>) {
        let audit::Exchange { sent_bytes, received_bytes, .. } = &mut self.exchange;
        (
            Incoming { frames: &mut self.frames, received_bytes },
            Outgoing { writer: &mut self.writer, sent_bytes },
        )
    }

    /// Waits until the client is gone.
    pub(super) async fn gone(&mut self) {
        while self.read().await.is_some() {}
    }
}

fn note_input(frame: Option<&Frame>, received_bytes: &mut u64) {
    if let Some(Frame { tag: Tag::Input, payload }) = frame {
        *received_bytes += payload.len() as u64;
    }
}

/// What a client sends.
pub(super) struct Incoming<'a> {
    frames: &'a mut mpsc::Receiver<Frame>,
    received_bytes: &'a mut u64,
}

impl Incoming<'_> {
    /// The next frame; `None` when the client is gone. May be given up.
    pub(super) async fn read(&mut self) -> Option<Frame> {
        let frame = self.frames.recv().await;
        note_input(frame.as_ref(), self.received_bytes);
        frame
    }
}

/// What goes to a client.
pub(super) struct Outgoing<'a> {
    writer: &'a mut OwnedWriteHalf,
    sent_bytes: &'a mut u64,
}

impl Outgoing<'_> {
    /// Waits until the client is gone, whatever of it is still to be read.
    pub(super) async fn hung_up(&mut self) {
        let _ = self.writer.ready(Interest::PRIORITY).await;
    }

    /// Passes bytes on.
    pub(super) async fn send(&mut self, tag: Tag, bytes: &[u8]) -> io::Result<()> {
        *self.sent_bytes += bytes.len() as u64;
        for chunk in bytes.chunks(CHUNK_BYTES) {
            frame::write(self.writer, tag, chunk).await?;
        }
        Ok(())
    }
}

/// Serves one connection to its end.
pub(super) async fn connection(supervisor: Arc<Supervisor>, stream: UnixStream) {
    // The socket's folder is private; this is the second lock on the same door.
    let Ok(peer) = stream.peer_cred() else { return };
    let own = rustix::process::geteuid().as_raw();
    if peer.uid() != own && peer.uid() != 0 {
        return;
    }
    let mut client = Client::new(stream);
    let first = tokio::time::timeout(REQUEST_DEADLINE, client.read()).await;
    let Ok(Some(Frame { tag: Tag::Json, payload })) = first else { return };
    let began = Instant::now();
    let envelope = match serde_json::from_slice::<Envelope>(&payload) {
        Ok(envelope) => envelope,
        Err(error) => {
            let did = format!("does not know this request ({error}); is it of another version?");
            let error = WorkspaceError::Supervisor { workspace: supervisor.id(), did };
            let _ = client.event(&Event::Failed(error.failure())).await;
            return;
        }
    };
    let entry = audit::Entry::begin(&envelope, peer.pid(), &supervisor.vault.needles());
    let outcome = dispatch(&supervisor, envelope.request, &mut client).await;
    if let Some(entry) = entry {
        entry.end(&supervisor.folder, outcome.as_ref().err(), &client.exchange, began.elapsed());
    }
    let last = match outcome {
        Ok(result) => Event::Done { result },
        Err(error) => Event::Failed(error.failure().redacted(&supervisor.vault.needles())),
    };
    if client.event(&last).await.is_err() {
        // Either nobody is there, or the answer is too long for a frame; whoever waits must not take that for a crash.
        let did = "could not put its answer into one message".to_owned();
        let error = WorkspaceError::Supervisor { workspace: supervisor.id(), did };
        let _ = client.event(&Event::Failed(error.failure())).await;
    }
}

async fn dispatch(
    supervisor: &Arc<Supervisor>,
    request: Request,
    client: &mut Client,
) -> Result<Value, WorkspaceError> {
    match request {
        Request::Status { guest, usage, settled } => {
            if settled {
                supervisor.settled().await?;
            }
            supervisor.status(guest, usage).await
        }
        Request::Exec(request) => supervisor.exec(request, client).await,
        Request::SetSecrets { secrets } => {
            supervisor.unless_blocked(supervisor.set_secrets(secrets)).await.map(|()| Value::Null)
        }
        Request::RemoveSecret { name } => {
            supervisor.unless_blocked(supervisor.remove_secret(&name)).await.map(|()| Value::Null)
        }
        Request::KnownSecrets => Ok(json!(supervisor.vault.known())),
        Request::SecretValues => Ok(json!(supervisor.vault.all())),
        Request::Jobs => Ok(supervisor.living_jobs()),
        Request::Follow { job, stdout, stderr, wait, input } => {
            supervisor.follow(job, [stdout, stderr], wait, input, client).await
        }
        Request::Signal { job, signal, tree } => {
            let target = if tree { SignalTarget::Tree } else { SignalTarget::Foreground };
            supervisor.living_job(job)?.signal(signal, target);
            Ok(Value::Null)
        }
        Request::Tool { tool, input, activity } => {
            let _in_use = activity.map(|_| supervisor.in_use());
            supervisor.unless_blocked(supervisor.tool(tool, input, client)).await
        }
        Request::Hold => supervisor.hold(client).await,
        Request::Connect { to } => supervisor.connect(to, client).await,
        Request::PublishPort { spec } => supervisor.publish_port(&spec).await,
        Request::Ports => Ok(supervisor.describe_ports()),
        Request::RemovePort { host_port } => supervisor.remove_port(host_port),
        Request::ServiceStart { name, spec, wait } => {
            supervisor.check_room()?;
            supervisor.start_service(name, *spec, wait, client).await
        }
        Request::Services => Ok(supervisor.describe_services()),
        Request::ServiceLogs { name, lines, follow } => {
            supervisor.service_logs(&name, lines, follow, client).await
        }
        Request::ServiceStop { name, grace_ms } => {
            supervisor.stop_service(&name, Duration::from_millis(grace_ms)).await
        }
        Request::ServiceRestart { name, grace_ms, wait } => {
            supervisor.restart_service(&name, Duration::from_millis(grace_ms), wait, client).await
        }
        Request::Stop { keep_memory, deadline_ms } => {
            let deadline = Duration::from_millis(deadline_ms);
            let warning = supervisor.stop(keep_memory, deadline, StopReason::Requested).await?;
            Ok(json!({ "warning": warning }))
        }
        Request::Update(update) => supervisor.update(&update),
        Request::Seeded { seed } => supervisor.seeded(seed),
        Request::Finish => supervisor.finish_creation(),
        Request::Snapshot { name, memory } => {
            let _in_use = supervisor.in_use();
            supervisor.snapshot(name, memory).await
        }
        Request::Freeze { memory } => {
            let _in_use = supervisor.in_use();
            supervisor.freeze(memory, client).await
        }
        Request::DeleteSnapshot { name } => supervisor.delete_snapshot(&name).await,
        Request::Reset { name } => {
            let _in_use = supervisor.in_use();
            supervisor.reset(&name).await
        }
        Request::Shell(request) => supervisor.shell(request, client).await,
        Request::Fork { children } => {
            let _in_use = supervisor.in_use();
            supervisor.fork(children).await
        }
    }
}
