//! One command from fork to the last byte of its output. This file must not talk to the host but through what it returns.
//!
//! ```text
//!   starting --exec worked--> running --main process ended--> ended --outputs told--> over
//!      \--exec failed------------------------------------------------------------------^
//! ```
//!
//! Being over and being gone are two things: processes of a job that is over may live on, and what they write is
//! discarded until nobody holds the pipe.

use crate::channel::Channel;
use crate::child::FAILURE_BYTES;
use crate::child::Failure;
use crate::input::Input;
use crate::monitor;
use crate::names::Names;
use crate::output::Output;
use crate::poll::Part;
use crate::spawn::Spawned;
use crate::sys::process::Reaped;
use crate::sys::process::reap;
use crate::tree::Tree;
use pyro_proto::exec::Ending;
use pyro_proto::exec::ExecExit;
use pyro_proto::exec::Stdio;
use pyro_proto::limits::KILL_GRACE_MS;
use pyro_proto::message::RequestId;
use rustix::process::Pid;
use rustix::process::Signal;
use std::os::fd::OwnedFd;
use std::time::Duration;
use std::time::Instant;

/// Longest wait for killed processes to be gone before the host is told the end anyway: one may hang in the kernel.
const KILLED_WAIT: Duration = Duration::from_secs(5);

/// Most milliseconds a request may name: a year. Larger numbers mean "never", and no clock overflows.
const MILLISECONDS_MAX: u64 = 365 * 24 * 3600 * 1000;

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Starting,
    Running,
    Ended,
    Over,
}

/// How far killing it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Killing {
    No,
    Asked,
    Forced,
    GivenUp,
}

/// How a start went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Not known yet.
    Pending,
    /// The command runs; its process id.
    Done(Pid),
    /// It never ran.
    Failed(Failure),
}

/// How long a job may run, and how it is ended then.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    pub(crate) timeout_ms: Option<u64>,
    pub(crate) kill_grace_ms: Option<u64>,
    pub(crate) left_grace_ms: Option<u64>,
}

/// A command and everything that belongs to it.
#[derive(Debug)]
pub(crate) struct Job {
    /// The host's name for it; `None` when that host is gone or was told the end.
    pub(crate) request: Option<RequestId>,
    /// The name that the host before had for it, while another may come and ask for it by that.
    pub(crate) parked: Option<RequestId>,
    pub(crate) names: Names,
    pub(crate) phase: Phase,
    pub(crate) tree: Option<Tree>,
    pub(crate) input: Option<Input>,
    pub(crate) output: Output,
    pub(crate) error: Option<Output>,
    pub(crate) terminal: Option<OwnedFd>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) killing: Killing,
    child: Pid,
    /// Until the agent's child is reaped.
    pidfd: Option<OwnedFd>,
    status: Option<OwnedFd>,
    report: Option<OwnedFd>,
    main: Option<Pid>,
    started: Instant,
    timeout: Option<Duration>,
    grace: Duration,
    /// How long what outlives the command has once it is asked to end; it is not asked when absent.
    left_grace: Option<Duration>,
    timed_out: bool,
    settled: bool,
    detached: u32,
    end: Option<(Reaped, Duration)>,
}

impl Job {
    pub(crate) fn new(
        request: RequestId,
        names: Names,
        stdio: &Stdio,
        limits: Limits,
        spawned: Spawned,
    ) -> Self {
        let stream = stdio.stream;
        let terminal = stdio.pty.is_some();
        let error = spawned.ends.error.zip(stdio.stderr_stream);
        let grace = |ms: u64| Duration::from_millis(ms.min(MILLISECONDS_MAX));
        Self {
            request: Some(request),
            parked: None,
            names,
            phase: Phase::Starting,
            tree: Some(spawned.tree),
            input: spawned.ends.input.map(|fd| Input::new(fd, stream, terminal)),
            output: Output::new(spawned.ends.output, stream, terminal),
            error: error.map(|(fd, stream)| Output::new(fd, stream, false)),
            terminal: spawned.ends.terminal,
            deadline: None,
            killing: Killing::No,
            child: spawned.child,
            pidfd: Some(spawned.pidfd),
            status: Some(spawned.status),
            report: spawned.report,
            main: None,
            started: spawned.forked_at,
            timeout: limits.timeout_ms.filter(|ms| *ms <= MILLISECONDS_MAX).map(Duration::from_millis),
            grace: grace(limits.kill_grace_ms.unwrap_or(KILL_GRACE_MS)),
            left_grace: limits.left_grace_ms.map(grace),
            timed_out: false,
            settled: false,
            detached: 0,
            end: None,
        }
    }

