//! Running a command in the guest: its output is kept and passed on, its end is written down before anybody is told. This
//! file must not decide who may run what.
//!
//! ```text
//!   numbered -- guest started it, noted --> running -- ended, outputs read, disk flushed, noted --> told
//!            \-- guest refused --> told; the number is spent
//! ```
//!
//! A command that its client waits for ends with its client; a detached one ends by itself.

use super::InUse;
use super::Supervisor;
use super::feed::Feed;
use super::job::DRAIN_DEADLINE;
use super::job::Job;
use super::output::Extent;
use super::output::Output;
use super::redacted::RedactedReader;
use super::serve::Client;
use super::vault::Lent;
use crate::code;
use crate::code::Coded as _;
use crate::code::chain;
use crate::guest::Exec;
use crate::guest::ExecStreams;
use crate::guest::GuestError;
use crate::guest::StreamReader;
use crate::workspace::WORKSPACE_PATH;
use crate::workspace::control::frame::Frame;
use crate::workspace::control::frame::Tag;
use crate::workspace::control::message::Control;
use crate::workspace::control::message::Event;
use crate::workspace::control::message::ExecRequest;
use crate::workspace::document::LastCommand;
use crate::workspace::document::UnixSeconds;
use crate::workspace::error::WorkspaceError;
use crate::workspace::event;
use crate::workspace::history::Ended;
use crate::workspace::history::Started;
use crate::workspace::view::EXECUTION_MODE;
use pyro_proto::exec::Ending;
use pyro_proto::exec::ExecExit;
use pyro_proto::exec::ExecSpec;
use pyro_proto::limits::KILL_GRACE_MS;
use pyro_proto::message::RequestId;
use pyro_proto::message::SignalTarget;
use serde::Deserialize;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;
use tokio::sync::mpsc;

/// How much longer than the guest the host waits for a time-out, beyond the guest's own grace.
const HANG_GRACE: Duration = Duration::from_secs(15);

/// How long a guest may take to begin with a program that has all the time it wants. A small one that begins with a hundred at
/// once takes some of it.
pub(super) const START_DEADLINE: Duration = Duration::from_secs(120);

/// All that is kept of what commands printed, in bytes.
const OUTPUT_BYTES_MAX: u64 = 1 << 30;

/// Pieces of output on their way to a client; beyond that the command waits for it.
const TAP_DEPTH: usize = 16;

/// Pieces of input on their way to a command that does not read them yet.
const INPUT_DEPTH: usize = 128;

const TERM: i32 = 15;

/// How a command ended, or the code and text of why that is not known.
type Outcome = Result<ExecExit, (&'static str, String)>;

/// A command while its workspace is paused. What it printed is in the history.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeptJob {
    pub(super) started: Started,
    /// The guest's name for it.
    pub(super) job: RequestId,
    stdout: Extent,
    stderr: Extent,
    /// For how long it has run, in milliseconds.
    ran_ms: u64,
    timeout_ms: Option<u64>,
    /// It was about to be ended.
    abandoned: bool,
}

/// How long a command has run and may run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    began: Instant,
    timeout_ms: Option<u64>,
}

/// Output on its way to the client that waits for a command.
type Tap = mpsc::Sender<(Tag, Vec<u8>)>;

impl Supervisor {
    /// Runs a command for a client.
    pub(super) async fn exec(
        self: &Arc<Self>,
        request: ExecRequest,
        client: &mut Client,
    ) -> Result<serde_json::Value, WorkspaceError> {
        let detach = request.detach;
        let (tap, mut tapped) = mpsc::channel(TAP_DEPTH);
        let mut blocked = self.blocked.subscribe();
        let job = self.begin(request, (!detach).then_some(tap)).await?;
        let started =
            client.event(&Event::Started { job: job.sequence(), cwd: job.started.cwd.clone() }).await;
        if started.is_err() && !detach {
            return Err(abandon(&job));
        }
        started?;
        if detach {
            return Ok(serde_json::json!({ "job": job.sequence() }));
        }
        let mut feed = Feed::new(job.stdin.lock().await.take(), INPUT_DEPTH);
        let mut draining = false;
        loop {
            let room = !feed.is_full();
            // In no order: a command that prints without end must still hear of an interrupt.
            tokio::select! {
                piece = tapped.recv(), if !draining => match piece {
                    Some((tag, bytes)) => {
                        if client.send(tag, &bytes).await.is_err() {
                            return Err(abandon(&job));
                        }
                    }
                    None => draining = true,
                },
                ended = job.end(), if draining => {
                    client.event(&Event::Ended(ended)).await?;
                    return Ok(serde_json::Value::Null);
                }
                () = feed.make_room(), if !room => {}
                Ok(()) = blocked.changed() => {
                    let now = blocked.borrow_and_update().is_some();
                    if client.event(&Event::Blocked { now }).await.is_err() {
                        return Err(abandon(&job));
                    }
                }
                frame = client.next(room) => match frame {
                    Some(Frame { tag: Tag::Input, payload }) => feed.push(payload),
                    Some(Frame { tag: Tag::InputEnd, .. }) => feed.end(),
                    Some(Frame { tag: Tag::Json, payload }) => {
                        if let Ok(Control::Signal { signal }) = serde_json::from_slice(&payload) {
                            job.signal(signal, SignalTarget::Foreground);
                        }
                    }
                    Some(_) => {}
                    None => return Err(abandon(&job)),
                },
            }
        }
    }

