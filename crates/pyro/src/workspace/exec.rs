//! Running commands in a workspace, and coming back to those that run: the client's side. This file must not decide what
//! becomes of a command whose client is gone.

use super::control::connection;
use super::control::connection::Incoming;
use super::control::connection::Receiver;
use super::control::connection::Sender;
use super::control::message::Control;
use super::control::message::Event;
use super::control::message::ExecRequest;
use super::control::message::Request;
use super::error::WorkspaceError;
use super::handle::Workspace;
use super::history::Ended;
use super::history::Entry;
use super::history::History;
use super::history::Stream;
use crate::command::Command;
use crate::limits::TimeoutSeconds;
use crate::run::RunIo;
use crate::run::told_of_room;
use crate::secret::SecretName;
use serde_json::Value;
use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;

/// Bytes of standard input read at once.
const STDIN_BYTES: usize = 64 * 1024;

/// A command for a workspace.
#[derive(Clone, Debug)]
pub struct ExecSpec {
    /// What to run.
    pub command: Command,
    /// How long it may take; for ever when absent.
    pub timeout: Option<TimeoutSeconds>,
    /// Variables added to the guest's default environment.
    pub env: Vec<(OsString, OsString)>,
    /// Working directory in the guest; `/workspace` when absent.
    pub cwd: Option<OsString>,
    /// User in the guest, as `NAME|UID[:GROUP|GID]`; root when absent.
    pub user: Option<String>,
    /// Whether the command's standard input comes from the caller; of a detached one, from whoever follows it first.
    pub stdin: bool,
    /// Secrets of the workspace that it gets as variables, and the variables' names.
    pub secret_env: Vec<(SecretName, String)>,
}

/// How a command ended, as its caller sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct ExecReport {
    /// Its number in the workspace, which is also the job's.
    pub sequence: u64,
    /// Where it ran.
    pub cwd: String,
    /// How it ended.
    pub ended: Ended,
}

/// From where on an output is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offsets {
    /// First byte of standard output.
    pub stdout: u64,
    /// First byte of standard error.
    pub stderr: u64,
}

impl ExecSpec {
    /// A run of `command` as root in `/workspace`, with the time-out that `pyro exec` uses by itself and no standard input.
    pub fn new(command: Command) -> Self {
        Self {
            command,
            timeout: Some(TimeoutSeconds::default()),
            env: Vec::new(),
            cwd: None,
            user: None,
            stdin: false,
            secret_env: Vec::new(),
        }
    }

    fn request(self, detach: bool) -> ExecRequest {
        ExecRequest {
            shown: self.command.display(),
            argv: self.command.argv().into_iter().map(Into::into).collect(),
            cwd: self.cwd.map(|cwd| cwd.into_vec().into()),
            env: self.env.into_iter().map(|(k, v)| (k.into_vec().into(), v.into_vec().into())).collect(),
            user: self.user,
            stdin: self.stdin,
            timeout_ms: self.timeout.map(|timeout| u64::from(timeout.get()) * 1000),
            detach,
            secret_env: self.secret_env,
        }
    }
}

impl Workspace {
    /// Runs a command and passes its bytes to and fro. It ends with its caller: a call that is dropped ends it too.
    ///
    /// The first signal from `io.interrupts` goes to the command, the second ends it.
    ///
    /// # Errors
    /// [`WorkspaceError`].
    pub async fn exec(&self, spec: ExecSpec, io: RunIo) -> Result<ExecReport, WorkspaceError> {
        self.exec_noticing(spec, io, &mut |_| {}).await
    }

    /// As [`Self::exec`]; `notice` hears what people should know while it runs: that the guest waits for room on the host's disk,
    /// and that it goes on.
    ///
    /// # Errors
    /// [`WorkspaceError`].
    pub async fn exec_noticing(
        &self,
        spec: ExecSpec,
        mut io: RunIo,
        notice: &mut (dyn FnMut(&str) + Send),
    ) -> Result<ExecReport, WorkspaceError> {
        let takes_input = spec.stdin;
        let request = Request::Exec(spec.request(false));
        let (sender, mut receiver) = connection::ask(&self.config, &self.folder, request).await?;
        let (mut sequence, mut cwd) = (0, String::new());
        let (said, controls) = mpsc::channel(4);
        let input = feed(sender, takes_input.then_some(io.stdin.as_mut()), controls);
        tokio::pin!(input);
        let (mut input_done, mut interrupted) = (false, None);
        let (mut ended, mut blocked) = (None, false);
        loop {
            tokio::select! {
                incoming = receiver.next() => match incoming? {
                    Incoming::Event(Event::Blocked { now }) => {
                        blocked = now;
                        notice(told_of_room(now));
                    }
                    Incoming::Event(Event::Started { job, cwd: at }) => (sequence, cwd) = (job, at),
                    Incoming::Event(Event::Ended(end)) => ended = Some(end),
                    Incoming::Event(_) => {}
                    Incoming::Bytes(stream, bytes) => {
                        let to = match stream {
                            Stream::Stdout => &mut io.stdout,
                            Stream::Stderr => &mut io.stderr,
                        };
                        write(to.as_mut(), &bytes).await?;
                    }
                    Incoming::Done(_) => break,
                },
                result = &mut input, if !input_done => {
                    // A supervisor that is gone says so on the other half.
                    let _ = result;
                    input_done = true;
                }
                Some(signal) = io.interrupts.recv() => {
                    // A guest that stands still hears of no signal.
                    if interrupted.replace(signal).is_some() || input_done || blocked {
                        return Err(WorkspaceError::Interrupted { signal });
                    }
                    let _ = said.try_send(signal);
                }
            }
        }
        let Some(ended) = ended else {
            let did = "did not say how the command ended".to_owned();
            return Err(WorkspaceError::Supervisor { workspace: self.id().to_string(), did });
        };
        Ok(ExecReport { sequence, cwd, ended })
    }

