//! Starting a command: everything is made before the fork, and what cannot be made is refused. This file must not follow
//! the command afterwards.

use crate::child::Child;
use crate::child::Failure;
use crate::child::Stage;
use crate::command::Command;
use crate::groups::Groups;
use crate::monitor;
use crate::refusal::refuse_errno;
use crate::stdio;
use crate::stdio::AgentEnds;
use crate::stdio::set_nonblocking;
use crate::sys::process::Forked;
use crate::sys::process::fork_process;
use crate::sys::process::reap;
use crate::tree::Tree;
use pyro_proto::exec::Stdio;
use pyro_proto::message::ErrorCode;
use pyro_proto::message::WireError;
use rustix::io;
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::Pid;
use rustix::process::PidfdFlags;
use rustix::process::Rlimit;
use rustix::process::Signal;
use std::os::fd::AsFd as _;
use std::os::fd::OwnedFd;

/// A child that may or may not have become the command yet.
#[derive(Debug)]
pub(crate) struct Spawned {
    /// The agent's own child: the command, or its monitor.
    pub(crate) child: Pid,
    pub(crate) pidfd: OwnedFd,
    pub(crate) tree: Tree,
    pub(crate) status: OwnedFd,
    /// Where a monitor reports.
    pub(crate) report: Option<OwnedFd>,
    pub(crate) ends: AgentEnds,
}

/// What commands inherit.
#[derive(Clone, Debug)]
pub(crate) struct Inheritance {
    pub(crate) file_limit: Rlimit,
    pub(crate) restore_oom_score: bool,
}

/// Forks and lets the child become the command.
pub(crate) fn spawn(
    command: &Command,
    stdio: &Stdio,
    inheritance: &Inheritance,
    groups: Option<&mut Groups>,
) -> Result<Spawned, WireError> {
    let system = |errno: Errno| refuse_errno(ErrorCode::System, "starting the command", errno);
    let (ends, agent_ends) = stdio::open(stdio).map_err(system)?;
    if let Some(user) = &command.switch_to {
        ends.give_to(user.uid, user.gid);
    }
    let (status, child_status) = pipe().map_err(system)?;
    let mut child = Child {
        command,
        ends: &ends,
        status: &child_status,
        group: None,
        file_limit: inheritance.file_limit,
        restore_oom_score: inheritance.restore_oom_score,
        die_with_parent: false,
    };
    let (pid, tree, report) = match groups {
        Some(groups) => {
            let group = groups.take().map_err(system)?;
            child.group = Some(group.join.as_fd());
            match fork_process() {
                Ok(Forked::Child) => child.run(),
                Ok(Forked::Parent(pid)) => (pid, Tree::Group(group), None),
                Err(error) => {
                    groups.give_back(group);
                    return Err(system(errno_of(&error)));
                }
            }
        }
        None => {
            let (report, monitor_report) = pipe().map_err(system)?;
            child.die_with_parent = true;
            let agent = rustix::process::getpid();
            match fork_process().map_err(|error| system(errno_of(&error)))? {
                Forked::Child => monitor::run(&child, &monitor_report, agent),
                Forked::Parent(pid) => (pid, Tree::Monitor(pid), Some(report)),
            }
        }
    };
    let pidfd = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        Err(errno) => {
            // Not yet waited for, so the number is still its own.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
            let _ = reap(Some(pid), true);
            return Err(system(errno));
        }
    };
    Ok(Spawned { child: pid, pidfd, tree, status, report, ends: agent_ends })
}

/// What to tell the host about a start that failed.
pub(crate) fn explain(failure: Failure, command: &str) -> WireError {
    let errno = failure.errno;
    match failure.stage {
        Stage::Setup => refuse_errno(ErrorCode::System, &format!("starting {command}"), errno),
        Stage::User => refuse_errno(ErrorCode::BadUser, "changing to the user", errno),
        Stage::Cwd => refuse_errno(ErrorCode::BadCwd, "entering the working directory", errno),
        Stage::Exec => {
            let code = match errno {
                Errno::NOENT | Errno::NOTDIR => ErrorCode::NotFound,
                Errno::ACCESS | Errno::PERM | Errno::NOEXEC | Errno::ISDIR | Errno::LOOP => {
                    ErrorCode::NotExecutable
                }
                _ => ErrorCode::System,
            };
            refuse_errno(code, command, errno)
        }
    }
}

/// A pipe from a child, whose read end does not wait.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    set_nonblocking(&read)?;
    Ok((read, write))
}

fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::AGAIN)
}
