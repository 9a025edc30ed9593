//! A command under way in a guest, as its starter sees it.

use super::client::send_request;
use super::error::GuestError;
use super::shared::Pending;
use super::shared::Shared;
use super::stream::Dropped;
use super::stream::StreamReader;
use super::stream::StreamWriter;
use pyro_proto::StreamId;
use pyro_proto::exec::ExecExit;
use pyro_proto::exec::ExecSpec;
use pyro_proto::exec::PtySize;
use pyro_proto::exec::Stdio;
use pyro_proto::message::RequestBody;
use pyro_proto::message::RequestId;
use pyro_proto::message::SignalTarget;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::sync::oneshot;

/// Which streams a command shall have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExecStreams {
    /// Standard input comes from the host; otherwise it is `/dev/null`.
    pub stdin: bool,
    /// Standard error has its own stream; otherwise it is merged into standard output.
    pub stderr: bool,
    /// The command runs on a terminal of this size.
    pub pty: Option<PtySize>,
}

/// A command under way in a guest. Dropping it does not end the command.
#[derive(Debug)]
pub struct Exec {
    shared: Arc<Shared>,
    job: RequestId,
    started: Option<oneshot::Receiver<Result<u32, GuestError>>>,
    exited: Option<oneshot::Receiver<Result<ExecExit, GuestError>>>,
    /// Standard input, when it was asked for.
    pub stdin: Option<StreamWriter>,
    /// Standard output; taken by whoever reads it.
    pub stdout: Option<StreamReader>,
    /// Standard error, when it has its own stream.
    pub stderr: Option<StreamReader>,
}

pub(super) fn start(
    shared: &Arc<Shared>,
    data: &mpsc::Sender<Vec<u8>>,
    mut spec: ExecSpec,
    streams: ExecStreams,
) -> Result<Exec, GuestError> {
    start_job(shared, data, streams, |stdio| {
        spec.stdio = stdio;
        RequestBody::Exec(spec)
    })
}

/// Asks for a job that the host before this one began, on fresh streams.
pub(super) fn take_over(
    shared: &Arc<Shared>,
    data: &mpsc::Sender<Vec<u8>>,
    job: RequestId,
    streams: ExecStreams,
) -> Result<Exec, GuestError> {
    let stream = shared.open_taken_over(true, streams.stdin);
    let stderr_stream = streams.stderr.then(|| shared.open_taken_over(true, false));
    ask_on(shared, data, streams, (stream, stderr_stream), |stdio| RequestBody::TakeOver { job, stdio })
}

/// Starts whatever `body` asks for on fresh streams.
pub(super) fn start_job(
    shared: &Arc<Shared>,
    data: &mpsc::Sender<Vec<u8>>,
    streams: ExecStreams,
    body: impl FnOnce(Stdio) -> RequestBody,
) -> Result<Exec, GuestError> {
    let stream = shared.open_stream(true, streams.stdin);
    let stderr_stream = streams.stderr.then(|| shared.open_stream(true, false));
    ask_on(shared, data, streams, (stream, stderr_stream), body)
}

/// Asks for a job on these streams.
fn ask_on(
    shared: &Arc<Shared>,
    data: &mpsc::Sender<Vec<u8>>,
    streams: ExecStreams,
    (stream, stderr_stream): (StreamId, Option<StreamId>),
    body: impl FnOnce(Stdio) -> RequestBody,
) -> Result<Exec, GuestError> {
    let reader = |id| StreamReader { id, shared: Arc::clone(shared) };
    let writer = |id| StreamWriter {
        id,
        shared: Arc::clone(shared),
        data: data.clone(),
        ended: false,
        dropped: Dropped::Ends,
    };
    let stdio = Stdio { stream, stdin: streams.stdin, stderr_stream, pty: streams.pty };
    let (started_sender, started) = oneshot::channel();
    let (exited_sender, exited) = oneshot::channel();
    let job = shared.next_request();
    let exec = Exec {
        shared: Arc::clone(shared),
        job,
        started: Some(started),
        exited: Some(exited),
        stdin: streams.stdin.then(|| writer(stream)),
        stdout: Some(reader(stream)),
        stderr: stderr_stream.map(reader),
    };
    let pending = Pending::Exec { stream, started: Some(started_sender), exited: exited_sender };
    send_request(shared, job, body(stdio), pending)?;
    Ok(exec)
}

