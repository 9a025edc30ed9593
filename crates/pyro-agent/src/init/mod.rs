//! PID 1: makes a running system out of a kernel and two disks, starts the agent as its child, and reaps whatever the
//! guest's processes leave behind. This file must not serve the host.
//!
//! ```text
//!   mount /proc, /sys, /dev -> load modules -> base + rw = overlay -> switch root -> fork --+--> agent
//!                                                                                          +--> reaper (PID 1)
//! ```
//!
//! The agent is a child so that the two waits do not steal from each other: PID 1 waits for anything, the agent only for
//! children of its own.

mod cmdline;
mod modules;
mod mounts;
mod port;
mod reaper;
mod root;
mod uevent;

use crate::sys::ioctl;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::system::RebootCommand;
use std::io;
use std::path::PathBuf;

/// Open files the agent may have; a command's own limit is lower.
const AGENT_FILES: u64 = 524_288;

/// The host name until an identity brings one.
const HOSTNAME: &[u8] = b"pyro";

/// Which step of the start failed. Each of them ends the guest.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// A file system could not be mounted.
    #[error("mounting {target}")]
    Mount {
        /// Where.
        target: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file or folder could not be made, read or removed.
    #[error("preparing {path}")]
    Prepare {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A kernel module could not be loaded.
    #[error("loading the module {name}")]
    Module {
        /// Which.
        name: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The kernel's device events could not be listened to.
    #[error("listening for devices")]
    Events(#[source] io::Error),
    /// A device did not appear.
    #[error("{device} did not appear")]
    NoDevice {
        /// Which.
        device: String,
    },
    /// A step that needs no path failed.
    #[error("{step}")]
    Step {
        /// Which.
        step: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Runs as PID 1 and never returns: a guest that cannot start is powered off, which its host notices.
pub fn run() -> ! {
    match start() {
        Ok(port) => reaper::supervise(&port),
        Err(error) => {
            log_error(&error);
            power_off()
        }
    }
}

/// Everything up to the agent; returns the device of the host channel.
fn start() -> Result<PathBuf, InitError> {
    mounts::first()?;
    let words = cmdline::read();
    modules::load_all()?;
    let events = uevent::Events::listen()?;
    root::enter(&words, &events)?;
    mounts::rest()?;
    settle_in()?;
    port::find(&events)
}

/// Where a guest's own disk is seen.
pub(crate) fn own_mounts() -> impl Iterator<Item = &'static str> {
    root::own_mounts()
}

/// Puts the guest's own disk over a root that was entered without one.
pub(crate) fn open_disk(device: &str) -> Result<(), InitError> {
    root::open_disk(&cmdline::read().base, device)
}

/// What belongs to a running system besides its files.
fn settle_in() -> Result<(), InitError> {
    let step = |step| move |errno: Errno| InitError::Step { step, source: errno.into() };
    rustix::system::sethostname(HOSTNAME).map_err(step("setting the host name"))?;
    let files = Rlimit { current: Some(AGENT_FILES), maximum: Some(AGENT_FILES) };
    rustix::process::setrlimit(Resource::Nofile, files).map_err(step("raising the limit of open files"))?;
    // A guest without a network stack has no loopback to bring up.
    if let Ok(socket) =
        rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None)
    {
        ioctl::loopback_up(&socket).map_err(step("bringing the loopback interface up"))?;
    }
    Ok(())
}

/// Ends the guest. A reset works for every machine this runs on: QEMU's `microvm` ignores an ACPI power-off under
/// emulation, and both engines treat a reset as the end.
fn power_off() -> ! {
    loop {
        let _ = rustix::system::reboot(RebootCommand::Restart);
        // Only without the privilege, which PID 1 has: then there is nothing left to do but wait for the host.
        let _ = crate::sys::process::reap(None, true);
    }
}

/// Writes an error and its causes to the console.
fn log_error(error: &dyn std::error::Error) {
    let mut text = format!("pyro: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    log(&text);
}

/// Writes a line to the console by way of the kernel's log, which exists before any file system does.
fn log(text: &str) {
    if let Ok(kmsg) = rustix::fs::open("/dev/kmsg", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
        // Severity 3, an error: a quiet kernel still prints it.
        let _ = rustix::io::write(&kmsg, format!("<3>{text}\n").as_bytes());
    }
}
