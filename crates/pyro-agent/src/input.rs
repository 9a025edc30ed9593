//! The host's bytes on their way into a command: held only as far as credit was granted, granted back as the command
//! takes them. This file must not know what the command is.

use pyro_proto::ReceiveWindow;
use pyro_proto::StreamId;
use pyro_proto::credit::CreditError;
use rustix::io::Errno;
use std::os::fd::OwnedFd;

/// What a terminal's line discipline takes for end-of-file.
const END_OF_TRANSMISSION: u8 = 4;

/// A job's standard input.
#[derive(Debug)]
pub(crate) struct Input {
    fd: Option<OwnedFd>,
    stream: StreamId,
    window: ReceiveWindow,
    pending: Vec<u8>,
    taken: usize,
    ended: bool,
    terminal: bool,
    /// Whether the kernel was asked to tell of room.
    waits_for_room: bool,
}

impl Input {
    pub(crate) fn new(fd: OwnedFd, stream: StreamId, terminal: bool) -> Self {
        let window = ReceiveWindow::default();
        Self {
            fd: Some(fd),
            stream,
            window,
            pending: Vec::new(),
            taken: 0,
            ended: false,
            terminal,
            waits_for_room: false,
        }
    }

    /// The stream it travels on.
    pub(crate) const fn stream(&self) -> StreamId {
        self.stream
    }

    /// The write end, to be watched.
    pub(crate) const fn descriptor(&self) -> Option<&OwnedFd> {
        self.fd.as_ref()
    }

    /// Another host goes on with it, on a stream of its own; the credit to grant that for a start.
    pub(crate) fn go_on(&mut self, stream: StreamId) -> u32 {
        self.stream = stream;
        self.window = ReceiveWindow::default();
        let waiting = (self.pending.len() - self.taken).min(self.window.size() as usize);
        // What the host before had sent takes its room as if this one had.
        let _ = self.window.receive(waiting);
        self.window.size() - u32::try_from(waiting).unwrap_or(u32::MAX)
    }

    /// Takes bytes from the host.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Result<(), CreditError> {
        self.window.receive(bytes.len())?;
        if !self.ended {
            self.pending.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// The host will send no more.
    pub(crate) fn end(&mut self) {
        if !self.ended && self.terminal {
            self.pending.push(END_OF_TRANSMISSION);
        }
        self.ended = true;
    }

    /// Writes what the command takes; returns credit to grant back.
    pub(crate) fn pump(&mut self) -> Option<u32> {
        let mut consumed = 0;
        while self.taken < self.pending.len() {
            let Some(fd) = &self.fd else { break };
            match rustix::io::write(fd, &self.pending[self.taken..]) {
                Ok(count) => {
                    self.taken += count;
                    consumed += count;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => self.fd = None,
            }
        }
        if self.fd.is_none() {
            // Nobody reads: what the host still sends vanishes, as it does in a pipe whose reader is gone.
            consumed += self.pending.len() - self.taken;
            self.taken = self.pending.len();
        }
        self.compact();
        if self.ended && self.pending.is_empty() && !self.terminal {
            self.fd = None;
        }
        self.window.consume(consumed)
    }

    /// What the kernel is to be asked for after a pump: to tell of room in the write end, or not to any more.
    pub(crate) fn room_wanted(&mut self) -> Option<(&OwnedFd, bool)> {
        let wanted = self.taken < self.pending.len();
        let fd = self.fd.as_ref()?;
        let changed = std::mem::replace(&mut self.waits_for_room, wanted) != wanted;
        changed.then_some((fd, wanted))
    }

    /// Lets go of the command's input, whatever is still to be written.
    pub(crate) fn close(&mut self) {
        self.fd = None;
        self.ended = true;
    }

    fn compact(&mut self) {
        if self.taken == self.pending.len() {
            self.pending = Vec::new();
        } else if self.taken >= self.pending.len() / 2 {
            self.pending.drain(..self.taken);
        } else {
            return;
        }
        self.taken = 0;
    }
}
