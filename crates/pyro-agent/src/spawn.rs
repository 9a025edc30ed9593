//! Starting a command or a tool: everything is made before the fork, and what cannot be made is refused. This file must
//! not follow it afterwards.

use crate::child::Child;
use crate::child::Failure;
use crate::child::Stage;
use crate::child::Work;
use crate::exemption::Exemption;
use crate::groups::Groups;
use crate::monitor;
use crate::names::Names;
use crate::refusal::refuse_errno;
use crate::stdio;
use crate::stdio::AgentEnds;
use crate::stdio::set_nonblocking;
use crate::sys::clone::Cloned;
use crate::sys::clone::fork_into;
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
use std::time::Instant;

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
    /// Just before the fork: on one processor the command may have ended before the agent goes on.
    pub(crate) forked_at: Instant,
}

/// What commands inherit.
#[derive(Debug)]
pub(crate) struct Inheritance {
    pub(crate) file_limit: Rlimit,
    pub(crate) exemption: Exemption,
}

/// Forks and lets the child do its work.
pub(crate) fn spawn(
    name: &str,
    work: Work<'_>,
    stdio: &Stdio,
    inheritance: &Inheritance,
    groups: Option<&mut Groups>,
) -> Result<Spawned, WireError> {
    let system = |errno: Errno| refuse_errno(ErrorCode::System, &format!("starting {name}"), errno);
    let (ends, agent_ends) = stdio::open(stdio).map_err(system)?;
    if let Work::Program(command) = work
        && let Some(user) = &command.switch_to
    {
        ends.give_to(user.uid, user.gid);
    }
    let (status, child_status) = pipe().map_err(system)?;
    let mut child = Child {
        work,
        ends: &ends,
        status: &child_status,
        file_limit: inheritance.file_limit,
        die_with_parent: false,
    };
    let forked_at = Instant::now();
    let (pid, pidfd, tree, report) = match groups {
        Some(groups) => {
            let group = groups.take().map_err(system)?;
            // The child leaves from inside, before the exemption is claimed back.
            let cloned = inheritance.exemption.without(|| match fork_into(group.folder.as_fd()) {
                Ok(Cloned::Child) => child.run(),
                Ok(Cloned::Parent(pid, pidfd)) => Ok((pid, pidfd)),
                Err(error) => Err(error),
            });
            match cloned {
                Ok((pid, pidfd)) => (pid, pidfd, Tree::Group(group), None),
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
            let pid = match fork_process().map_err(|error| system(errno_of(&error)))? {
                Forked::Child => monitor::run(&child, &monitor_report, agent),
                Forked::Parent(pid) => pid,
            };
            (pid, watch(pid).map_err(system)?, Tree::Monitor(pid), Some(report))
        }
    };
    Ok(Spawned { child: pid, pidfd, tree, status, report, ends: agent_ends, forked_at })
}

/// A descriptor of the agent's own child, which is not worth having without one.
fn watch(pid: Pid) -> Result<OwnedFd, Errno> {
    rustix::process::pidfd_open(pid, PidfdFlags::empty()).inspect_err(|_| {
        // Not yet waited for, so the number is still its own.
        let _ = rustix::process::kill_process(pid, Signal::KILL);
        let _ = reap(Some(pid), true);
    })
}

/// What to tell the host about a start that failed.
pub(crate) fn explain(failure: Failure, names: &Names) -> WireError {
    let errno = failure.errno;
    let Names { program, cwd, user } = names;
    match failure.stage {
        Stage::Setup => refuse_errno(ErrorCode::System, &format!("starting {program}"), errno),
        Stage::User => refuse_errno(ErrorCode::BadUser, &format!("changing to the user {user}"), errno),
        Stage::Cwd => {
            refuse_errno(ErrorCode::BadCwd, &format!("entering the working directory {cwd}"), errno)
        }
        Stage::Exec => {
            let code = match errno {
                Errno::NOENT | Errno::NOTDIR => ErrorCode::NotFound,
                Errno::ACCESS | Errno::PERM | Errno::NOEXEC | Errno::ISDIR | Errno::LOOP => {
                    ErrorCode::NotExecutable
                }
                _ => ErrorCode::System,
            };
            refuse_errno(code, program, errno)
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
