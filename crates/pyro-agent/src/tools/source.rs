//! A tool's input: records, as the host sends them. Everything that comes is checked by the codec; what it means is not this
//! file's business.

use super::fault::Fallible;
use super::fault::malformed;
use crate::refusal::refuse;
use crate::refusal::refuse_errno;
use pyro_proto::message::ErrorCode;
use pyro_proto::tree::Record;
use pyro_proto::tree::TreeDecoder;
use rustix::io::Errno;

/// Bytes read at once, and room in the pipe, so that many small records cost few calls.
const READ_BYTES: usize = 128 * 1024;

/// Where a tool's records come from.
#[derive(Debug)]
pub(super) struct Source {
    decoder: TreeDecoder,
    buffer: Vec<u8>,
    ended: bool,
}

impl Source {
    /// The process's standard input.
    pub(super) fn new() -> Self {
        // No pipe when the host sends nothing; the size it has is good enough then.
        let _ = rustix::pipe::fcntl_setpipe_size(rustix::stdio::stdin(), READ_BYTES);
        Self { decoder: TreeDecoder::new(), buffer: vec![0; READ_BYTES], ended: false }
    }

    /// The next record; `None` when the host will send no more.
    pub(super) fn next(&mut self) -> Fallible<Option<Record>> {
        loop {
            if let Some(record) = self.ready()? {
                return Ok(Some(record));
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// The next record if it has arrived already.
    pub(super) fn ready(&mut self) -> Fallible<Option<Record>> {
        self.decoder.next_record().map_err(|error| malformed("reading what the host sent", &error))
    }

    /// Waits for more; false at the end.
    pub(super) fn fill(&mut self) -> Fallible<bool> {
        while !self.ended {
            match rustix::io::read(rustix::stdio::stdin(), &mut self.buffer) {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    self.decoder.push(&self.buffer[..count]);
                    return Ok(true);
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(refuse_errno(ErrorCode::System, "reading from the host", errno)),
            }
        }
        if self.decoder.is_cut() { Err(cut_short()) } else { Ok(false) }
    }
}

/// What to say of an input that ends too early.
pub(super) fn cut_short() -> pyro_proto::message::WireError {
    refuse(ErrorCode::Truncated, "what the host sent ended before it was whole; nothing was changed")
}
