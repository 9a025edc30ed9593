//! A job's own reaper, for places without control groups: a small process between the agent and the command that every
//! descendant stays below, however often it forks and whatever session it opens. It runs in a child of the agent.
//! This file must not be entered by the agent itself.
//!
//! It is told to kill everything below it by TERM, which the kernel also sends when the agent dies.

use crate::child::Child;
use crate::descendants;
use crate::sys::process::Forked;
use crate::sys::process::Reaped;
use crate::sys::process::close_all_but;
use crate::sys::process::end_process;
use crate::sys::process::fork_process;
use crate::sys::process::reap;
use crate::sys::signal::Blocked;
use rustix::process::Pid;
use rustix::process::Signal;
use std::os::fd::AsRawFd as _;
use std::os::fd::OwnedFd;

/// Bytes of the record with the command's process id.
pub(crate) const PID_BYTES: usize = 4;

/// Bytes of the record of how it ended.
pub(crate) const END_BYTES: usize = 24;

/// Runs the command below this process until nothing is left of it.
pub(crate) fn run(child: &Child<'_>, report: &OwnedFd, agent: Pid) -> ! {
    let signals = Blocked::new(&[Signal::CHILD, Signal::TERM]);
    let own = rustix::process::getpid();
    let armed = rustix::process::set_child_subreaper(Some(own))
        .and_then(|()| rustix::process::set_parent_process_death_signal(Some(Signal::TERM)));
    if armed.is_err() || rustix::process::getppid() != Some(agent) {
        end_process(1);
    }
    // A group of its own: signals of the terminal that the agent was started from are not for it.
    let _ = rustix::process::setpgid(None, None);
    match fork_process() {
        Ok(Forked::Child) => child.run(),
        Ok(Forked::Parent(main)) => {
            let _ = rustix::io::write(report, &main.as_raw_nonzero().get().to_le_bytes());
            close_all_but(&[report.as_raw_fd()]);
            supervise(main, report, &signals)
        }
        Err(_) => end_process(1),
    }
}

fn supervise(main: Pid, report: &OwnedFd, signals: &Blocked) -> ! {
    let mut killing = false;
    loop {
        loop {
            match reap(None, false) {
                Ok(Some((pid, end))) if pid == main => {
                    let _ = rustix::io::write(report, &encode(end));
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => end_process(0),
            }
        }
        killing |= signals.wait() == Some(Signal::TERM);
        if killing {
            // Whatever is born between the scan and the kill becomes this process's child when its parent dies, and that
            // death wakes the loop again.
            for pid in descendants::of(rustix::process::getpid()) {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
        }
    }
}

fn encode(end: Reaped) -> [u8; END_BYTES] {
    let mut record = [0; END_BYTES];
    record[..4].copy_from_slice(&end.code.unwrap_or(-1).to_le_bytes());
    record[4..8].copy_from_slice(&end.signal.unwrap_or(0).to_le_bytes());
    record[8..16].copy_from_slice(&end.max_rss_kib.to_le_bytes());
    record[16..].copy_from_slice(&end.cpu_us.to_le_bytes());
    record
}

/// Reads the record of how the command ended.
pub(crate) fn decode(record: &[u8; END_BYTES]) -> Reaped {
    let word = |at: usize| {
        record.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, i32::from_le_bytes)
    };
    let long = |at: usize| {
        record.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
    };
    let (code, signal) = (word(0), word(4));
    Reaped {
        code: (signal == 0).then_some(code),
        signal: (signal != 0).then_some(signal),
        max_rss_kib: long(8),
        cpu_us: long(16),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_survive_the_pipe() {
        for (code, signal) in [(Some(3), None), (None, Some(9)), (Some(0), None)] {
            let end = Reaped { code, signal, max_rss_kib: 1 << 40, cpu_us: 7 };
            assert_eq!(decode(&encode(end)), end);
        }
    }
}
