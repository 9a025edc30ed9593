//! One output of a job on its way to the host: read only with credit in hand, forwarded up to a point, then discarded.
//! This file must not know why a job ended.

use crate::channel::Channel;
use pyro_proto::SendWindow;
use pyro_proto::StreamId;
use pyro_proto::credit::CreditError;
use pyro_proto::limits::DATA_CHUNK_BYTES;
use rustix::io::Errno;
use std::os::fd::OwnedFd;

/// Most bytes still taken from a terminal whose main process has ended.
const TERMINAL_TAIL_BYTES_MAX: u64 = 1024 * 1024;

/// What a turn did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// There may be more to do at once.
    Again,
    /// Nothing to do before an event or credit.
    Idle,
}

/// A job's standard output or standard error.
#[derive(Debug)]
pub(crate) struct Output {
    /// The read end; `None` when every writer is gone.
    fd: Option<OwnedFd>,
    stream: StreamId,
    window: SendWindow,
    readable: bool,
    /// Whether it waits for its turn already.
    pub(crate) queued: bool,
    terminal: bool,
    /// Bytes still to forward, once the main process has ended.
    left: Option<u64>,
    /// The host gets no more of it: end-of-file was sent, or the host gave up.
    ended: bool,
    /// Nobody told the host, because it is gone or does not want to know.
    silent: bool,
    /// The host is gone, and another may ask for what comes next: it stays where it is.
    parked: bool,
}

impl Output {
    pub(crate) fn new(fd: OwnedFd, stream: StreamId, terminal: bool) -> Self {
        Self {
            fd: Some(fd),
            stream,
            window: SendWindow::default(),
            readable: true,
            queued: false,
            terminal,
            left: None,
            ended: false,
            silent: false,
            parked: false,
        }
    }

    /// The stream it travels on.
    pub(crate) const fn stream(&self) -> StreamId {
        self.stream
    }

    /// The read end, to be watched.
    pub(crate) const fn descriptor(&self) -> Option<&OwnedFd> {
        self.fd.as_ref()
    }

    /// Whether the host has been told its end.
    pub(crate) const fn is_ended(&self) -> bool {
        self.ended
    }

    /// Whether no writer is left.
    pub(crate) const fn is_closed(&self) -> bool {
        self.fd.is_none()
    }

    /// Notes that the kernel has something.
    pub(crate) const fn note_readable(&mut self) {
        self.readable = true;
    }

    /// Whether a turn is worth taking.
    pub(crate) fn is_ready(&self) -> bool {
        if self.ended {
            return self.readable && self.fd.is_some();
        }
        let may_forward = self.window.available() > 0 && self.readable && self.fd.is_some();
        !self.parked && (may_forward || self.left == Some(0))
    }

    /// The host is gone; another may come for the rest.
    pub(crate) const fn park(&mut self) {
        self.parked = true;
    }

    /// Another host has come for the rest, on a stream of its own. An end that was told is told again.
    pub(crate) fn go_on(&mut self, stream: StreamId, channel: &mut Channel) {
        self.stream = stream;
        self.window = SendWindow::default();
        self.parked = false;
        if self.ended {
            channel.send_eof(stream);
        }
    }

    /// The host granted credit.
    pub(crate) fn grant(&mut self, bytes: u32) -> Result<(), CreditError> {
        self.window.grant(bytes)
    }

    /// The host gave up: what still comes is thrown away, so that no writer is killed by a broken pipe.
    pub(crate) const fn abandon(&mut self) {
        self.ended = true;
        self.silent = true;
    }

    /// The main process ended: forward what it had written by now and no more, whoever still holds the other end.
    pub(crate) fn settle(&mut self) {
        if self.left.is_some() {
            return;
        }
        self.readable = true;
        self.left = Some(match &self.fd {
            None => 0,
            // A terminal's bytes pass through a queue that FIONREAD does not count; reading until it is empty does.
            Some(_) if self.terminal => TERMINAL_TAIL_BYTES_MAX,
            Some(fd) => rustix::io::ioctl_fionread(fd).unwrap_or(0),
        });
    }

    /// Moves at most one chunk.
    pub(crate) fn turn(&mut self, channel: &mut Channel, scratch: &mut [u8]) -> Turn {
        if self.ended {
            return self.discard(scratch);
        }
        if self.parked {
            return Turn::Idle;
        }
        if self.left == Some(0) || self.fd.is_none() {
            return self.end(channel);
        }
        let left = self.left.map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX));
        let budget = DATA_CHUNK_BYTES.min(self.window.available()).min(left).min(scratch.len());
        let (Some(fd), true) = (&self.fd, self.readable && budget > 0) else { return Turn::Idle };
        match rustix::io::read(fd, &mut scratch[..budget]) {
            Ok(0) | Err(Errno::IO) => {
                self.fd = None;
                self.end(channel)
            }
            Ok(count) => {
                channel.send_data(self.stream, &scratch[..count]);
                self.window.spend(count);
                self.left = self.left.map(|left| left.saturating_sub(count as u64));
                Turn::Again
            }
            Err(Errno::INTR) => Turn::Again,
            Err(_) => {
                self.readable = false;
                if self.left.is_some() { self.end(channel) } else { Turn::Idle }
            }
        }
    }

    fn end(&mut self, channel: &mut Channel) -> Turn {
        if !self.silent {
            channel.send_eof(self.stream);
        }
        self.ended = true;
        Turn::Again
    }

    fn discard(&mut self, scratch: &mut [u8]) -> Turn {
        let Some(fd) = &self.fd else { return Turn::Idle };
        match rustix::io::read(fd, scratch) {
            Ok(0) | Err(Errno::IO) => {
                self.fd = None;
                Turn::Idle
            }
            Ok(_) | Err(Errno::INTR) => Turn::Again,
            Err(_) => {
                self.readable = false;
                Turn::Idle
            }
        }
    }
}