    /// Starts a command, and sees to its end whatever becomes of its client.
    async fn begin(
        self: &Arc<Self>,
        request: ExecRequest,
        tap: Option<Tap>,
    ) -> Result<Arc<Job>, WorkspaceError> {
        let _open = self.gate.read().await;
        if *self.ended.borrow() {
            return Err(WorkspaceError::not_running(&self.folder));
        }
        let in_use = self.in_use();
        let cwd = request.cwd.as_ref().map_or_else(
            || WORKSPACE_PATH.to_owned(),
            |cwd| String::from_utf8_lossy(cwd.as_bytes()).into_owned(),
        );
        let mut env = request.env;
        env.extend(self.secret_env(&request.secret_env)?);
        let started = Started {
            sequence: self.jobs.number(),
            command: self.vault.needles().redact(&request.shown),
            cwd,
            detached: request.detach,
            execution_mode: EXECUTION_MODE.to_owned(),
            recorded_at: UnixSeconds::now(),
        };
        let spec = ExecSpec {
            argv: request.argv,
            cwd: request.cwd,
            env,
            user: request.user,
            timeout_ms: request.timeout_ms,
            ..ExecSpec::default()
        };
        let streams = ExecStreams { stdin: request.stdin, stderr: true, pty: None };
        let times = Times { began: Instant::now(), timeout_ms: request.timeout_ms };
        let lent = self.unless_blocked(self.lend_secrets()).await?;
        let patience = times.deadline().unwrap_or(START_DEADLINE);
        let exec = match self.start_in_guest("running the command", spec, streams, patience).await {
            Ok(exec) => exec,
            Err(error) => {
                self.return_secrets(lent).await;
                return Err(error);
            }
        };
        let _ = self
            .history
            .make_room(OUTPUT_BYTES_MAX, &|job| self.jobs.get(job).is_some_and(|job| job.ended().is_none()));
        let _ = self.history.start(started.clone());
        event::note(&self.config, self.folder.id(), "command_started", Some(started.sequence.to_string()));
        let begun = Begun { started, times, extents: Default::default() };
        Ok(self.follow_job(begun, exec, tap, in_use, Some(lent)))
    }

    /// Goes on with a command that ran when the workspace was paused, if it is there. Nobody waits for it any more.
    pub(super) async fn take_over_job(self: &Arc<Self>, kept: KeptJob, exec: Result<Exec, GuestError>) {
        let exec = match exec {
            Ok(exec) => exec,
            Err(error) => {
                let text = format!("it was not there after the pause: {}", chain(&error));
                let error = Some((code::GUEST_LOST.to_owned(), text));
                let sequence = kept.started.sequence;
                let (stdout_bytes, stderr_bytes) = (kept.stdout.total, kept.stderr.total);
                let lost =
                    Ended { sequence, exit_code: 125, error, stdout_bytes, stderr_bytes, ..Ended::default() };
                // One that is not written down counts as lost all the same.
                let _ = self.history.end(lost);
                return;
            }
        };
        let now = Instant::now();
        let began = now.checked_sub(Duration::from_millis(kept.ran_ms)).unwrap_or(now);
        let times = Times { began, timeout_ms: kept.timeout_ms };
        let lent = self.lend_secrets().await.ok();
        let begun = Begun { started: kept.started, times, extents: [kept.stdout, kept.stderr] };
        let job = self.follow_job(begun, exec, None, self.in_use(), lent);
        if kept.abandoned {
            job.abandon();
        }
    }

