//! Shells: jobs on a terminal that belong to the supervisor and not to a client. This file opens, lists and changes them; what
//! they print is in [`kept`], what is typed in [`queue`], and somebody at their terminal in [`attach`]. This folder must not
//! decide who may use a shell.
//!
//! ```text
//!   opened --> running -- its program ended, output read, disk flushed --> ended -- too many of these --> forgotten
//!                      \- closed: HUP and TERM for all of it, then KILL -^
//! ```
//!
//! A shell that nobody uses does not keep its workspace from being stopped when its time is up: what counts as use is a
//! request, somebody attached, and what the shell prints.

mod attach;
mod cut;
mod kept;
mod queue;
mod record;
mod saved;
mod wait;

pub(super) use saved::LoadedShell;
pub(super) use saved::SavedShell;

use super::Supervisor;
use super::exec::START_DEADLINE;
use super::redacted::RedactedReader;
use super::serve::Client;
use super::vault::Lent;
use crate::guest::Exec;
use crate::guest::ExecStreams;
use crate::guest::GuestError;
use crate::terminal::TerminalSize;
use crate::workspace::control::frame::Frame;
use crate::workspace::control::frame::Tag;
use crate::workspace::control::shell::OpenRequest;
use crate::workspace::control::shell::ReadReply;
use crate::workspace::control::shell::ReadRequest;
use crate::workspace::control::shell::ShellRequest;
use crate::workspace::document::UnixSeconds;
use crate::workspace::error::StoreError;
use crate::workspace::error::WorkspaceError;
use crate::workspace::event;
use crate::workspace::shell::CHARS_MAX;
use crate::workspace::shell::INPUT_BYTES_MAX;
use crate::workspace::shell::Pattern;
use crate::workspace::shell::ShellError;
use kept::Kept;
use pyro_proto::exec::ExecExit;
use pyro_proto::exec::ExecSpec;
use pyro_proto::message::ErrorCode;
use pyro_proto::message::SignalTarget;
use queue::Queue;
use queue::Refused;
use record::Ended;
use record::Facts;
use serde_json::Value;
use serde_json::json;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Most shells that run at once in one workspace.
const RUNNING_MAX: usize = 256;

/// Most shells that are remembered, with what they printed, after their end.
const ENDED_MAX: usize = 32;

/// How long the flush after a shell's end may take before that is told all the same.
const FLUSH_DEADLINE: Duration = Duration::from_secs(30);

/// How long a shell that is closed may take to be gone: the guest's own grace, and its patience with what hangs in the kernel.
const CLOSE_DEADLINE: Duration = Duration::from_secs(15);

/// What a shell prints counts as use of the workspace once in so long.
const USE_INTERVAL: Duration = Duration::from_secs(1);

/// Longest that anybody waits for output: a day.
const WAIT_MAX: Duration = Duration::from_secs(24 * 3600);

const HUP: i32 = 1;

/// One shell.
#[derive(Debug)]
struct Shell {
    facts: Facts,
    size: Mutex<TerminalSize>,
    kept: Kept,
    input: Queue,
    /// Its program; nothing for one that had ended when its workspace was paused.
    exec: Option<Exec>,
    attached: AtomicUsize,
    ended: watch::Sender<Option<Ended>>,
    /// Its workspace was paused: its program is in the memory that is kept, and nothing comes of it here any more.
    parted: watch::Sender<bool>,
}

impl Shell {
    fn id(&self) -> &str {
        &self.facts.id
    }

    fn size(&self) -> TerminalSize {
        *self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self) -> Option<Ended> {
        self.ended.borrow().clone()
    }

    fn exec(&self) -> Result<&Exec, ShellError> {
        self.exec.as_ref().ok_or_else(|| self.has_ended())
    }

    /// Waits until nothing of it comes any more, because it has ended or its workspace was paused.
    async fn is_over(&self) {
        // The sender is this shell's own.
        let parted = async { drop(self.parted.subscribe().wait_for(|parted| *parted).await) };
        tokio::select! {
            () = self.end() => {}
            () = parted => {}
        }
    }

    /// Waits for its end.
    async fn end(&self) {
        // The sender is this shell's own.
        let _ = self.ended.subscribe().wait_for(Option::is_some).await;
    }

    /// Says that it has ended, and how; whether that was news.
    fn finish(&self, ended: Ended) -> bool {
        self.kept.end();
        self.input.close();
        self.ended.send_if_modified(|known| {
            let news = known.is_none();
            if news {
                *known = Some(ended);
            }
            news
        })
    }

    fn record(&self) -> Value {
        let ended = self.ended();
        self.facts.describe(
            ended.as_ref(),
            self.size(),
            self.attached.load(Ordering::Relaxed),
            [self.kept.extent().total, self.kept.kept_from()],
        )
    }

