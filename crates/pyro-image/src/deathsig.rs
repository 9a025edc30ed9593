//! Ties a child's life to its parent's, and lends it locks. The only `unsafe` of this crate, because `pre_exec` is.
#![expect(unsafe_code, reason = "pre_exec is the only way to run code between fork and exec")]

use rustix::io::FdFlags;
use rustix::process::Pid;
use rustix::process::Signal;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Where lent locks are numbered from. Programs take the lowest free numbers for themselves, and some hand them to a shell that
/// knows one-digit ones only.
const LENT_FD_MIN: RawFd = 100;

/// Makes a program die with the thread that spawns it; not what it starts itself.
///
/// # Errors
/// None yet: it can fail for a program that inherits something.
pub fn die_with_thread(command: &mut Command) -> io::Result<()> {
    bind(command, &[])
}

/// Makes `command` die with the thread that spawns it, and inherit `lent`: a lock is then held until the last heir, and the
/// command's variable, are gone.
pub(crate) fn bind(command: &mut Command, lent: &[BorrowedFd<'_>]) -> io::Result<()> {
    let parent = rustix::process::getpid();
    let mut heirlooms = Vec::new();
    for fd in lent {
        heirlooms.push(rustix::io::fcntl_dupfd_cloexec(fd, LENT_FD_MIN)?);
    }
    // SAFETY: between fork and exec only async-signal-safe work is allowed. `before_exec` makes a few system calls through
    // wrappers that neither allocate nor lock, and reads a vector that was allocated before the fork.
    unsafe {
        command.pre_exec(move || before_exec(parent, &heirlooms));
    }
    Ok(())
}

fn before_exec(parent: Pid, heirlooms: &[OwnedFd]) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    if rustix::process::getppid() != Some(parent) {
        // The parent died before the signal was armed; nobody is left to work for.
        return Err(io::Error::from_raw_os_error(rustix::io::Errno::SRCH.raw_os_error()));
    }
    for fd in heirlooms {
        rustix::io::fcntl_setfd(fd, FdFlags::empty())?;
    }
    Ok(())
}
