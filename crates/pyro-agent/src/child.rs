//! What happens between fork and exec, or between fork and a tool's own work, in the child. Everything it needs was
//! prepared by the parent; a failure is told through the status pipe, which exec closes, and a tool before it begins. This
//! file must not be entered by the agent itself.

use crate::command::Command;
use crate::place::Kind;
use crate::stdio::CommandEnds;
use crate::sys::process;
use crate::sys::signal;
use crate::tools;
use crate::users::User;
use pyro_proto::tool::Tool;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::Gid;
use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::process::Signal;
use rustix::process::Uid;
use std::ffi::CStr;
use std::os::fd::AsRawFd as _;
use std::os::fd::OwnedFd;

/// What shells say when a command could not be started; nobody sees it but a debugger.
const EXIT_NOT_STARTED: i32 = 127;

/// Bytes of a failure record: a stage and an error number.
pub(crate) const FAILURE_BYTES: usize = 5;

/// Where a start failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Setup = 1,
    User = 2,
    Cwd = 3,
    Exec = 4,
}

/// A failed start as the parent reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) stage: Stage,
    pub(crate) errno: Errno,
}

impl Failure {
    fn encode(self) -> [u8; FAILURE_BYTES] {
        let [a, b, c, d] = self.errno.raw_os_error().to_le_bytes();
        [self.stage as u8, a, b, c, d]
    }

    /// Reads a record back.
    pub(crate) fn decode(record: [u8; FAILURE_BYTES]) -> Self {
        let [stage, a, b, c, d] = record;
        let stage = match stage {
            2 => Stage::User,
            3 => Stage::Cwd,
            4 => Stage::Exec,
            _ => Stage::Setup,
        };
        Self { stage, errno: Errno::from_raw_os_error(i32::from_le_bytes([a, b, c, d])) }
    }
}

/// What the child is there for.
#[derive(Clone, Copy)]
pub(crate) enum Work<'a> {
    /// To become a program.
    Program(&'a Command),
    /// To do something itself, as whoever the agent is, on this kind of system.
    Tool(&'a Tool, Kind),
}

/// What the child needs from its parent.
pub(crate) struct Child<'a> {
    pub(crate) work: Work<'a>,
    pub(crate) ends: &'a CommandEnds,
    pub(crate) status: &'a OwnedFd,
    pub(crate) file_limit: Rlimit,
    /// Die with the parent.
    pub(crate) die_with_parent: bool,
}

impl Child<'_> {
    /// Becomes the command or does the tool's work, or tells why not and ends.
    pub(crate) fn run(&self) -> ! {
        let failure = match self.work {
            Work::Program(command) => match self.prepare(command) {
                Ok(()) => Failure { stage: Stage::Exec, errno: launch(command) },
                Err(failure) => failure,
            },
            Work::Tool(tool, kind) => match self.prepare_tool() {
                Ok(()) => process::end_process(tools::run(tool, kind)),
                Err(errno) => Failure { stage: Stage::Setup, errno },
            },
        };
        // The parent reads end-of-file where this fails, and then finds the child dead.
        let _ = rustix::io::write(self.status, &failure.encode());
        process::end_process(EXIT_NOT_STARTED)
    }

    fn prepare(&self, command: &Command) -> Result<(), Failure> {
        let fail = |stage| move |errno| Failure { stage, errno };
        self.isolate().map_err(fail(Stage::Setup))?;
        self.connect_streams().map_err(fail(Stage::Setup))?;
        process::close_all_but(&[self.status.as_raw_fd()]);
        signal::reset_all();
        rustix::process::umask(Mode::WGRP | Mode::WOTH);
        rustix::process::setrlimit(Resource::Nofile, self.file_limit).map_err(fail(Stage::Setup))?;
        if let Some(user) = &command.switch_to {
            switch_user(user).map_err(fail(Stage::User))?;
        }
        enter_first(&command.cwd).map_err(fail(Stage::Cwd))
    }

    /// A tool is this very process: it keeps its streams and nothing else of the agent's, and with the status pipe goes the
    /// word that it has begun.
    fn prepare_tool(&self) -> Result<(), Errno> {
        let null = rustix::fs::open("/dev/null", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        self.isolate()?;
        self.connect_streams()?;
        // Its output is records and nothing else.
        rustix::stdio::dup2_stderr(&null)?;
        drop(null);
        signal::reset_all();
        // Modes are those of the entries, whatever the agent was started with.
        rustix::process::umask(Mode::empty());
        // Trees are walked with one descriptor for each folder on the way down.
        let limit = Rlimit { current: self.file_limit.maximum, ..self.file_limit };
        rustix::process::setrlimit(Resource::Nofile, limit)?;
        process::close_all_but(&[]);
        Ok(())
    }

    /// A session or group of its own, its own control group, and no share in the agent's privileges.
    fn isolate(&self) -> Result<(), Errno> {
        if self.ends.terminal {
            rustix::process::setsid()?;
        } else {
            rustix::process::setpgid(None, None)?;
        }
        if self.die_with_parent {
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        }
        Ok(())
    }

    fn connect_streams(&self) -> Result<(), Errno> {
        rustix::stdio::dup2_stdin(&self.ends.stdin)?;
        rustix::stdio::dup2_stdout(&self.ends.stdout)?;
        rustix::stdio::dup2_stderr(self.ends.stderr.as_ref().unwrap_or(&self.ends.stdout))?;
        if self.ends.terminal {
            rustix::process::ioctl_tiocsctty(&self.ends.stdout)?;
        }
        Ok(())
    }
}

fn switch_user(user: &User) -> Result<(), Errno> {
    let groups: Vec<Gid> = user.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    if rustix::process::geteuid().is_root() {
        rustix::thread::set_thread_groups(&groups)?;
    }
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)
}

fn enter_first(folders: &[std::ffi::CString]) -> Result<(), Errno> {
    let mut outcome = Ok(());
    for folder in folders {
        outcome = rustix::process::chdir(folder.as_c_str());
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

/// Tries each candidate as execvp does; returns why none of them could be run.
fn launch(command: &Command) -> Errno {
    let argv: Vec<&CStr> = command.argv.iter().map(std::ffi::CString::as_c_str).collect();
    let envp: Vec<&CStr> = command.envp.iter().map(std::ffi::CString::as_c_str).collect();
    let mut outcome = Errno::NOENT;
    for program in &command.programs {
        match process::exec(program, &argv, &envp) {
            Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG => {}
            Errno::ACCESS => outcome = Errno::ACCESS,
            Errno::NOEXEC => return launch_script(program, &argv, &envp),
            other => return other,
        }
    }
    outcome
}

/// A file without a header the kernel knows is a shell script, as everywhere since V7.
fn launch_script(program: &CStr, argv: &[&CStr], envp: &[&CStr]) -> Errno {
    let rest = argv.iter().skip(1).copied();
    let argv: Vec<&CStr> = [c"/bin/sh", program].into_iter().chain(rest).collect();
    match process::exec(c"/bin/sh", &argv, envp) {
        Errno::NOENT => Errno::NOEXEC,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_survive_the_pipe() {
        for stage in [Stage::Setup, Stage::User, Stage::Cwd, Stage::Exec] {
            let failure = Failure { stage, errno: Errno::NOENT };
            assert_eq!(Failure::decode(failure.encode()), failure);
        }
    }
}