    fn push(&self, bytes: Vec<u8>) -> Result<(), ShellError> {
        let given = bytes.len();
        self.input.push(bytes).map_err(|refused| match refused {
            Refused::Ended => self.has_ended(),
            Refused::Full(waiting) => {
                ShellError::InputFull { shell: self.id().to_owned(), waiting, most: INPUT_BYTES_MAX, given }
            }
        })
    }

    async fn resize(&self, size: TerminalSize) -> Result<(), WorkspaceError> {
        let resized = self.exec()?.resize(size.pty()).await;
        self.of_guest("resizing the terminal of a shell", resized)?;
        *self.size.lock().unwrap_or_else(PoisonError::into_inner) = size;
        Ok(())
    }

    fn of_guest(
        &self,
        operation: &'static str,
        answer: Result<(), GuestError>,
    ) -> Result<(), WorkspaceError> {
        match answer {
            Err(GuestError::Refused(error)) if error.code == ErrorCode::NoSuchJob => {
                Err(self.has_ended().into())
            }
            Err(source) => Err(WorkspaceError::Guest { operation, source }),
            Ok(()) => Ok(()),
        }
    }

    fn has_ended(&self) -> ShellError {
        ShellError::Ended { shell: self.id().to_owned() }
    }
}

/// All shells of one supervisor, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Shells(Mutex<Vec<Arc<Shell>>>);

impl Shells {
    fn all(&self) -> MutexGuard<'_, Vec<Arc<Shell>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> Vec<Arc<Shell>> {
        self.all().iter().filter(|shell| shell.ended().is_none()).cloned().collect()
    }

    /// Adds one, and forgets the first that have ended.
    fn insert(&self, shell: &Arc<Shell>) {
        let mut all = self.all();
        all.push(Arc::clone(shell));
        let ended = all.iter().filter(|shell| shell.ended().is_some()).count();
        let mut too_many = ended.saturating_sub(ENDED_MAX);
        all.retain(|shell| {
            let goes = too_many > 0 && shell.ended().is_some();
            too_many -= usize::from(goes);
            !goes
        });
    }
}

impl Supervisor {
    /// Does what a client asks of shells.
    pub(super) async fn shell(
        self: &Arc<Self>,
        request: ShellRequest,
        client: &mut Client,
    ) -> Result<Value, WorkspaceError> {
        let _in_use = (!matches!(request, ShellRequest::List)).then(|| self.in_use());
        match request {
            ShellRequest::Open(request) => Ok(self.open_shell(request).await?.record()),
            ShellRequest::List => Ok(self.shells.all().iter().map(|shell| shell.record()).collect()),
            ShellRequest::Read(request) => self.read_shell(request, client).await,
            ShellRequest::Write { shell } => self.write_shell(&shell, client).await,
            ShellRequest::Signal { shell, signal } => {
                let shell = self.running_shell(&shell)?;
                let sent = shell.exec()?.signalled(signal, SignalTarget::Foreground).await;
                shell.of_guest("sending a signal to a shell", sent)?;
                Ok(shell.record())
            }
            ShellRequest::Resize { shell, size } => {
                let shell = self.running_shell(&shell)?;
                shell.resize(size).await?;
                Ok(shell.record())
            }
            ShellRequest::Close { shell } => {
                let shell = self.known_shell(&shell)?;
                close(&shell).await?;
                Ok(shell.record())
            }
            ShellRequest::Attach(request) => {
                let shell = self.known_shell(&request.shell)?;
                attach::attach(&shell, &request, client).await
            }
        }
    }

    fn known_shell(&self, id: &str) -> Result<Arc<Shell>, ShellError> {
        let found = self.shells.all().iter().find(|shell| shell.id() == id).cloned();
        let shell = || id.chars().take(80).collect();
        found.ok_or_else(|| ShellError::Unknown { workspace: self.id(), shell: shell() })
    }

    fn running_shell(&self, id: &str) -> Result<Arc<Shell>, ShellError> {
        let shell = self.known_shell(id)?;
        if shell.ended().is_some() { Err(shell.has_ended()) } else { Ok(shell) }
    }

