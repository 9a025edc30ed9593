//! Starting, stopping, changing and deleting a workspace, from whatever state it is in. This file must not run anything in
//! the guest.
//!
//! ```text
//!             create                 stop, idle, killed                start
//!   nothing ---------> running ---------------------------> stopped ---------> running
//!                         |   stop --keep-memory --> suspended ---start-----------^
//!                         +--- delete --> nothing <-- delete ---+
//! ```

use super::audit;
use super::control::connection;
use super::control::connection::Incoming;
use super::control::connection::Receiver;
use super::control::message::Request;
use super::control::message::Update;
use super::document::Stage;
use super::document::StopReason;
use super::document::UnixSeconds;
use super::error::StoreError;
use super::error::WorkspaceError;
use super::event;
use super::folder::Folder;
use super::folder::FolderLock;
use super::handle::Workspace;
use super::supervisor::Line;
use super::supervisor::Order;
use crate::code;
use crate::config::Config;
use crate::work::Work;
use serde_json::Value;
use std::fs::OpenOptions;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;
use tokio::io::AsyncBufReadExt as _;
use tokio::io::AsyncReadExt as _;
use tokio::io::BufReader;
use tokio::io::Lines;
use tokio::io::Take;
use tokio::process::ChildStdout;

/// How long whoever stops a workspace waits for its supervisor beyond the guest's own time.
const LEAVE_DEADLINE: Duration = Duration::from_secs(20);

/// How long a supervisor may take to say anything at all, before it is taken for one that hangs.
const STATUS_DEADLINE: Duration = Duration::from_secs(5);

/// How much longer than that a supervisor which does answer may take to stop: it may have much memory to save.
const STOP_MAX: Duration = Duration::from_secs(30 * 60);

/// What whoever stops a workspace is told of a supervisor that hung.
const UNANSWERED: &str = "its supervisor did not answer and was killed; what was written last may be lost";

/// Guests that are started beside each other: more would only take turns on the host's processors.
const STARTS_AT_ONCE: usize = 4;

/// Longest line of a supervisor's report, in bytes.
const REPORT_BYTES_MAX: u64 = 1 << 20;

/// The file in the workspace's folder that tells a supervisor what to do.
const ORDER: &str = "order.json";

/// What a start came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Its guest was started.
    Started,
    /// It ran already.
    WasRunning,
}

