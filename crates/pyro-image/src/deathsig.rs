//! Ties a child's life to its parent's, and lends it locks. The only `unsafe` of this crate, because `pre_exec` is.
#![expect(unsafe_code, reason = "pre_exec is the only way to run code between fork and exec")]

use rustix::io::FdFlags;
use rustix::process::Pid;
use rustix::process::Signal;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::fd::RawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Makes `command` die with the thread that spawns it, and inherit `lent`: a lock is then held until the last heir is gone.
/// The caller keeps `lent` open until the command has been spawned.
pub(crate) fn bind(command: &mut Command, lent: &[BorrowedFd<'_>]) {
    use std::os::fd::AsRawFd;
    let parent = rustix::process::getpid();
    let lent: Vec<RawFd> = lent.iter().map(AsRawFd::as_raw_fd).collect();
    // SAFETY: between fork and exec only async-signal-safe work is allowed. `before_exec` makes three system calls through
    // wrappers that neither allocate nor lock, and reads a vector that was allocated before the fork.
    unsafe {
        command.pre_exec(move || before_exec(parent, &lent));
    }
}

fn before_exec(parent: Pid, lent: &[RawFd]) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    if rustix::process::getppid() != Some(parent) {
        // The parent died before the signal was armed; nobody is left to work for.
        return Err(io::Error::from_raw_os_error(rustix::io::Errno::SRCH.raw_os_error()));
    }
    for &fd in lent {
        // SAFETY: the caller of `bind` keeps these descriptors open until after the spawn, and a fork keeps their numbers.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        rustix::io::fcntl_setfd(fd, FdFlags::empty())?;
    }
    Ok(())
}