impl Exec {
    /// What the guest calls it while this host is attached; the name by which the next host can ask for it.
    pub const fn job(&self) -> RequestId {
        self.job
    }

    /// Waits until the command runs; its process id in the guest.
    ///
    /// # Errors
    /// [`GuestError::Refused`] when the guest could not start it.
    pub async fn started(&mut self) -> Result<u32, GuestError> {
        match self.started.take() {
            Some(started) => started.await.unwrap_or_else(|_| Err(self.closed_reason())),
            None => Err(GuestError::Closed),
        }
    }

    /// Waits until the command has ended. All its output is in the streams by then. May be dropped and called again.
    ///
    /// # Errors
    /// The channel's own, when it ends before.
    pub async fn exited(&mut self) -> Result<ExecExit, GuestError> {
        let Some(exited) = self.exited.as_mut() else { return Err(GuestError::Closed) };
        let ended = exited.await;
        self.exited = None;
        ended.unwrap_or_else(|_| Err(self.closed_reason()))
    }

    /// Its end, apart from this handle, which can then still signal it; nothing the second time.
    pub fn take_exit(&mut self) -> impl Future<Output = Result<ExecExit, GuestError>> + Send + use<> {
        let (exited, shared) = (self.exited.take(), Arc::clone(&self.shared));
        async move {
            let reason = |_| Err(shared.lock().closed.clone().unwrap_or(GuestError::Closed));
            match exited {
                Some(exited) => exited.await.unwrap_or_else(reason),
                None => Err(GuestError::Closed),
            }
        }
    }

    /// Sends a signal to the command. Does not wait for the answer: a command that has ended needs none.
    pub fn signal(&self, signal: i32, target: SignalTarget) {
        self.tell(RequestBody::Signal { job: self.job, signal, target });
    }

    /// Has the guest end the command with everything it started, whatever that takes. Does not wait.
    pub fn end(&self) {
        self.tell(RequestBody::End { job: self.job });
    }

    /// Sends a signal to the command, and waits until the guest has done so.
    ///
    /// # Errors
    /// [`GuestError::Refused`], for one that has ended too.
    pub async fn signalled(&self, signal: i32, target: SignalTarget) -> Result<(), GuestError> {
        self.ask(RequestBody::Signal { job: self.job, signal, target }).await
    }

    /// Changes the size of the command's terminal.
    ///
    /// # Errors
    /// [`GuestError::Refused`], for one that has ended or has no terminal.
    pub async fn resize(&self, size: PtySize) -> Result<(), GuestError> {
        self.ask(RequestBody::Resize { job: self.job, cols: size.cols, rows: size.rows }).await
    }

    /// The same, without waiting for the answer.
    pub fn resize_soon(&self, size: PtySize) {
        self.tell(RequestBody::Resize { job: self.job, cols: size.cols, rows: size.rows });
    }

    async fn ask(&self, body: RequestBody) -> Result<(), GuestError> {
        let (sender, answer) = oneshot::channel();
        send_request(&self.shared, self.shared.next_request(), body, Pending::Once(sender))?;
        answer.await.unwrap_or_else(|_| Err(self.closed_reason())).map(drop)
    }

    fn tell(&self, body: RequestBody) {
        let (sender, _) = oneshot::channel();
        let id = self.shared.next_request();
        let _ = send_request(&self.shared, id, body, Pending::Once(sender));
    }

    fn closed_reason(&self) -> GuestError {
        self.shared.lock().closed.clone().unwrap_or(GuestError::Closed)
    }
}