    /// Starts a shell, and sees to its end whatever becomes of its client.
    async fn open_shell(self: &Arc<Self>, mut request: OpenRequest) -> Result<Arc<Shell>, WorkspaceError> {
        let _open = self.gate.read().await;
        if *self.ended.borrow() {
            return Err(WorkspaceError::not_running(&self.folder));
        }
        if self.shells.running().len() >= RUNNING_MAX {
            return Err(ShellError::TooMany { workspace: self.id(), most: RUNNING_MAX }.into());
        }
        request.shown = self.vault.needles().redact(&request.shown);
        let facts = Facts::new(self.id(), &request).map_err(StoreError::Random)?;
        let size = request.size;
        let mut env = request.env;
        env.extend(self.secret_env(&request.secret_env)?);
        let spec =
            ExecSpec { argv: request.argv, cwd: request.cwd, env, user: request.user, ..ExecSpec::default() };
        let streams = ExecStreams { stdin: true, stderr: false, pty: Some(size.pty()) };
        let lent = self.lend_secrets().await?;
        let exec = match self.start_in_guest("opening the shell", spec, streams, START_DEADLINE).await {
            Ok(exec) => exec,
            Err(error) => {
                self.return_secrets(lent).await;
                return Err(error);
            }
        };
        let kept = Kept::new(self.folder.path().to_owned());
        let shell = self.follow_shell(facts, size, kept, Vec::new(), exec, Some(lent));
        event::note(&self.config, self.folder.id(), "shell_opened", Some(shell.id().to_owned()));
        Ok(shell)
    }

    /// Goes on with one that was there before the workspace was paused, if its program is.
    pub(super) async fn take_over_shell(
        self: &Arc<Self>,
        loaded: LoadedShell,
        exec: Result<Exec, GuestError>,
    ) {
        let LoadedShell { saved, kept, input } = loaded;
        match (exec, saved.ended) {
            (Ok(exec), None) => {
                let lent = self.lend_secrets().await.ok();
                self.follow_shell(saved.facts, saved.size, kept, input, exec, lent);
            }
            (exec, ended) => {
                let lost =
                    |error: GuestError| Ended::lost(&format!("it was not there after the pause: {error}"));
                let ended = ended.or_else(|| exec.err().map(lost));
                kept.end();
                self.shells.insert(&Arc::new(Shell {
                    facts: saved.facts,
                    size: Mutex::new(saved.size),
                    kept,
                    input: Queue::new(Vec::new()).0,
                    exec: None,
                    attached: AtomicUsize::new(0),
                    ended: watch::channel(ended).0,
                    parted: watch::channel(false).0,
                }));
            }
        }
    }

    /// Keeps what a shell prints, and sees to its end.
    fn follow_shell(
        self: &Arc<Self>,
        facts: Facts,
        size: TerminalSize,
        kept: Kept,
        waiting: Vec<u8>,
        mut exec: Exec,
        lent: Option<Lent>,
    ) -> Arc<Shell> {
        let (input, outlet) = Queue::new(waiting);
        if let Some(stdin) = exec.stdin.take() {
            tokio::spawn(outlet.feed(stdin));
        }
        let (stdout, exits) = (exec.stdout.take(), exec.take_exit());
        let shell = Arc::new(Shell {
            facts,
            size: Mutex::new(size),
            kept,
            input,
            exec: Some(exec),
            attached: AtomicUsize::new(0),
            ended: watch::channel(None).0,
            parted: watch::channel(false).0,
        });
        self.shells.insert(&shell);
        let (supervisor, watched) = (Arc::clone(self), Arc::clone(&shell));
        tokio::spawn(async move {
            if let Some(stdout) = stdout {
                let mut stdout = RedactedReader::new(stdout, &supervisor);
                let mut used = Instant::now();
                while let Some(bytes) = stdout.read().await {
                    watched.kept.push(&bytes);
                    if used.elapsed() >= USE_INTERVAL {
                        used = Instant::now();
                        supervisor.activity.change(|_| {});
                    }
                }
            }
            let exit = exits.await;
            supervisor.shell_ended(&watched, exit).await;
            if let Some(lent) = lent {
                supervisor.return_secrets(lent).await;
            }
        });
        shell
    }

    /// Nothing more of what is typed goes to the guest, or it goes on.
    pub(super) fn hold_shells(&self, held: bool) {
        self.shells.all().iter().for_each(|shell| shell.input.hold(held));
    }

    /// Writes down all shells, of which nothing comes any more; one that cannot be is left out.
    pub(super) async fn save_shells(&self, folder: &Path) -> Vec<io::Result<SavedShell>> {
        let all = self.shells.all().clone();
        for shell in &all {
            shell.is_over().await;
        }
        all.iter().map(|shell| shell.save(folder)).collect()
    }

    /// Everything that comes after a shell's end and before anybody hears of it.
    async fn shell_ended(&self, shell: &Shell, exit: Result<ExecExit, GuestError>) {
        if exit.is_err() && self.is_suspending() {
            shell.parted.send_replace(true);
            return;
        }
        if exit.is_ok() {
            // What it has written is safe once its end is told.
            let _ = tokio::time::timeout(FLUSH_DEADLINE, self.flush()).await;
        }
        if shell.finish(Ended::of(exit)) {
            event::note(&self.config, self.folder.id(), "shell_ended", Some(shell.id().to_owned()));
        }
    }

