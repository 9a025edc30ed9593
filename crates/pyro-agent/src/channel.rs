//! The byte stream to the host: frames in, frames out, both bounded. This file must not interpret messages.
//!
//! What is to be sent waits in two queues: `control` for replies and credit, which overtake, and `ordered` for data and
//! for what must not overtake data. A third buffer holds what is being written, always whole frames.

use pyro_proto::Decoder;
use pyro_proto::FrameError;
use pyro_proto::Item;
use pyro_proto::Kind;
use pyro_proto::SYNC;
use pyro_proto::StreamId;
use pyro_proto::frame;
use pyro_proto::message;
use pyro_proto::message::Reply;
use rustix::io::Errno;
use std::os::fd::OwnedFd;

/// No more data is taken from jobs while this much waits to be sent, in bytes.
const ORDERED_BYTES_HIGH: usize = 256 * 1024;

/// No more requests are read while this much of replies waits to be sent, in bytes.
const CONTROL_BYTES_HIGH: usize = 1024 * 1024;

/// Bytes moved by one read or write.
const CHUNK_BYTES: usize = 32 * 1024;

/// What a read of the channel brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    /// Bytes; there may be more.
    Some,
    /// Nothing for now.
    Nothing,
    /// The host closed its side.
    Closed,
}

/// The host channel.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) fd: OwnedFd,
    decoder: Decoder,
    readable: bool,
    writable: bool,
    writing: Vec<u8>,
    written: usize,
    control: Vec<u8>,
    ordered: Vec<u8>,
    scratch: Vec<u8>,
}

impl Channel {
    /// Takes over a non-blocking descriptor.
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self {
            fd,
            decoder: Decoder::new(),
            readable: true,
            writable: true,
            writing: Vec::new(),
            written: 0,
            control: Vec::new(),
            ordered: Vec::new(),
            scratch: vec![0; CHUNK_BYTES],
        }
    }

    /// Notes what the kernel said about the descriptor.
    pub(crate) const fn note(&mut self, readable: bool, writable: bool) {
        self.readable |= readable;
        self.writable |= writable;
    }

    /// Whether [`Self::fill`] is worth a call.
    pub(crate) const fn wants_read(&self) -> bool {
        self.readable && self.control.len() < CONTROL_BYTES_HIGH
    }

    /// Whether jobs may add data.
    pub(crate) const fn has_room(&self) -> bool {
        self.ordered.len() < ORDERED_BYTES_HIGH
    }

    /// Whether the kernel has taken everything handed over.
    pub(crate) const fn is_flushed(&self) -> bool {
        self.written == self.writing.len() && self.control.is_empty() && self.ordered.is_empty()
    }

    /// Reads once into the decoder.
    pub(crate) fn fill(&mut self) -> Result<Filled, Errno> {
        match rustix::io::read(&self.fd, &mut self.scratch[..]) {
            Ok(0) => {
                self.readable = false;
                Ok(Filled::Closed)
            }
            Ok(count) => {
                self.decoder.push(&self.scratch[..count]);
                Ok(Filled::Some)
            }
            Err(Errno::AGAIN) => {
                self.readable = false;
                Ok(Filled::Nothing)
            }
            Err(Errno::INTR) => Ok(Filled::Some),
            Err(Errno::CONNRESET | Errno::PIPE) => Ok(Filled::Closed),
            Err(error) => Err(error),
        }
    }

    /// The next whole item read.
    pub(crate) fn next_item(&mut self) -> Result<Option<Item>, FrameError> {
        self.decoder.next_item()
    }

    /// Forgets the attachment: half-read frames and everything not yet written.
    pub(crate) fn forget(&mut self) {
        self.decoder.reset();
        self.drop_unsent();
    }

    /// Answers the host's sync with ours; nothing said to an earlier host follows it.
    pub(crate) fn answer_sync(&mut self) {
        self.drop_unsent();
        self.control.extend_from_slice(&SYNC);
    }

    fn drop_unsent(&mut self) {
        self.writing.clear();
        self.written = 0;
        self.control.clear();
        self.ordered.clear();
    }

    /// Sends a message ahead of waiting data.
    pub(crate) fn send(&mut self, reply: &Reply) {
        push_message(&mut self.control, reply);
    }

    /// Sends a message after all data handed over before it.
    pub(crate) fn send_after_data(&mut self, reply: &Reply) {
        push_message(&mut self.ordered, reply);
    }

    /// Grants the host credit.
    pub(crate) fn send_credit(&mut self, stream: StreamId, bytes: u32) {
        frame::encode(&mut self.control, stream, Kind::Credit, &bytes.to_le_bytes());
    }

    /// Gives up on a stream.
    pub(crate) fn send_reset(&mut self, stream: StreamId, reason: &str) {
        frame::encode(&mut self.ordered, stream, Kind::Reset, reason.as_bytes());
    }

    /// Ends the guest's direction of a stream.
    pub(crate) fn send_eof(&mut self, stream: StreamId) {
        frame::encode(&mut self.ordered, stream, Kind::Eof, &[]);
    }

    /// Sends data.
    pub(crate) fn send_data(&mut self, stream: StreamId, bytes: &[u8]) {
        frame::encode(&mut self.ordered, stream, Kind::Data, bytes);
    }

    /// Writes as much as the channel takes.
    pub(crate) fn flush(&mut self) {
        while self.writable && self.load() {
            let end = self.writing.len().min(self.written + CHUNK_BYTES);
            match rustix::io::write(&self.fd, &self.writing[self.written..end]) {
                Ok(count) => self.written += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.writable = false,
                // The host is gone; the next read says so, and the next host starts with a sync.
                Err(_) => {
                    self.writable = false;
                    self.drop_unsent();
                }
            }
        }
    }

    /// Makes `writing` hold something to write; false when there is nothing.
    fn load(&mut self) -> bool {
        if self.written < self.writing.len() {
            return true;
        }
        self.writing.clear();
        self.written = 0;
        let next = if self.control.is_empty() { &mut self.ordered } else { &mut self.control };
        std::mem::swap(&mut self.writing, next);
        // A burst of replies may have grown a buffer far beyond what is usual.
        next.shrink_to(2 * ORDERED_BYTES_HIGH);
        !self.writing.is_empty()
    }
}

fn push_message(queue: &mut Vec<u8>, reply: &Reply) {
    // Every reply is far smaller than a frame: texts are cut before they get here.
    if let Ok(payload) = message::to_payload(reply) {
        frame::encode(queue, frame::CONTROL, Kind::Control, &payload);
    }
}
