//! How a pull says what it is doing. This file must not know what draws it.

use serde::Serialize;
use std::cell::RefCell;
use std::time::Duration;
use std::time::Instant;

/// What a pull is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Another process is building; this one waits for it.
    Waiting,
    /// Checking what is installed already.
    Verify,
    /// Fetching the archive's package lists.
    Lists,
    /// Fetching the kernel package.
    KernelDownload,
    /// Unpacking the kernel and its modules.
    Kernel,
    /// Fetching packages.
    Download,
    /// Unpacking and installing packages, or the root file system's archive.
    Install,
    /// Writing the disk image.
    Image,
    /// Computing digests and making everything durable.
    Seal,
}

impl Phase {
    /// A few words for people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Waiting => "waiting for another process that is building",
            Self::Verify => "verifying what is installed",
            Self::Lists => "fetching package lists",
            Self::KernelDownload => "fetching the kernel",
            Self::Kernel => "unpacking the kernel",
            Self::Download => "fetching packages",
            Self::Install => "installing packages",
            Self::Image => "writing the disk image",
            Self::Seal => "computing digests",
        }
    }
}

/// Who is told.
pub trait Progress {
    /// A phase begins; the one before it is over.
    fn phase(&self, phase: Phase);
    /// Bytes done in the current phase, and of how many where that is known.
    fn bytes(&self, done: u64, total: Option<u64>);
}

/// Nobody is told.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn phase(&self, _phase: Phase) {}
    fn bytes(&self, _done: u64, _total: Option<u64>) {}
}

/// How long one phase took.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PhaseTime {
    /// The phase.
    pub phase: Phase,
    /// Its duration in milliseconds.
    pub duration_ms: u64,
}

/// Passes phases on and measures them.
pub(crate) struct Timed<'a> {
    to: &'a dyn Progress,
    state: RefCell<State>,
}

struct State {
    current: Option<(Phase, Instant)>,
    done: Vec<PhaseTime>,
}

impl<'a> Timed<'a> {
    pub(crate) fn new(to: &'a dyn Progress) -> Self {
        Self { to, state: RefCell::new(State { current: None, done: Vec::new() }) }
    }

    /// A phase begins, unless it is the current one already.
    pub(crate) fn phase(&self, phase: Phase) {
        let mut state = self.state.borrow_mut();
        if state.current.is_some_and(|(current, _)| current == phase) {
            return;
        }
        state.close();
        state.current = Some((phase, Instant::now()));
        drop(state);
        self.to.phase(phase);
    }

    pub(crate) fn bytes(&self, done: u64, total: Option<u64>) {
        self.to.bytes(done, total);
    }

    /// All phases so far, in order, one entry for each time it was entered.
    pub(crate) fn finish(&self) -> Vec<PhaseTime> {
        let mut state = self.state.borrow_mut();
        state.close();
        std::mem::take(&mut state.done)
    }
}

impl State {
    fn close(&mut self) {
        if let Some((phase, since)) = self.current.take() {
            self.done.push(PhaseTime { phase, duration_ms: whole_ms(since.elapsed()) });
        }
    }
}

pub(crate) fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Seen(RefCell<Vec<Phase>>);
    impl Progress for Seen {
        fn phase(&self, phase: Phase) {
            self.0.borrow_mut().push(phase);
        }
        fn bytes(&self, _done: u64, _total: Option<u64>) {}
    }

    #[test]
    fn a_phase_told_twice_is_one_phase() {
        let seen = Seen::default();
        let timed = Timed::new(&seen);
        timed.phase(Phase::Download);
        timed.phase(Phase::Download);
        timed.phase(Phase::Install);
        assert_eq!(*seen.0.borrow(), [Phase::Download, Phase::Install]);
        let phases: Vec<Phase> = timed.finish().iter().map(|t| t.phase).collect();
        assert_eq!(phases, [Phase::Download, Phase::Install]);
    }
}
