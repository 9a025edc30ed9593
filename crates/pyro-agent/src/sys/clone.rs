//! Forking straight into a control group. This file must not decide policy.
//!
//! A process that is born in its group was never anywhere else, and the kernel need not move it, which costs more than
//! the fork itself.
#![expect(unsafe_code, reason = "clone3 has no safe wrapper")]

use rustix::io::Errno;
use rustix::process::Pid;
use std::ffi::c_long;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::fd::BorrowedFd;
use std::os::fd::FromRawFd as _;
use std::os::fd::OwnedFd;

/// The same number on every architecture.
const SYS_CLONE3: c_long = 435;

const CLONE_PIDFD: u64 = 0x1000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
const SIGCHLD: u64 = 17;

/// `struct clone_args` as of Linux 5.7.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
}

/// Which side of a fork this is.
pub(crate) enum Cloned {
    /// The child's number, and a descriptor of it.
    Parent(Pid, OwnedFd),
    Child,
}

/// Forks this process into the control group whose folder is open as `group`.
pub(crate) fn fork_into(group: BorrowedFd<'_>) -> io::Result<Cloned> {
    let mut pidfd: i32 = -1;
    let args = CloneArgs {
        flags: CLONE_PIDFD | CLONE_INTO_CGROUP,
        pidfd: (&raw mut pidfd).expose_provenance() as u64,
        exit_signal: SIGCHLD,
        cgroup: u64::try_from(group.as_raw_fd()).map_err(|_| Errno::BADF)?,
        ..CloneArgs::default()
    };
    // SAFETY: the arguments are live and of the size given, `pidfd` is where the kernel may write one number. The child
    // goes on with a copy of this process, which has one thread, so no lock it finds is held by a thread it lacks.
    let pid = unsafe { syscall(SYS_CLONE3, &raw const args, size_of::<CloneArgs>()) };
    match i32::try_from(pid).unwrap_or(-1) {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Cloned::Child),
        raw => {
            // SAFETY: the kernel has just made this descriptor for us.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Pid::from_raw(raw).map(|pid| Cloned::Parent(pid, pidfd)).ok_or_else(|| Errno::INVAL.into())
        }
    }
}
