//! Something that has happened or has not, as a descriptor: Python waits for it with a loop of its own, or here, without the
//! interpreter. This file must not know what is waited for.

use pyo3::Python;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use rustix::event::EventfdFlags;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::eventfd;
use rustix::event::poll;
use rustix::io::Errno;
use std::os::fd::AsRawFd as _;
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;

/// Readable from [`Self::set`] to [`Self::clear`].
#[derive(Debug)]
pub(crate) struct Event {
    fd: OwnedFd,
}

impl Event {
    /// One that has not happened.
    pub(crate) fn new() -> PyResult<Self> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(os_error)?;
        Ok(Self { fd })
    }

    pub(crate) fn fileno(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// It has happened. Setting it again makes no difference: the counter is far from its end.
    pub(crate) fn set(&self) {
        let _ = rustix::io::write(&self.fd, &1u64.to_ne_bytes());
    }

    /// It has not happened, after all.
    pub(crate) fn clear(&self) {
        let _ = rustix::io::read(&self.fd, &mut [0u8; 8]);
    }

    /// Waits for it while other threads have the interpreter. A signal's Python handler is run at once; what it raises, such
    /// as `KeyboardInterrupt`, ends the wait.
    pub(crate) fn wait(&self, py: Python<'_>) -> PyResult<()> {
        loop {
            match py.detach(|| poll(&mut [PollFd::new(&self.fd, PollFlags::IN)], None)) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => py.check_signals()?,
                Err(error) => return Err(os_error(error)),
            }
        }
    }
}

fn os_error(error: Errno) -> PyErr {
    PyOSError::new_err((error.raw_os_error(), error.to_string()))
}
