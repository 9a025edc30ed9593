//! Every process of a job, whatever it forked: a control group, or the descendants of a monitor. This file must not decide
//! when to kill.

use crate::descendants;
use crate::groups::Group;
use rustix::process::Pid;
use rustix::process::Signal;

/// The processes of a job.
#[derive(Debug)]
pub(crate) enum Tree {
    /// They are in a control group.
    Group(Group),
    /// They are below a monitor, which is the agent's child.
    Monitor(Pid),
}

impl Tree {
    /// The processes there are now.
    pub(crate) fn processes(&self) -> Vec<Pid> {
        match self {
            Self::Group(group) => group.processes(),
            Self::Monitor(monitor) => descendants::of(*monitor),
        }
    }

    /// Sends a signal to all of them. One that ends meanwhile is not missed.
    pub(crate) fn signal(&self, signal: Signal) {
        for pid in self.processes() {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// Kills all of them, those being born too. A monitor must not have been reaped yet.
    pub(crate) fn kill(&self) {
        match self {
            Self::Group(group) => {
                if group.kill().is_err() {
                    self.signal(Signal::KILL);
                }
            }
            Self::Monitor(monitor) => {
                let _ = rustix::process::kill_process(*monitor, Signal::TERM);
            }
        }
    }
}