    /// Commands that the memory has which was kept, once nothing of them comes any more.
    pub(super) async fn part_jobs(&self) -> Vec<KeptJob> {
        let mut all = Vec::new();
        for job in self.jobs.living() {
            if job.is_over().await {
                all.push(KeptJob {
                    started: job.started.clone(),
                    job: job.name(),
                    stdout: job.stdout.extent(),
                    stderr: job.stderr.extent(),
                    ran_ms: u64::try_from(job.times.began.elapsed().as_millis()).unwrap_or(u64::MAX),
                    timeout_ms: job.times.timeout_ms,
                    abandoned: job.is_abandoned(),
                });
            }
        }
        all
    }

    /// Keeps what a command prints, and sees to its end.
    fn follow_job(
        self: &Arc<Self>,
        begun: Begun,
        mut exec: Exec,
        tap: Option<Tap>,
        in_use: InUse,
        lent: Option<Lent>,
    ) -> Arc<Job> {
        let Begun { started, times, extents } = begun;
        let (stdin, stdout, stderr) = (exec.stdin.take(), exec.stdout.take(), exec.stderr.take());
        let exits = exec.take_exit();
        let kept = self.config.output_bytes_max;
        let job = Job::new(started, &self.history, kept, exec, stdin, times).going_on(extents);
        let job = self.jobs.insert(job);
        let deadline = times.left();
        let supervisor = Arc::clone(self);
        let watched = Arc::clone(&job);
        tokio::spawn(async move {
            let pumps = async {
                tokio::join!(
                    supervisor.pump(stdout, &watched.stdout, Tag::Stdout, tap.clone()),
                    supervisor.pump(stderr, &watched.stderr, Tag::Stderr, tap)
                )
            };
            let exits = supervisor.end_of(deadline, exits);
            tokio::pin!(pumps, exits);
            let mut pumped = false;
            let outcome = loop {
                tokio::select! {
                    outcome = &mut exits => break outcome,
                    _ = &mut pumps, if !pumped => pumped = true,
                }
            };
            match &outcome {
                _ if pumped => {}
                Ok(_) => drop(pumps.await),
                // What the guest sent before it went is still here; a client that does not take it holds nothing up.
                Err(_) => drop(tokio::time::timeout(DRAIN_DEADLINE, pumps).await),
            }
            supervisor.finish(&watched, outcome, times.began.elapsed(), in_use).await;
            if let Some(lent) = lent {
                supervisor.return_secrets(lent).await;
            }
        });
        job
    }

    /// Starts a program in the guest, which may not answer.
    pub(super) async fn start_in_guest(
        &self,
        operation: &'static str,
        spec: ExecSpec,
        streams: ExecStreams,
        patience: Duration,
    ) -> Result<Exec, WorkspaceError> {
        let refused = |source| WorkspaceError::Guest { operation, source };
        let mut exec = self.client().exec(spec, streams).map_err(refused)?;
        let started = self.unless_blocked(async {
            match tokio::time::timeout(patience, exec.started()).await {
                Ok(started) => Ok(started),
                Err(_) => Err(WorkspaceError::Hung { workspace: self.id() }),
            }
        });
        match started.await {
            Ok(started) => started.map(|_| exec).map_err(refused),
            Err(error) => {
                // Should the guest go on one day, nobody waits for this any more.
                exec.end();
                Err(error)
            }
        }
    }

    /// A command's end, as long as it takes, or until its guest should have ended it.
    async fn end_of(
        &self,
        deadline: Option<Duration>,
        exits: impl Future<Output = Result<ExecExit, GuestError>>,
    ) -> Outcome {
        let outcome = within(deadline, exits).await;
        match (outcome, self.check_room()) {
            (Err((code::GUEST_HUNG, _)), Err(error)) => Err((error.code(), chain(&error))),
            (outcome, _) => outcome,
        }
    }

