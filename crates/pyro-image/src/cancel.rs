//! A request to stop, as something `poll` can wait for. This file must not decide what stopping means.

use rustix::event::EventfdFlags;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::eventfd;
use std::io;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Stops a pull that runs in another thread. Clones share one request; it cannot be taken back.
#[derive(Clone, Debug)]
pub struct Cancel {
    event: Arc<OwnedFd>,
}

/// Asks to stop when it is dropped. That harms nobody when the work is done by then.
#[derive(Debug)]
pub struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Cancel {
    /// A request nobody has made yet.
    ///
    /// # Errors
    /// When the process may open no more files.
    pub fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { event: Arc::new(event) })
    }

    /// Asks to stop. Callable from any thread, any number of times.
    pub fn cancel(&self) {
        // The counter can only refuse when it is full, and then the request has been made already.
        let _ = rustix::io::write(&*self.event, &1_u64.to_ne_bytes());
    }

    /// Asks to stop when what it returns is dropped: whoever waits for the work may go away.
    #[must_use]
    pub fn on_drop(&self) -> CancelOnDrop {
        CancelOnDrop(self.clone())
    }

    /// Whether somebody asked.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        let mut fds = [PollFd::new(&*self.event, PollFlags::IN)];
        matches!(
            rustix::event::poll(&mut fds, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 })),
            Ok(1)
        )
    }

    /// Readable once somebody asked, and for ever after.
    pub(crate) fn event(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_seen_by_every_clone_and_stays() {
        let cancel = Cancel::new().unwrap();
        let other = cancel.clone();
        assert!(!other.is_cancelled());
        cancel.cancel();
        assert!(other.is_cancelled());
        assert!(other.is_cancelled());
    }

    #[test]
    fn whoever_goes_away_asks() {
        let cancel = Cancel::new().unwrap();
        let waiting = cancel.on_drop();
        assert!(!cancel.is_cancelled());
        drop(waiting);
        assert!(cancel.is_cancelled());
    }
}