    /// Sends what is wanted of an output, when what is waited for has come.
    async fn read_shell(&self, request: ReadRequest, client: &mut Client) -> Result<Value, WorkspaceError> {
        let shell = self.known_shell(&request.shell)?;
        let total = shell.kept.extent().total;
        if request.cursor > total {
            return Err(ShellError::Cursor { shell: request.shell, total, cursor: request.cursor }.into());
        }
        let pattern = request.pattern.as_deref().map(Pattern::new).transpose()?;
        let idle = request.idle_ms.map(Duration::from_millis);
        let deadline = Instant::now() + Duration::from_millis(request.timeout_ms).min(WAIT_MAX);
        let waited = tokio::select! {
            waited = wait::wait(&shell.kept, request.cursor, pattern.as_ref(), idle, deadline) => waited,
            () = client.gone() => return Ok(Value::Null),
        };
        // In this order: one that has ended has printed everything.
        let ended = shell.ended().is_some();
        let chars_max = request.chars_max.min(CHARS_MAX);
        let piece = shell.kept.read(request.cursor, chars_max * 4);
        let length = cut::length(&piece.bytes, chars_max, ended);
        let failed = |source| WorkspaceError::Caller { operation: "answering the client", source };
        client.send(Tag::Stdout, &piece.bytes[..length]).await.map_err(failed)?;
        let next_cursor = piece.from + length as u64;
        Ok(json!(ReadReply {
            record: shell.record(),
            next_cursor,
            dropped_bytes: piece.from - request.cursor,
            remaining_bytes: shell.kept.extent().total.saturating_sub(next_cursor),
            matched: waited.matched,
            timed_out: waited.timed_out,
        }))
    }

    /// Takes all that a client has to write, or nothing.
    async fn write_shell(&self, id: &str, client: &mut Client) -> Result<Value, WorkspaceError> {
        let shell = self.running_shell(id)?;
        let mut input = Vec::new();
        loop {
            match client.read().await {
                Some(Frame { tag: Tag::Input, payload })
                    if input.len() + payload.len() <= INPUT_BYTES_MAX =>
                {
                    input.extend_from_slice(&payload);
                }
                Some(Frame { tag: Tag::Input, payload }) => {
                    let bytes = input.len() + payload.len();
                    return Err(ShellError::InputTooLong { bytes, most: INPUT_BYTES_MAX }.into());
                }
                Some(Frame { tag: Tag::InputEnd, .. }) => break,
                Some(_) => {}
                // Half of what somebody wanted to write may mean something else.
                None => return Ok(Value::Null),
            }
        }
        shell.push(input)?;
        Ok(shell.record())
    }

    /// Tells every shell that its terminal is gone.
    pub(super) fn hang_up_shells(&self) {
        for shell in self.shells.running() {
            if let Some(exec) = &shell.exec {
                exec.signal(HUP, SignalTarget::Tree);
            }
        }
    }

    /// Their guest is gone.
    pub(super) fn end_shells(&self, reason: &str) {
        for shell in self.shells.running() {
            if shell.finish(Ended::lost(reason)) {
                event::note(&self.config, self.folder.id(), "shell_ended", Some(shell.id().to_owned()));
            }
        }
    }

    /// Their guest is another one now.
    pub(super) fn forget_shells(&self, reason: &str) {
        self.end_shells(reason);
        self.shells.all().clear();
    }
}

/// Ends a shell with everything it has started, and waits for that.
async fn close(shell: &Shell) -> Result<(), WorkspaceError> {
    if let Some(exec) = shell.exec.as_ref().filter(|_| shell.ended().is_none()) {
        // An interactive shell takes no notice of TERM, and what it left running takes none of HUP. In this order: the hang-up
        // ends the shell, and only of a job that is being ended the rest is seen to.
        exec.end();
        exec.signal(HUP, SignalTarget::Tree);
    }
    match tokio::time::timeout(CLOSE_DEADLINE + FLUSH_DEADLINE, shell.end()).await {
        Ok(()) => Ok(()),
        Err(_) => Err(WorkspaceError::Hung { workspace: shell.facts.workspace.clone() }),
    }
}

/// While this lives, somebody is attached.
struct Presence<'a>(&'a Shell);

impl<'a> Presence<'a> {
    fn at(shell: &'a Shell) -> Self {
        shell.attached.fetch_add(1, Ordering::Relaxed);
        Self(shell)
    }
}

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        self.0.attached.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The time as records have it.
fn now() -> UnixSeconds {
    UnixSeconds::now()
}