    /// Everything that comes after a command's end and before anybody hears of it.
    async fn finish(self: &Arc<Self>, job: &Arc<Job>, outcome: Outcome, duration: Duration, in_use: InUse) {
        if outcome.is_err() && self.is_suspending() {
            return job.part();
        }
        let outcome = job.cut().map_or(outcome, |(code, text)| Err((code, text.to_owned())));
        // What a command has written is safe once its end is told, unless that says otherwise.
        let flushed = if outcome.is_ok() { self.flush().await } else { Ok(()) };
        let mut ended = ended(job, outcome, duration);
        ended.warning = flushed
            .err()
            .map(|reason| format!("what the command wrote may not be on the host's disk yet: {reason}"));
        if job.ended().is_none() {
            let _ = self.history.end(ended.clone());
            self.remember(job, &ended);
        }
        job.finish(ended);
        drop(in_use);
        event::note(&self.config, self.folder.id(), "command_ended", Some(job.sequence().to_string()));
    }

    /// Keeps an output without its secrets, and passes it on as long as its client takes it.
    async fn pump(
        self: &Arc<Self>,
        reader: Option<StreamReader>,
        output: &Output,
        tag: Tag,
        mut tap: Option<Tap>,
    ) {
        let Some(reader) = reader else { return };
        let mut reader = RedactedReader::new(reader, self);
        while let Some(bytes) = reader.read().await {
            output.push(&bytes);
            let Some(sender) = &tap else { continue };
            let sent = tokio::select! {
                biased;
                sent = sender.send((tag, bytes)) => sent.is_ok(),
                // What there is must be kept now, and whoever waits for it is about to be told.
                () = self.parted() => false,
            };
            if !sent {
                tap = None;
            }
        }
    }

    fn remember(&self, job: &Job, ended: &Ended) {
        let mut document = self.document_mut();
        document.command_count = document.command_count.max(job.sequence());
        document.last_command = Some(LastCommand {
            sequence: job.sequence(),
            command: job.started.command.clone(),
            cwd: job.started.cwd.clone(),
            exit_code: ended.exit_code,
            duration_ms: ended.duration_ms,
            execution_mode: job.started.execution_mode.clone(),
        });
        // The history has it in any case.
        let _ = self.folder.save_soon(&document);
    }
}

/// A command that runs in the guest.
struct Begun {
    started: Started,
    times: Times,
    /// How far its outputs have come, standard output first.
    extents: [Extent; 2],
}

impl Times {
    /// How long the guest may take to end it.
    fn deadline(self) -> Option<Duration> {
        let grace = Duration::from_millis(KILL_GRACE_MS) + HANG_GRACE;
        self.timeout_ms.map(|timeout| Duration::from_millis(timeout) + grace)
    }

    /// How much of that there is still.
    fn left(self) -> Option<Duration> {
        self.deadline().map(|deadline| deadline.saturating_sub(self.began.elapsed()).max(HANG_GRACE))
    }
}

/// The client that waited for it is gone: the command ends, with everything it started.
fn abandon(job: &Job) -> WorkspaceError {
    job.abandon();
    WorkspaceError::Interrupted { signal: TERM }
}

async fn within(
    deadline: Option<Duration>,
    exits: impl Future<Output = Result<ExecExit, GuestError>>,
) -> Outcome {
    let answer = match deadline {
        None => exits.await,
        Some(deadline) => match tokio::time::timeout(deadline, exits).await {
            Ok(answer) => answer,
            Err(_) => return Err((code::GUEST_HUNG, "the guest does not answer".to_owned())),
        },
    };
    answer.map_err(|error| match error {
        GuestError::Closed => (code::GUEST_LOST, "the guest ended while the command ran".to_owned()),
        other => (other.code(), other.to_string()),
    })
}

fn ended(job: &Job, outcome: Outcome, duration: Duration) -> Ended {
    let (stdout, stderr) = (job.stdout.extent(), job.stderr.extent());
    let mut ended = Ended {
        sequence: job.sequence(),
        duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        stdout_bytes: stdout.total,
        stderr_bytes: stderr.total,
        truncated: stdout.kept < stdout.total || stderr.kept < stderr.total,
        ..Ended::default()
    };
    match outcome {
        Ok(exit) => {
            ended.timed_out = exit.timed_out;
            ended.detached_processes = exit.detached;
            (ended.exit_code, ended.signal) = match exit.ending {
                _ if exit.timed_out => (124, None),
                Ending::Code(code) => (code, None),
                Ending::Signal(signal) => (128 + signal, Some(signal)),
            };
        }
        Err((code, text)) => {
            ended.exit_code = 125;
            ended.error = Some((code.to_owned(), text));
        }
    }
    ended
}
