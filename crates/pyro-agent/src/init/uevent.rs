//! Waiting for devices by the kernel's own announcements. This file must not name any device.

use super::InitError;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::io::Errno;
use rustix::net::AddressFamily;
use rustix::net::RecvFlags;
use rustix::net::SocketFlags;
use rustix::net::SocketType;
use rustix::net::netlink;
use std::os::fd::OwnedFd;
use std::time::Duration;
use std::time::Instant;

/// Longest wait for one device; a host that is busy with many guests may be slow, but not this slow.
const DEVICE_WAIT: Duration = Duration::from_secs(30);

/// The kernel's own events, as opposed to those udev passes on.
const KERNEL_GROUP: u32 = 1;

/// The kernel's announcements from the moment this was made.
pub(super) struct Events(OwnedFd);

impl Events {
    /// Starts to listen. What is asked for afterwards either exists already or will be announced.
    pub(super) fn listen() -> Result<Self, InitError> {
        let failed = |errno: Errno| InitError::Events(errno.into());
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let protocol = Some(netlink::KOBJECT_UEVENT);
        let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)
            .map_err(failed)?;
        rustix::net::bind(&socket, &netlink::SocketAddrNetlink::new(0, KERNEL_GROUP)).map_err(failed)?;
        Ok(Self(socket))
    }

    /// Waits until `find` finds the device.
    pub(super) fn wait_for<T>(
        &self,
        device: &str,
        mut find: impl FnMut() -> Option<T>,
    ) -> Result<T, InitError> {
        let until = Instant::now() + DEVICE_WAIT;
        loop {
            if let Some(found) = find() {
                return Ok(found);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(InitError::NoDevice { device: device.to_owned() });
            }
            self.wait(left)?;
        }
    }

    /// Waits for an announcement and takes all there are: what they say can be seen in the file system better.
    fn wait(&self, limit: Duration) -> Result<(), InitError> {
        let limit = Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(limit.subsec_nanos()),
        };
        match rustix::event::poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&limit)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(InitError::Events(errno.into())),
        }
        let mut buffer = [0u8; 8192];
        loop {
            match rustix::net::recv(&self.0, &mut buffer[..], RecvFlags::DONTWAIT) {
                // A full queue lost announcements; the file system still tells.
                Ok(_) | Err(Errno::NOBUFS | Errno::INTR) => {}
                Err(_) => return Ok(()),
            }
        }
    }
}