impl Workspace {
    /// Starts several workspaces beside each other, a few at a time.
    ///
    /// # Errors
    /// Of the first that cannot be started; others may run by then.
    pub fn start_all<'a>(
        workspaces: &'a [Self],
        notice: &'a mut (dyn FnMut(&str) + Send),
    ) -> Work<'a, Result<(), WorkspaceError>> {
        Box::pin(async move {
            let mut starting = tokio::task::JoinSet::new();
            let mut waiting = workspaces.iter().cloned();
            loop {
                while starting.len() < STARTS_AT_ONCE
                    && let Some(workspace) = waiting.next()
                {
                    starting.spawn(async move {
                        let mut said = Vec::new();
                        workspace.start(&mut |text| said.push(text.to_owned())).await.map(|_| said)
                    });
                }
                let Some(started) = starting.join_next().await else { return Ok(()) };
                let failed = |error| WorkspaceError::Caller {
                    operation: "starting workspaces",
                    source: std::io::Error::other(error),
                };
                started.map_err(failed)??.iter().for_each(|text| notice(text));
            }
        })
    }

    /// Starts the guest of a stopped workspace, or finds it running. However many do this at once, there is one guest.
    ///
    /// # Errors
    /// [`WorkspaceError`]; the workspace is then stopped.
    pub fn start<'a>(
        &'a self,
        notice: &'a mut (dyn FnMut(&str) + Send),
    ) -> Work<'a, Result<Start, WorkspaceError>> {
        Box::pin(async move {
            loop {
                if let Some(held) = self.hold()? {
                    if held.document.stopped.is_none() {
                        notice(&format!(
                            "the workspace {} was stopped{}",
                            self.id(),
                            held.document.why_stopped()
                        ));
                    }
                    let began = Instant::now();
                    let started = start_supervisor(&self.config, &self.folder, held.lock, notice).await;
                    self.note("start", None, started.as_ref().err(), began);
                    return started.map(|_| Start::Started);
                }
                if self.is_answering().await? {
                    return Ok(Start::WasRunning);
                }
                // Somebody is starting it, stopping it or changing its disk: once they are done it is seen what there is.
                self.wait_for_change().await?;
            }
        })
    }

    /// Starts a workspace whose memory was kept; one that runs stays so.
    ///
    /// # Errors
    /// [`WorkspaceError::NotSuspended`] when there is no memory to go on from.
    pub fn resume<'a>(
        &'a self,
        notice: &'a mut (dyn FnMut(&str) + Send),
    ) -> Work<'a, Result<Start, WorkspaceError>> {
        Box::pin(async move {
            let document = self.document()?;
            if !self.is_held() && document.suspended.is_none() {
                return Err(WorkspaceError::NotSuspended { workspace: self.id().to_string() });
            }
            self.start(notice).await
        })
    }

    /// Whether a supervisor answers whose guest stays. One that is being stopped is waited for.
    pub(super) async fn is_answering(&self) -> Result<bool, WorkspaceError> {
        let request = Request::Status { guest: false, usage: false, settled: true };
        match connection::call_now::<Value>(&self.config, &self.folder, request).await {
            Ok(_) => Ok(true),
            // It has ended while it was asked.
            Err(WorkspaceError::Remote(failure)) if failure.code == code::WORKSPACE_NOT_RUNNING => Ok(false),
            Err(WorkspaceError::NotRunning { .. } | WorkspaceError::Supervisor { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Waits until the lock is free or a socket appears, whichever comes first.
    pub(super) async fn wait_for_change(&self) -> Result<(), WorkspaceError> {
        self.folder.wait_for_change().await.map_err(self.disk_error("waiting for the supervisor"))
    }

    /// Ends the guest. `keep_memory` keeps memory and processes on disk, to go on from. A warning says what was lost when the
    /// guest had to be killed. A workspace that is stopped already stays so.
    ///
    /// # Errors
    /// [`WorkspaceError`].
    pub fn stop(
        &self,
        keep_memory: bool,
        deadline: Duration,
    ) -> Work<'_, Result<Option<String>, WorkspaceError>> {
        Box::pin(async move {
            let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
            let request = Request::Stop { keep_memory, deadline_ms };
            let (_sender, mut receiver) = loop {
                match connection::ask(&self.config, &self.folder, request.clone()).await {
                    Ok(halves) => break halves,
                    Err(WorkspaceError::NotRunning { .. }) if self.settle().await? => return Ok(None),
                    // Somebody has started it meanwhile.
                    Err(WorkspaceError::NotRunning { .. }) => {}
                    Err(error) => return Err(error),
                }
            };
            let supervisor = receiver.supervisor();
            let mut told = std::pin::pin!(last_word(&mut receiver));
            let mut wait = deadline.saturating_add(LEAVE_DEADLINE);
            let given_up_at = Instant::now().checked_add(wait.saturating_add(STOP_MAX));
            let warning = loop {
                if let Ok(told) = tokio::time::timeout(wait, &mut told).await {
                    break told?;
                }
                let speaks = self.says_anything().await;
                let is_late = given_up_at.is_some_and(|at| Instant::now() >= at);
                if let Some(supervisor) = supervisor.as_ref().filter(|_| is_late || !speaks) {
                    kill(supervisor);
                    break Some(UNANSWERED.to_owned());
                }
                wait = LEAVE_DEADLINE;
            };
            self.settle().await?;
            Ok(warning)
        })
    }

    /// Whether the supervisor says anything at all. One that saves much memory, or waits its turn, takes long but does.
    async fn says_anything(&self) -> bool {
        let request = Request::Status { guest: false, usage: false, settled: false };
        let asked = connection::call_now::<Value>(&self.config, &self.folder, request);
        tokio::time::timeout(STATUS_DEADLINE, asked).await.is_ok()
    }

    /// Waits until whoever has the workspace has let go of it, and writes down what is then known. False when the next has it
    /// already, and its guest runs.
    async fn settle(&self) -> Result<bool, WorkspaceError> {
        let settled = async {
            loop {
                if let Some(_lock) = self.folder.try_lock()? {
                    return self.note_lost_guest().map(|()| true);
                }
                self.wait_for_change().await?;
                if self.folder.path().join(Folder::socket_name()).exists() {
                    return Ok(false);
                }
            }
        };
        let busy = |_| WorkspaceError::Busy { workspace: self.id().to_string() };
        tokio::time::timeout(LEAVE_DEADLINE, settled).await.map_err(busy)?
    }

    /// Writes down that the guest is gone when nobody has said so: its supervisor was killed, or the host went down. Only the
    /// lock's holder may.
    pub(super) fn note_lost_guest(&self) -> Result<(), WorkspaceError> {
        let mut document = self.folder.load()?;
        if document.stopped.is_none() && document.stage == Stage::Ready {
            document.stopped = Some((StopReason::GuestLost, UnixSeconds::now()));
            self.folder.save(&document)?;
            event::note(&self.config, self.id(), "workspace_stopped", Some("guest_lost".to_owned()));
        }
        Ok(())
    }

    /// Waits for the lock.
    pub(super) async fn lock(&self, deadline: Duration) -> Result<FolderLock, WorkspaceError> {
        if let Some(lock) = self.folder.try_lock()? {
            return Ok(lock);
        }
        let taken = async {
            loop {
                match self.folder.wait_until_free().await {
                    Ok(()) => {}
                    Err(_) if !self.folder.path().exists() => {}
                    Err(error) => return Err(self.disk_error("waiting for the supervisor")(error)),
                }
                // One that is gone is unknown; of one that somebody else was quicker to take the end is waited for again.
                if let Some(lock) = self.folder.try_lock()? {
                    return Ok(lock);
                }
                if !self.folder.path().exists() {
                    return Err(StoreError::Unknown { given: self.id().to_string() }.into());
                }
            }
        };
        let busy = |_| WorkspaceError::Busy { workspace: self.id().to_string() };
        tokio::time::timeout(deadline, taken).await.map_err(busy)?
    }

    /// Changes what is only remembered.
    ///
    /// # Errors
    /// [`WorkspaceError::NothingToChange`], or the name is taken.
    pub fn update<'a>(&'a self, update: &'a Update) -> Work<'a, Result<(), WorkspaceError>> {
        Box::pin(async move {
            if update.is_empty() {
                return Err(WorkspaceError::NothingToChange);
            }
            let Some(mut held) = self.hold()? else {
                let request = Request::Update(update.clone());
                return connection::call::<Value>(&self.config, &self.folder, request).await.map(drop);
            };
            let began = Instant::now();
            let mut apply = || {
                let changed = update.apply(&mut held.document);
                self.folder.save(&held.document)?;
                Ok(changed)
            };
            let changed = match &update.name {
                Some(name) => self.registry.with_name(name, self.folder.id(), apply)?,
                None => apply()?,
            };
            let outcome = if changed { Ok(()) } else { Err(WorkspaceError::NothingToChange) };
            self.note("update", None, outcome.as_ref().err(), began);
            outcome
        })
    }

    /// Deletes the workspace with everything it has, running or not, its document broken or not.
    ///
    /// # Errors
    /// [`WorkspaceError`].
    pub fn delete(&self) -> Work<'_, Result<(), WorkspaceError>> {
        Box::pin(async move {
            if self.folder.is_held() {
                // Nothing of it is needed any more.
                match self.stop(false, Duration::ZERO).await {
                    Ok(_) | Err(WorkspaceError::Store(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            self.forget_secrets();
            match self.lock(LEAVE_DEADLINE).await {
                Ok(lock) => self.folder.clone().remove(&lock)?,
                // One that was being made goes with its supervisor.
                Err(WorkspaceError::Store(StoreError::Unknown { .. })) => {}
                Err(error) => return Err(error),
            }
            event::note(&self.config, self.folder.id(), "workspace_deleted", None);
            Ok(())
        })
    }

    /// Writes down what was done in this process.
    pub(super) fn note(
        &self,
        operation: &str,
        detail: Option<String>,
        error: Option<&WorkspaceError>,
        began: Instant,
    ) {
        let pid = i32::try_from(std::process::id()).ok();
        let entry = audit::Entry::new(&self.config.caller, pid, operation, detail);
        entry.end(&self.folder, error, &audit::Exchange::default(), began.elapsed());
    }
}

/// Waits until a supervisor that was asked to stop has closed the connection; its warning.
async fn last_word(receiver: &mut Receiver) -> Result<Option<String>, WorkspaceError> {
    let warning = loop {
        match receiver.next().await {
            Ok(Incoming::Done(value)) => {
                break value.get("warning").and_then(Value::as_str).map(str::to_owned);
            }
            Ok(_) => {}
            // It ended meanwhile for a reason of its own.
            Err(WorkspaceError::Supervisor { .. }) => return Ok(None),
            Err(error) => return Err(error),
        }
    };
    receiver.closed().await;
    Ok(warning)
}

/// Kills a supervisor, and with it its engine.
fn kill(supervisor: &OwnedFd) {
    // Only fails when it has just ended by itself.
    let _ = rustix::process::pidfd_send_signal(supervisor, rustix::process::Signal::KILL);
}

/// A supervisor that was started. One that makes a workspace lives no longer than this does.
pub(super) struct Supervised {
    _report: Lines<BufReader<Take<ChildStdout>>>,
}

/// Starts a workspace's supervisor, which inherits the lock, and waits until the guest is up.
pub(super) async fn start_supervisor(
    config: &Config,
    folder: &Folder,
    lock: FolderLock,
    notice: &mut (dyn FnMut(&str) + Send),
) -> Result<Supervised, WorkspaceError> {
    let program = config.supervisor.clone();
    let failed = |source| WorkspaceError::Spawn { program: program.clone(), source };
    let order =
        Order { config: Config { fetch_env: Vec::new(), ..config.clone() }, workspace: folder.id().clone() };
    let order_path = folder.path().join(ORDER);
    super::folder::write_json(&order_path, &order, false)?;
    let log = OpenOptions::new().append(true).create(true).mode(0o600).open(folder.supervisor_log());
    let mut command = tokio::process::Command::new(&program);
    command
        .arg0("pyro")
        .arg("supervise")
        .arg(&order_path)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(lock.into_file()))
        .stdout(Stdio::piped())
        .stderr(Stdio::from(log.map_err(failed)?));
    let mut child = command.spawn().map_err(failed)?;
    // The command holds a copy of the lock's descriptor.
    drop(command);
    let supervisor =
        |did: &str| WorkspaceError::Supervisor { workspace: folder.id().to_string(), did: did.to_owned() };
    let stdout = child.stdout.take().ok_or_else(|| supervisor("has no output"))?;
    let mut lines = BufReader::new(stdout.take(REPORT_BYTES_MAX)).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str(&line) {
            Ok(Line::Notice { text }) => notice(&text),
            Ok(Line::Ready) => return Ok(Supervised { _report: lines }),
            Ok(Line::Failed(failure)) => {
                // It is gone, and its lock with it, before anybody is told.
                let _ = child.wait().await;
                return Err(WorkspaceError::Remote(failure));
            }
            Err(_) => break,
        }
    }
    let _ = child.wait().await;
    Err(supervisor("ended before its guest was up"))
}
