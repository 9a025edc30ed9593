//! Descriptors in the runtime's event loop. This file must not wait or read.
#![expect(unsafe_code, reason = "the runtime takes descriptors only on the promise that they stay the same")]

use rustix::process::Pid;
use rustix::process::PidfdFlags;
use std::io;
use std::os::fd::OwnedFd;
use std::process::Child;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A descriptor that is readable once `child` has ended.
pub(super) fn watch_end(child: &Child) -> io::Result<AsyncFd<OwnedFd>> {
    register(rustix::process::pidfd_open(Pid::from_child(child), PidfdFlags::NONBLOCK)?)
}

fn register(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` gives the same descriptor for as long as it lives, and it is moved in here for good.
    Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)
}