    /// Starts a command that nobody waits for; its job.
    ///
    /// # Errors
    /// [`WorkspaceError`].
    pub async fn exec_detached(&self, spec: ExecSpec) -> Result<u64, WorkspaceError> {
        let request = Request::Exec(spec.request(true));
        let done: Value = connection::call(&self.config, &self.folder, request).await?;
        let job = done.get("job").and_then(Value::as_u64);
        job.ok_or_else(|| {
            let did = "did not say which job the command is".to_owned();
            WorkspaceError::Supervisor { workspace: self.id().to_string(), did }
        })
    }

    /// The workspace's jobs, the oldest first: what runs, and what has run since it was made or last reset.
    ///
    /// # Errors
    /// [`WorkspaceError`].
    pub async fn jobs(&self) -> Result<Vec<Value>, WorkspaceError> {
        let begun: HashSet<u64> = self.history()?.iter().map(|entry| entry.started.sequence).collect();
        let living: HashSet<u64> = match connection::call(&self.config, &self.folder, Request::Jobs).await {
            Err(WorkspaceError::NotRunning { .. }) => HashSet::new(),
            other => other?,
        };
        // An end is written down before a job counts as ended: one that had begun before and has none now is lost.
        let mut entries = self.history()?;
        let suspended = if living.is_empty() { self.suspended_jobs()? } else { HashSet::new() };
        for entry in &mut entries {
            let sequence = entry.started.sequence;
            let known = living.contains(&sequence) || suspended.contains(&sequence);
            if entry.ended.is_none() && begun.contains(&sequence) && !known {
                entry.ended = Some(lost(sequence));
            }
        }
        let describe = |entry: &Entry| {
            let mut job = entry.describe();
            if entry.ended.is_none() && suspended.contains(&entry.started.sequence) {
                job["state"] = "suspended".into();
            }
            job
        };
        Ok(entries.iter().map(describe).collect())
    }

    /// The jobs that go on when the workspace is resumed.
    fn suspended_jobs(&self) -> Result<HashSet<u64>, WorkspaceError> {
        let memory = self.folder.load()?.suspended;
        Ok(memory.map(|memory| super::supervisor::kept_jobs(&self.folder, &memory)).unwrap_or_default())
    }

