//! A tool's output: records, collected into large writes. This file must not know what they say.

use super::fault;
use super::fault::Fallible;
use crate::refusal::refuse_errno;
use pyro_proto::message::ErrorCode;
use pyro_proto::tree::DATA_BYTES_MAX;
use pyro_proto::tree::RECORD_HEADER_BYTES;
use pyro_proto::tree::Record;
use pyro_proto::tree::data_header;
use rustix::io::Errno;
use std::os::fd::AsFd;

/// Bytes after which what was collected is written.
const FLUSH_BYTES: usize = 128 * 1024;

/// Where a tool's records go.
#[derive(Debug)]
pub(super) struct Sink {
    buffer: Vec<u8>,
}

impl Sink {
    /// The process's standard output.
    pub(super) fn new() -> Self {
        Self { buffer: Vec::with_capacity(FLUSH_BYTES + DATA_BYTES_MAX + RECORD_HEADER_BYTES) }
    }

    /// Adds a record.
    pub(super) fn record(&mut self, record: &Record) -> Fallible<()> {
        record.encode(&mut self.buffer);
        self.flush_if_full()
    }

    /// Names something that was left out.
    pub(super) fn warn(&mut self, text: String) -> Fallible<()> {
        self.record(&Record::Warning(text))
    }

    /// Adds a piece of a file's content, read straight into the buffer: how many bytes there were, at most
    /// [`DATA_BYTES_MAX`]. A failure of the file's comes as the inner one.
    pub(super) fn content(
        &mut self,
        file: impl AsFd,
        offset: u64,
        wanted: u64,
    ) -> Fallible<Result<usize, Errno>> {
        let wanted = usize::try_from(wanted).unwrap_or(DATA_BYTES_MAX).min(DATA_BYTES_MAX);
        let start = self.buffer.len();
        let body = start + RECORD_HEADER_BYTES;
        self.buffer.resize(body + wanted, 0);
        let read = fault::retry(|| rustix::io::pread(&file, &mut self.buffer[body..], offset));
        let size = read.unwrap_or(0);
        if size == 0 {
            self.buffer.truncate(start);
        } else {
            self.buffer.truncate(body + size);
            self.buffer[start..body].copy_from_slice(&data_header(size));
        }
        self.flush_if_full()?;
        Ok(read)
    }

    /// Writes everything that was collected.
    pub(super) fn flush(&mut self) -> Fallible<()> {
        let mut rest = self.buffer.as_slice();
        while !rest.is_empty() {
            match rustix::io::write(rustix::stdio::stdout(), rest) {
                Ok(count) => rest = &rest[count..],
                Err(Errno::INTR) => {}
                Err(errno) => {
                    return Err(refuse_errno(ErrorCode::System, "writing to the host", errno));
                }
            }
        }
        self.buffer.clear();
        Ok(())
    }

    fn flush_if_full(&mut self) -> Fallible<()> {
        if self.buffer.len() >= FLUSH_BYTES { self.flush() } else { Ok(()) }
    }
}