    /// Every descriptor that must be watched, with its part.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = (&OwnedFd, Part)> {
        let own = [
            (self.status.as_ref(), Part::Status),
            (self.pidfd.as_ref(), Part::Process),
            (self.report.as_ref(), Part::Report),
            (self.input.as_ref().and_then(Input::descriptor), Part::Input),
            (self.output.descriptor(), Part::Output),
            (self.error.as_ref().and_then(Output::descriptor), Part::Error),
        ];
        own.into_iter().filter_map(|(fd, part)| Some((fd?, part)))
    }

    /// One of its outputs.
    pub(crate) const fn lane(&mut self, part: Part) -> Option<&mut Output> {
        match part {
            Part::Output => Some(&mut self.output),
            Part::Error => self.error.as_mut(),
            _ => None,
        }
    }

    /// The command's process id, while it may be signalled.
    pub(crate) fn living_main(&self) -> Option<Pid> {
        self.main.filter(|_| self.phase == Phase::Running)
    }

    /// Looks at the status pipe.
    pub(crate) fn check_start(&mut self) -> Start {
        let Some(status) = &self.status else { return Start::Pending };
        let mut record = [0; FAILURE_BYTES];
        let start = match rustix::io::read(status, &mut record) {
            Ok(0) => Start::Done(self.find_main()),
            Ok(FAILURE_BYTES) => Start::Failed(Failure::decode(record)),
            _ => return Start::Pending,
        };
        self.status = None;
        match start {
            Start::Done(main) => {
                self.main = Some(main);
                self.phase = Phase::Running;
                // One that is being ended already has the deadline of that.
                if self.killing == Killing::No {
                    self.deadline = self.timeout.map(|timeout| self.started + timeout);
                }
            }
            _ => self.phase = Phase::Over,
        }
        start
    }

    /// The command's process id; a monitor writes it before the status pipe closes.
    fn find_main(&self) -> Pid {
        let mut record = [0; monitor::PID_BYTES];
        let read = self.report.as_ref().map(|report| rustix::io::read(report, &mut record));
        match read {
            Some(Ok(monitor::PID_BYTES)) => Pid::from_raw(i32::from_le_bytes(record)).unwrap_or(self.child),
            _ => self.child,
        }
    }

    /// Looks whether the agent's child or what it monitors has ended; true when the command's end became known.
    pub(crate) fn check_end(&mut self) -> bool {
        let known = self.end.is_some();
        self.read_report();
        if self.pidfd.is_some()
            && let Ok(Some((_, reaped))) = reap(Some(self.child), false)
        {
            self.pidfd = None;
            if matches!(self.tree, Some(Tree::Monitor(_))) {
                // A monitor outlives all it watches, so nothing is left.
                self.tree = None;
            }
            if self.end.is_none() {
                self.end = Some((reaped, self.started.elapsed()));
            }
        }
        !known && self.end.is_some()
    }

    fn read_report(&mut self) {
        let Some(report) = &self.report else { return };
        let mut record = [0; monitor::END_BYTES];
        if rustix::io::read(report, &mut record) == Ok(monitor::END_BYTES) {
            self.end = Some((monitor::decode(&record), self.started.elapsed()));
            self.report = None;
        }
    }

    /// The command has ended: it reads no more, and its deadline is over unless its tree is being killed.
    pub(crate) fn note_end(&mut self) {
        if self.phase == Phase::Running {
            self.phase = Phase::Ended;
        }
        if let Some(input) = &mut self.input {
            input.close();
        }
        if self.killing == Killing::No {
            self.deadline = None;
            self.end_what_is_left();
        }
    }

    /// The command ended by itself, and nothing shall outlive it.
    fn end_what_is_left(&mut self) {
        let Some(grace) = self.left_grace else { return };
        self.detached = self.process_count();
        if self.detached > 0 {
            self.grace = grace;
            self.kill_further(Instant::now());
        }
    }

    fn process_count(&self) -> u32 {
        self.tree.as_ref().map_or(0, |tree| u32::try_from(tree.processes().len()).unwrap_or(u32::MAX))
    }

    /// The next step of killing the whole tree; sets when the one after it is due.
    pub(crate) fn kill_further(&mut self, now: Instant) {
        let (next, wait) = match self.killing {
            Killing::No => {
                self.signal_tree(Signal::TERM);
                // A stopped process only sees TERM once it continues.
                self.signal_tree(Signal::CONT);
                (Killing::Asked, Some(self.grace))
            }
            Killing::Asked => {
                self.kill();
                (Killing::Forced, Some(KILLED_WAIT))
            }
            Killing::Forced | Killing::GivenUp => (Killing::GivenUp, None),
        };
        self.killing = next;
        self.deadline = wait.map(|wait| now + wait);
    }

    /// The time the request allowed is over.
    pub(crate) fn time_out(&mut self) {
        self.timed_out = self.phase == Phase::Running;
    }

    /// Sends a signal to every process of the job.
    pub(crate) fn signal_tree(&self, signal: Signal) {
        if let Some(tree) = &self.tree {
            tree.signal(signal);
        }
    }

    /// Kills every process of the job.
    pub(crate) fn kill(&self) {
        if let Some(tree) = &self.tree {
            tree.kill();
        }
    }

    /// Waits for the agent's own child, which has been killed.
    pub(crate) fn wait_for_child(&mut self) {
        if self.pidfd.take().is_some() {
            // Only fails when it has been waited for already.
            let _ = reap(Some(self.child), true);
        }
    }

    /// Whether nothing of it runs, or nothing more can be done about it.
    pub(crate) fn is_dead(&self) -> bool {
        self.tree.is_none() || self.killing == Killing::GivenUp
    }

    /// Whether no output waits for its turn to be sent.
    pub(crate) fn is_said(&self) -> bool {
        !self.output.is_ready() && !self.error.as_ref().is_some_and(Output::is_ready)
    }

    /// Fixes what of the outputs still goes to the host; a job being killed waits for its tree, whose last words count.
    pub(crate) fn settle(&mut self) {
        let waits = self.killing != Killing::No && !self.is_dead();
        if self.settled || waits || self.phase != Phase::Ended {
            return;
        }
        self.settled = true;
        self.detached = self.detached.max(self.process_count());
        self.output.settle();
        if let Some(error) = &mut self.error {
            error.settle();
        }
    }

    /// How it ended, once: when all the host will get of its outputs was handed over.
    pub(crate) fn take_exit(&mut self) -> Option<ExecExit> {
        let told = self.output.is_ended() && self.error.as_ref().is_none_or(Output::is_ended);
        if self.phase != Phase::Ended || !self.settled || !told {
            return None;
        }
        self.phase = Phase::Over;
        let (reaped, duration) = self.end?;
        Some(ExecExit {
            ending: match (reaped.signal, reaped.code) {
                (Some(signal), _) => Ending::Signal(signal),
                (None, code) => Ending::Code(code.unwrap_or(-1)),
            },
            timed_out: self.timed_out,
            detached: self.detached,
            duration_us: u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
            max_rss_kib: reaped.max_rss_kib,
            cpu_us: reaped.cpu_us,
        })
    }

    /// The host went away, and another may come for this job: what it prints and how it ends waits for that.
    pub(crate) const fn park(&mut self) {
        let Some(request) = self.request.take() else { return };
        self.parked = Some(request);
        self.output.park();
        if let Some(error) = &mut self.error {
            error.park();
        }
    }

    /// Whether a host may ask for it with these streams.
    pub(crate) fn has_streams(&self, stdio: &Stdio) -> bool {
        self.error.is_some() == stdio.stderr_stream.is_some() && (self.input.is_some() || !stdio.stdin)
    }

    /// Belongs to another host now; the credit that its input grants that.
    pub(crate) fn go_on(&mut self, request: RequestId, stdio: &Stdio, channel: &mut Channel) -> Option<u32> {
        self.parked = None;
        self.request = Some(request);
        self.output.go_on(stdio.stream, channel);
        if let (Some(error), Some(stream)) = (&mut self.error, stdio.stderr_stream) {
            error.go_on(stream, channel);
        }
        let input = self.input.as_mut()?;
        if !stdio.stdin && self.terminal.is_none() {
            input.end();
        }
        let credit = input.go_on(stdio.stream);
        stdio.stdin.then_some(credit)
    }

    /// The command's process id, once it has run.
    pub(crate) const fn main(&self) -> Option<Pid> {
        self.main
    }

    /// The host went away: nobody hears of this job any more, and it runs on.
    pub(crate) fn orphan(&mut self) {
        (self.request, self.parked) = (None, None);
        self.abandon_outputs();
        if let Some(input) = &mut self.input
            && self.terminal.is_none()
        {
            input.end();
        }
    }

    /// Nothing it writes goes to the host from here on.
    pub(crate) const fn abandon_outputs(&mut self) {
        self.output.abandon();
        if let Some(error) = &mut self.error {
            error.abandon();
        }
    }

    /// Whether the agent can forget it.
    pub(crate) fn is_gone(&self) -> bool {
        self.phase == Phase::Over
            && self.pidfd.is_none()
            && self.tree.is_none()
            && self.output.is_closed()
            && self.error.as_ref().is_none_or(Output::is_closed)
    }

    /// Whether the agent's own child has been waited for.
    pub(crate) const fn is_reaped(&self) -> bool {
        self.pidfd.is_none()
    }
}