    /// The commands of the workspace.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn history(&self) -> Result<Vec<Entry>, WorkspaceError> {
        self.folder.load()?;
        History::of(&self.folder).entries().map_err(self.disk_error("reading the history"))
    }

    /// What a command printed, as far as it was kept: at most `bytes_max` from `offset` on.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn kept_output(
        &self,
        sequence: u64,
        stream: Stream,
        offset: u64,
        bytes_max: usize,
    ) -> Result<Vec<u8>, WorkspaceError> {
        let path = History::of(&self.folder).output(sequence, stream);
        read_kept(&path, offset, bytes_max).map_err(self.disk_error("reading what a command printed"))
    }

    /// Passes on what a job printed from `from` on, and waits for its end if `wait`. How it ended, if it has; dropping the call
    /// harms the job in no way.
    ///
    /// # Errors
    /// [`WorkspaceError::NoSuchJob`].
    pub async fn follow(
        &self,
        job: u64,
        from: Offsets,
        wait: bool,
        io: &mut RunIo,
        takes_input: bool,
    ) -> Result<Option<Ended>, WorkspaceError> {
        let request =
            Request::Follow { job, stdout: from.stdout, stderr: from.stderr, wait, input: takes_input };
        let asked = connection::ask(&self.config, &self.folder, request).await;
        match asked {
            Err(error @ WorkspaceError::NotRunning { .. }) => {
                if wait && self.suspended_jobs()?.contains(&job) {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
            Ok((sender, receiver)) => match self.follow_live(sender, receiver, io, takes_input).await {
                // One of an earlier start of the guest: what it printed is still there.
                Err(error) if is_unknown_job(&error) => {}
                other => return other,
            },
        }
        self.replay(job, from, io).await
    }

    async fn follow_live(
        &self,
        sender: Sender,
        mut receiver: Receiver,
        io: &mut RunIo,
        takes_input: bool,
    ) -> Result<Option<Ended>, WorkspaceError> {
        let (_said, controls) = mpsc::channel(1);
        let input = feed(sender, takes_input.then_some(io.stdin.as_mut()), controls);
        tokio::pin!(input);
        let (mut input_done, mut ended) = (false, None);
        loop {
            tokio::select! {
                incoming = receiver.next() => match incoming? {
                    Incoming::Event(Event::Ended(end)) => ended = Some(end),
                    Incoming::Event(_) => {}
                    Incoming::Bytes(stream, bytes) => {
                        let to = match stream {
                            Stream::Stdout => &mut io.stdout,
                            Stream::Stderr => &mut io.stderr,
                        };
                        write(to.as_mut(), &bytes).await?;
                    }
                    Incoming::Done(_) => return Ok(ended),
                },
                _ = &mut input, if !input_done => input_done = true,
                Some(signal) = io.interrupts.recv() => return Err(WorkspaceError::Interrupted { signal }),
            }
        }
    }

    /// What a job that is over printed.
    async fn replay(&self, job: u64, from: Offsets, io: &mut RunIo) -> Result<Option<Ended>, WorkspaceError> {
        let entry = self.history()?.into_iter().find(|entry| entry.started.sequence == job);
        let entry =
            entry.ok_or_else(|| WorkspaceError::NoSuchJob { workspace: self.id().to_string(), job })?;
        for (stream, mut offset) in [(Stream::Stdout, from.stdout), (Stream::Stderr, from.stderr)] {
            loop {
                let bytes = self.kept_output(job, stream, offset, STDIN_BYTES)?;
                if bytes.is_empty() {
                    break;
                }
                offset += bytes.len() as u64;
                let to = match stream {
                    Stream::Stdout => &mut io.stdout,
                    Stream::Stderr => &mut io.stderr,
                };
                write(to.as_mut(), &bytes).await?;
            }
        }
        if entry.ended.is_none() && self.suspended_jobs()?.contains(&job) {
            return Ok(None);
        }
        Ok(Some(entry.ended.unwrap_or_else(|| lost(job))))
    }

    /// Sends a signal to a job's foreground, or to all its processes.
    ///
    /// # Errors
    /// [`WorkspaceError::NoSuchJob`] when it does not run.
    pub async fn signal(&self, job: u64, signal: i32, tree: bool) -> Result<(), WorkspaceError> {
        let request = Request::Signal { job, signal, tree };
        connection::call::<Value>(&self.config, &self.folder, request).await.map(drop)
    }
}

fn is_unknown_job(error: &WorkspaceError) -> bool {
    matches!(error, WorkspaceError::Remote(failure) if failure.code == crate::code::NO_SUCH_JOB)
}

/// A command whose end nobody saw.
pub(super) fn lost(sequence: u64) -> Ended {
    let text = "the guest ended before the command did".to_owned();
    Ended {
        sequence,
        exit_code: 125,
        error: Some((crate::code::GUEST_LOST.to_owned(), text)),
        ..Ended::default()
    }
}

/// Passes input and signals to the supervisor until there are no more.
async fn feed(
    mut sender: Sender,
    mut input: Option<&mut (dyn AsyncRead + Send + Unpin)>,
    mut controls: mpsc::Receiver<i32>,
) -> Result<(), WorkspaceError> {
    let mut bytes = vec![0; if input.is_some() { STDIN_BYTES } else { 0 }];
    if input.is_none() {
        sender.end_input().await?;
    }
    loop {
        let read = async {
            match &mut input {
                Some(input) => input.read(&mut bytes).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            size = read => match size {
                Ok(0) | Err(_) => {
                    sender.end_input().await?;
                    input = None;
                }
                Ok(size) => sender.input(&bytes[..size]).await?,
            },
            control = controls.recv() => match control {
                Some(signal) => sender.control(&Control::Signal { signal }).await?,
                // The caller is done, and holds the other half no longer.
                None => return Ok(()),
            },
        }
    }
}

async fn write(
    to: &mut (dyn tokio::io::AsyncWrite + Send + Unpin),
    bytes: &[u8],
) -> Result<(), WorkspaceError> {
    let written = async {
        to.write_all(bytes).await?;
        to.flush().await
    };
    written.await.map_err(|source| WorkspaceError::Caller { operation: "writing the output", source })
}

fn read_kept(path: &std::path::Path, offset: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt as _;
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len().saturating_sub(offset);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX).min(bytes_max)];
    let count = file.read_at(&mut bytes, offset)?;
    bytes.truncate(count);
    Ok(bytes)
}
