//! A small client for QEMU's machine protocol: JSON lines over a socket that QEMU inherited. It must not know what the
//! commands mean, and must bound whatever a QEMU taken over by its guest could send.
//!
//! A task of its own reads, so that events are heard while nobody asks for anything: answers go to whoever asked, events are
//! kept, and what they say of a guest that the host has no room for is told at once.

use crate::stall::Stalled;
use rustix::io::Errno;
use rustix::net::SendAncillaryBuffer;
use rustix::net::SendAncillaryMessage;
use rustix::net::SendFlags;
use serde_json::Value;
use serde_json::json;
use std::collections::VecDeque;
use std::io;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::Notify;
use tokio::sync::mpsc;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Longest line taken from QEMU, in bytes. Answers to the commands used here are far smaller.
const LINE_BYTES_MAX: usize = 256 * 1024;

/// Most events kept for somebody to ask for; older ones are forgotten.
const EVENTS_MAX: usize = 64;

/// Answers on their way to whoever asked. Those that nobody waits for any more are thrown away when the next one is.
const ANSWERS_AHEAD: usize = 16;

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QmpError {
    /// QEMU closed the socket: it has ended or is about to.
    #[error("QEMU closed its control socket")]
    Closed,
    #[error("the control socket failed")]
    Io(#[source] io::Error),
    #[error("QEMU refused: {0}")]
    Refused(String),
    #[error("QEMU's answer has no '{0}'")]
    Missing(&'static str),
}

/// A connection to one QEMU.
#[derive(Debug)]
pub(crate) struct Qmp {
    writer: OwnedWriteHalf,
    answers: mpsc::Receiver<Result<Value, QmpError>>,
    heard: Arc<Heard>,
    reader: JoinHandle<()>,
    last_id: u64,
}

impl Drop for Qmp {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// What QEMU said without being asked.
#[derive(Debug, Default)]
struct Heard {
    events: Mutex<VecDeque<Value>>,
    more: Notify,
    stalled: watch::Sender<Stalled>,
}

impl Heard {
    fn next_event(&self) -> Option<Value> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn keep(&self, event: Value) {
        self.note_stall(&event);
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if events.len() == EVENTS_MAX {
            events.pop_front();
        }
        events.push_back(event);
        drop(events);
        self.more.notify_one();
    }

    /// A write for which there is no room stops the guest; every other error is the guest's own to see.
    fn note_stall(&self, event: &Value) {
        match event.get("event").and_then(Value::as_str) {
            Some("BLOCK_IO_ERROR") if event["data"]["action"] == "stop" => {
                self.stalled.send_modify(|state| *state = Stalled { now: true, times: state.times + 1 });
            }
            Some("RESUME") => self.stalled.send_modify(|state| state.now = false),
            _ => {}
        }
    }
}

/// A number that an answer must have.
pub(super) fn number(answer: &Value, name: &'static str) -> Result<u64, QmpError> {
    answer.get(name).and_then(Value::as_u64).ok_or(QmpError::Missing(name))
}

/// A command that was sent; its answer is collected by [`Qmp::answer`].
#[derive(Debug)]
#[must_use]
pub(crate) struct Sent(u64);

impl Qmp {
    /// Must be called within a runtime.
    pub(crate) fn new(stream: UnixStream) -> Self {
        let (reader, writer) = stream.into_split();
        let (sender, answers) = mpsc::channel(ANSWERS_AHEAD);
        let heard = Arc::<Heard>::default();
        let reader = tokio::spawn(read(reader, Arc::clone(&heard), sender));
        Self { writer, answers, heard, reader, last_id: 0 }
    }

    /// Whether QEMU holds its guest because the host has no room for what that writes.
    pub(crate) fn stalled(&self) -> watch::Receiver<Stalled> {
        self.heard.stalled.subscribe()
    }

    /// Says that the guest stands still no longer, unless it was told to since it was seen so often.
    pub(crate) fn not_stalled(&self, times: u64) {
        self.heard.stalled.send_if_modified(|state| {
            let over = state.now && state.times == times;
            state.now &= !over;
            over
        });
    }

    /// Sends one command and waits for its answer.
    pub(crate) async fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, QmpError> {
        let sent = self.send(command, arguments).await?;
        self.answer(sent).await
    }

    /// Sends one command without waiting: QEMU queues what it has not got to yet, even before its greeting.
    pub(crate) async fn send(&mut self, command: &str, arguments: Value) -> Result<Sent, QmpError> {
        let (sent, line) = self.line(command, arguments);
        self.writer.write_all(&line).await.map_err(broken)?;
        Ok(sent)
    }

    /// Sends one command that hands QEMU a descriptor, and waits for its answer.
    pub(crate) async fn execute_with(
        &mut self,
        command: &str,
        arguments: Value,
        fd: BorrowedFd<'_>,
    ) -> Result<Value, QmpError> {
        let (sent, line) = self.line(command, arguments);
        let stream: &UnixStream = self.writer.as_ref();
        let written = stream.async_io(Interest::WRITABLE, || send_with(stream, &line, fd)).await;
        self.writer.write_all(&line[written.map_err(broken)?..]).await.map_err(broken)?;
        self.answer(sent).await
    }

    /// The answer to a command. Answers to commands nobody waits for any more are skipped.
    pub(crate) async fn answer(&mut self, Sent(id): Sent) -> Result<Value, QmpError> {
        loop {
            let mut message = self.message().await?;
            if message.get("id").and_then(Value::as_u64) == Some(id) {
                if let Some(error) = message.get("error") {
                    let reason = error.get("desc").and_then(Value::as_str).unwrap_or("without a reason");
                    return Err(QmpError::Refused(reason.to_owned()));
                }
                return Ok(message.get_mut("return").map(Value::take).unwrap_or_default());
            }
        }
    }

    /// Waits for the first event for which `pick` returns something; events before it are forgotten.
    pub(crate) async fn event<T>(&mut self, pick: impl Fn(&str, &Value) -> Option<T>) -> Result<T, QmpError> {
        loop {
            while let Some(event) = self.heard.next_event() {
                let name = event.get("event").and_then(Value::as_str).unwrap_or_default();
                if let Some(found) = pick(name, event.get("data").unwrap_or(&Value::Null)) {
                    return Ok(found);
                }
            }
            let heard = Arc::clone(&self.heard);
            tokio::select! {
                () = heard.more.notified() => {}
                // An answer that nobody waits for any more, or the end.
                message = self.message() => drop(message?),
            }
        }
    }

    async fn message(&mut self) -> Result<Value, QmpError> {
        self.answers.recv().await.unwrap_or(Err(QmpError::Closed))
    }

    fn line(&mut self, command: &str, arguments: Value) -> (Sent, Vec<u8>) {
        self.last_id += 1;
        let mut message = json!({ "execute": command, "id": self.last_id });
        if !arguments.is_null() {
            message["arguments"] = arguments;
        }
        (Sent(self.last_id), format!("{message}\n").into_bytes())
    }
}

/// Reads to the end what QEMU says.
async fn read(stream: OwnedReadHalf, heard: Arc<Heard>, answers: mpsc::Sender<Result<Value, QmpError>>) {
    let mut lines = Lines { stream, unread: Vec::new() };
    loop {
        match lines.next().await {
            Ok(message) if message.get("event").is_some() => heard.keep(message),
            other => {
                let over = other.is_err();
                if answers.send(other).await.is_err() || over {
                    return;
                }
            }
        }
    }
}

struct Lines {
    stream: OwnedReadHalf,
    unread: Vec<u8>,
}

impl Lines {
    async fn next(&mut self) -> Result<Value, QmpError> {
        let nonsense = |what: &'static str| QmpError::Io(io::Error::new(io::ErrorKind::InvalidData, what));
        let mut searched = 0;
        loop {
            if let Some(end) = self.unread[searched..].iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=searched + end).collect();
                return serde_json::from_slice(&line)
                    .map_err(|_| nonsense("QEMU sent a line that is not JSON"));
            }
            searched = self.unread.len();
            if searched > LINE_BYTES_MAX {
                return Err(nonsense("QEMU sent a line that never ends"));
            }
            if self.stream.read_buf(&mut self.unread).await.map_err(broken)? == 0 {
                return Err(QmpError::Closed);
            }
        }
    }
}

fn send_with(stream: &UnixStream, line: &[u8], fd: BorrowedFd<'_>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let fds = [fd];
    ancillary.push(SendAncillaryMessage::ScmRights(&fds));
    let sent =
        rustix::net::sendmsg(stream.as_fd(), &[IoSlice::new(line)], &mut ancillary, SendFlags::NOSIGNAL);
    sent.map_err(Errno::into)
}

fn broken(error: io::Error) -> QmpError {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => QmpError::Closed,
        _ => QmpError::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn scripted(script: &str) -> (Qmp, UnixStream) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(script.as_bytes()).await.unwrap();
        (Qmp::new(ours), theirs)
    }

    #[tokio::test]
    async fn answers_and_events_are_told_apart() {
        let script = "{\"QMP\":{}}\n{\"event\":\"STOP\"}\n{\"return\":7,\"id\":1}\n{\"event\":\"RESUME\",\"data\":{\"n\":3}}\n";
        let (mut qmp, _theirs) = scripted(script).await;
        assert_eq!(qmp.execute("one", Value::Null).await.unwrap(), json!(7));
        let data = qmp.event(|name, data| (name == "RESUME").then(|| data["n"].as_u64())).await.unwrap();
        assert_eq!(data, Some(3));
    }

    #[tokio::test]
    async fn an_answer_nobody_waited_for_is_not_taken_for_the_next_one() {
        let (mut qmp, _theirs) =
            scripted("{\"return\":1,\"id\":1}\n{\"error\":{\"desc\":\"no\"},\"id\":2}\n").await;
        drop(qmp.send("abandoned", Value::Null).await.unwrap());
        assert!(
            matches!(qmp.execute("two", Value::Null).await, Err(QmpError::Refused(reason)) if reason == "no")
        );
    }

    #[tokio::test]
    async fn a_guest_without_room_is_told_of_while_nobody_asks_for_anything() {
        let (qmp, mut theirs) = scripted("").await;
        let mut stalled = qmp.stalled();
        let mut say = async |line: &str| theirs.write_all(line.as_bytes()).await.unwrap();
        // An error that the guest is told of holds up nothing.
        say("{\"event\":\"BLOCK_IO_ERROR\",\"data\":{\"action\":\"report\"}}\n").await;
        say("{\"event\":\"BLOCK_IO_ERROR\",\"data\":{\"action\":\"stop\"}}\n{\"event\":\"STOP\"}\n").await;
        assert_eq!(*stalled.wait_for(|state| state.now).await.unwrap(), Stalled { now: true, times: 1 });
        say("{\"event\":\"RESUME\"}\n").await;
        stalled.wait_for(|state| !state.now).await.unwrap();
        say("{\"event\":\"BLOCK_IO_ERROR\",\"data\":{\"action\":\"stop\"}}\n").await;
        stalled.wait_for(|state| state.now).await.unwrap();
        // Whoever has seen less than there was does not know that it is over.
        qmp.not_stalled(1);
        assert!(stalled.borrow_and_update().now);
        qmp.not_stalled(2);
        assert!(!stalled.borrow_and_update().now);
    }

    #[tokio::test]
    async fn events_that_nobody_asks_for_hold_up_no_answer() {
        let (mut qmp, mut theirs) = scripted("").await;
        let events = "{\"event\":\"STOP\"}\n".repeat(10 * EVENTS_MAX);
        theirs.write_all(events.as_bytes()).await.unwrap();
        theirs.write_all(b"{\"return\":1,\"id\":1}\n").await.unwrap();
        assert_eq!(qmp.execute("one", Value::Null).await.unwrap(), json!(1));
        assert_eq!(qmp.heard.events.lock().unwrap().len(), EVENTS_MAX);
    }

    #[test]
    fn an_answer_without_its_number_is_an_error() {
        assert_eq!(number(&json!({ "fdset-id": 0 }), "fdset-id").unwrap(), 0);
        for answer in [json!({}), json!(null), json!({ "fdset-id": "1" }), json!({ "fdset-id": -1 })] {
            let error = number(&answer, "fdset-id").unwrap_err();
            assert_eq!(error.to_string(), "QEMU's answer has no 'fdset-id'");
        }
    }

    #[tokio::test]
    async fn nonsense_and_endless_lines_are_errors() {
        let (mut qmp, _theirs) = scripted("garbage\n").await;
        assert!(matches!(qmp.execute("one", Value::Null).await, Err(QmpError::Io(_))));
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let flood = tokio::spawn(async move { theirs.write_all(&vec![b'x'; 4 * LINE_BYTES_MAX]).await });
        let mut qmp = Qmp::new(ours);
        assert!(matches!(qmp.execute("one", Value::Null).await, Err(QmpError::Io(_))));
        drop(qmp);
        assert!(flood.await.unwrap().is_err());
    }

    #[tokio::test]
    async fn a_closed_socket_is_said_to_be_closed() {
        let (mut qmp, theirs) = scripted("{\"QMP\":{}}\n").await;
        drop(theirs);
        assert!(matches!(qmp.execute("one", Value::Null).await, Err(QmpError::Closed)));
    }
}
