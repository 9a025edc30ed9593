//! Commands under way in the guest, and for a while those that ended: by number, whoever started them. This file must not
//! talk to a client.

use super::exec::Times;
use super::output::Extent;
use super::output::Output;
use crate::guest::Exec;
use crate::guest::StreamWriter;
use crate::workspace::history::Ended;
use crate::workspace::history::History;
use crate::workspace::history::Started;
use crate::workspace::history::Stream;
use pyro_proto::message::RequestId;
use pyro_proto::message::SignalTarget;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;

/// Most commands that are remembered here after their end; the history has them all.
const ENDED_MAX: usize = 64;

/// How long the last output of a command whose guest is gone may take to be kept.
pub(super) const DRAIN_DEADLINE: Duration = Duration::from_secs(1);

/// One command.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) started: Started,
    pub(super) stdout: Output,
    pub(super) stderr: Output,
    /// Its standard input, until somebody takes it.
    pub(super) stdin: tokio::sync::Mutex<Option<StreamWriter>>,
    pub(super) times: Times,
    exec: Exec,
    /// Code and text of what cuts it short, once that has begun.
    cut: OnceLock<Cut>,
    /// Whoever waited for it is gone, and it ends.
    abandoned: AtomicBool,
    ended: watch::Sender<Option<Ended>>,
    /// Its workspace was paused: its process is in the memory that is kept, and nothing comes of it here any more.
    parted: watch::Sender<bool>,
}

/// Code and text of an end that is not the command's own.
pub(super) type Cut = (&'static str, &'static str);

impl Job {
    pub(super) fn new(
        started: Started,
        history: &History,
        output_bytes_max: u64,
        exec: Exec,
        stdin: Option<StreamWriter>,
        times: Times,
    ) -> Self {
        let output = |stream| Output::new(stream, history.output(started.sequence, stream), output_bytes_max);
        Self {
            stdout: output(Stream::Stdout),
            stderr: output(Stream::Stderr),
            stdin: tokio::sync::Mutex::new(stdin),
            started,
            times,
            exec,
            cut: OnceLock::new(),
            abandoned: AtomicBool::new(false),
            ended: watch::channel(None).0,
            parted: watch::channel(false).0,
        }
    }

    /// One of which so much has come already.
    pub(super) fn going_on(mut self, [stdout, stderr]: [Extent; 2]) -> Self {
        self.stdout = self.stdout.going_on(stdout);
        self.stderr = self.stderr.going_on(stderr);
        self
    }

    /// The guest's name for it.
    pub(super) const fn name(&self) -> RequestId {
        self.exec.job()
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed)
    }

    /// Nothing comes of it any more, and it has not ended.
    pub(super) fn part(&self) {
        self.parted.send_replace(true);
    }

    /// Waits until nothing of it comes any more; whether that is because its workspace was paused.
    pub(super) async fn is_over(&self) -> bool {
        // The sender is this job's own.
        let mut parted = self.parted.subscribe();
        tokio::select! {
            _ = self.end() => false,
            _ = parted.wait_for(|parted| *parted) => true,
        }
    }

    pub(super) const fn sequence(&self) -> u64 {
        self.started.sequence
    }

    /// Sends it a signal; one that has ended needs none.
    pub(super) fn signal(&self, signal: i32, target: SignalTarget) {
        self.exec.signal(signal, target);
    }

    /// Has the guest end it, with everything it started.
    pub(super) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
        self.exec.end();
    }

    /// What it ends of, whatever its process makes of that; `None` when that is the command's own affair.
    pub(super) fn cut(&self) -> Option<Cut> {
        self.cut.get().copied()
    }

    /// How it ended, once it has.
    pub(super) fn ended(&self) -> Option<Ended> {
        self.ended.borrow().clone()
    }

    /// Waits for its end.
    pub(super) async fn end(&self) -> Ended {
        let mut watch = self.ended.subscribe();
        let found = watch.wait_for(Option::is_some).await.ok().and_then(|ended| ended.clone());
        // The sender is this job's own.
        found.unwrap_or_default()
    }

    /// Says that it has ended, and how; whether that was news.
    pub(super) fn finish(&self, ended: Ended) -> bool {
        self.stdout.end();
        self.stderr.end();
        self.ended.send_if_modified(|known| {
            let news = known.is_none();
            if news {
                *known = Some(ended);
            }
            news
        })
    }
}

/// All jobs of one supervisor.
#[derive(Debug)]
pub(super) struct Jobs {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    next: u64,
    all: BTreeMap<u64, Arc<Job>>,
}

impl Jobs {
    pub(super) fn new(next: u64) -> Self {
        Self { state: Mutex::new(State { next, all: BTreeMap::new() }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next command's number.
    pub(super) fn number(&self) -> u64 {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        number
    }

    /// Numbers begin again.
    pub(super) fn restart(&self) {
        let mut state = self.state();
        state.all.clear();
        state.next = 1;
    }

    pub(super) fn insert(&self, job: Job) -> Arc<Job> {
        let job = Arc::new(job);
        let mut state = self.state();
        state.all.insert(job.sequence(), Arc::clone(&job));
        let ended: Vec<u64> =
            state.all.iter().filter(|(_, job)| job.ended().is_some()).map(|(number, _)| *number).collect();
        for number in ended.iter().take(ended.len().saturating_sub(ENDED_MAX)) {
            state.all.remove(number);
        }
        job
    }

    pub(super) fn get(&self, number: u64) -> Option<Arc<Job>> {
        self.state().all.get(&number).cloned()
    }

    pub(super) fn living(&self) -> Vec<Arc<Job>> {
        self.state().all.values().filter(|job| job.ended().is_none()).cloned().collect()
    }

    /// How many run.
    pub(super) fn running(&self) -> usize {
        self.living().len()
    }

    /// From here on every job that ends is one that was cut short. What they still print is kept.
    pub(super) fn cut_short(&self, (code, text): Cut) {
        for job in self.living() {
            // What came first is why.
            let _ = job.cut.set((code, text));
        }
    }

    /// Waits a moment for every job to learn of its end, and to have all its output: their guest is gone.
    pub(super) async fn drained(&self) {
        let all = async {
            for job in self.living() {
                job.end().await;
            }
        };
        // Those that do not are told.
        let _ = tokio::time::timeout(DRAIN_DEADLINE * 2, all).await;
    }

    /// Tells every job that has not heard of its end: their guest is gone. The ends are still to be written down.
    pub(super) async fn all_ended(&self, cut: Cut) -> Vec<Ended> {
        let mut all = Vec::new();
        for job in self.living() {
            let (code, text) = job.cut().unwrap_or(cut);
            let error = Some((code.to_owned(), text.to_owned()));
            let told = Ended {
                sequence: job.sequence(),
                exit_code: 125,
                error,
                stdout_bytes: job.stdout.extent().total,
                stderr_bytes: job.stderr.extent().total,
                ..Ended::default()
            };
            if job.finish(told.clone()) {
                all.push(told);
            }
        }
        // Whoever follows them gets a turn to say so.
        tokio::task::yield_now().await;
        all
    }
}
