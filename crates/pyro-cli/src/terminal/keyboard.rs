//! What is typed at standard input, as it is typed, until the detach keys end it. The descriptor is left as it is: others
//! that have it open do not find it non-blocking. This file must not change the terminal.

use super::DetachKeys;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::event::poll;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use tokio::io::AsyncRead;
use tokio::io::Interest;
use tokio::io::ReadBuf;
use tokio::io::unix::AsyncFd;

/// Bytes read at once.
const TYPED_BYTES: usize = 4096;

/// The keys of the terminal at standard input. Ends when the detach keys were typed; a terminal that is gone is an error.
pub(super) struct Keyboard {
    fd: AsyncFd<OwnedFd>,
    keys: DetachKeys,
    passed: Vec<u8>,
    left: bool,
}

impl Keyboard {
    /// Must be called within the runtime.
    pub(super) fn new(keys: DetachKeys) -> io::Result<Self> {
        let fd = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
        Ok(Self { fd: watched(fd)?, keys, passed: Vec::new(), left: false })
    }

    /// Hands over what has passed; whether there was anything to say.
    fn give(&mut self, to: &mut ReadBuf<'_>) -> bool {
        let count = self.passed.len().min(to.remaining());
        to.put_slice(&self.passed[..count]);
        self.passed.drain(..count);
        count > 0 || self.left
    }

    /// Reads what was typed. It is there already, so this does not wait.
    fn read(&mut self) -> io::Result<()> {
        let mut typed = [0; TYPED_BYTES];
        let count = rustix::io::read(self.fd.get_ref(), &mut typed)?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the terminal is gone"));
        }
        self.left = self.keys.pass(&typed[..count], &mut self.passed);
        Ok(())
    }
}

impl AsyncRead for Keyboard {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while !this.give(to) {
            let mut ready = ready!(this.fd.poll_read_ready(context))?;
            if is_readable(ready.get_inner())? {
                drop(ready);
                this.read()?;
            } else {
                ready.clear_ready();
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// A descriptor whose readiness the event loop tells.
#[expect(unsafe_code, reason = "tokio cannot see that an OwnedFd stays what it is")]
fn watched(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned, and moves into what watches it: it stays open for as long as that lives. An OwnedFd never
    // names another descriptor, and nobody takes it out or replaces it: only shared references to it are given out.
    Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)
}

/// Whether a read returns at once.
fn is_readable(fd: &OwnedFd) -> io::Result<bool> {
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    Ok(poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? > 0)
}
