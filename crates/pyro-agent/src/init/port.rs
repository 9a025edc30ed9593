//! The guest's end of the host channel under QEMU: a virtio-serial port, found by the name the host gave it. This file
//! must not speak the protocol.

use super::InitError;
use super::uevent::Events;
use crate::users::read_bounded;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::path::PathBuf;

/// The port's name.
const NAME: &[u8] = b"pyro.agent";

/// Waits for the port; returns its device.
pub(super) fn find(events: &Events) -> Result<PathBuf, InitError> {
    events.wait_for("the port pyro.agent", || {
        let ports = fs::read_dir("/sys/class/virtio-ports").ok()?;
        let named = |port: &fs::DirEntry| read_bounded(port.path().join("name")).trim_ascii() == NAME;
        let device = Path::new("/dev").join(ports.flatten().find(named)?.file_name());
        device.exists().then_some(device)
    })
}

/// Opens the port; one process at a time can.
pub(super) fn open(device: &Path) -> Result<OwnedFd, InitError> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open(device, flags, Mode::empty())
        .map_err(|errno| InitError::Prepare { path: device.to_owned(), source: errno.into() })
}
