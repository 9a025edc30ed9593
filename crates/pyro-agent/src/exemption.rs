//! The agent's exemption from the out-of-memory killer, which its commands must not inherit. This file must not fork.

use rustix::fs::Mode;
use rustix::fs::OFlags;
use std::os::fd::OwnedFd;

const EXEMPT: &[u8] = b"-1000";
const ORDINARY: &[u8] = b"0";

/// The agent's own score, held open: finding the file costs more than writing it, and does so for each command.
#[derive(Debug)]
pub(crate) struct Exemption(Option<OwnedFd>);

impl Exemption {
    /// None: whoever started the agent decided.
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    /// Exempts this process. Kernels without the out-of-memory killer have nothing to be exempt from.
    pub(crate) fn claim() -> Self {
        let file =
            rustix::fs::open("/proc/self/oom_score_adj", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
        let exemption = Self(file.ok());
        exemption.write(EXEMPT);
        exemption
    }

    /// Does `work` without it; what is born meanwhile has none.
    pub(crate) fn without<T>(&self, work: impl FnOnce() -> T) -> T {
        self.write(ORDINARY);
        let outcome = work();
        self.write(EXEMPT);
        outcome
    }

    fn write(&self, score: &[u8]) {
        if let Some(file) = &self.0 {
            // An agent without the privilege is as killable as its commands, and PID 1 starts another one.
            let _ = rustix::io::pwrite(file, score, 0);
        }
    }
}
