//! What a staged receive will do, written down beside the things themselves, because a tree may have more of them than fit in
//! memory. This file must not carry it out.

use super::super::fault::Fallible;
use super::super::fault::malformed;
use crate::refusal::refuse_errno;
use pyro_proto::message::ErrorCode;
use pyro_proto::tree::Record;
use pyro_proto::tree::TreeDecoder;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::rc::Rc;

const FILE: &str = "plan";

/// Bytes written and read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// A list of records on disk.
#[derive(Debug)]
pub(super) struct Plan {
    file: Rc<OwnedFd>,
    pending: Vec<u8>,
}

impl Plan {
    pub(super) fn new(stage: &OwnedFd) -> Result<Self, Errno> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::APPEND | OFlags::CLOEXEC;
        let file = rustix::fs::openat(stage, FILE, flags, Mode::RUSR | Mode::WUSR)?;
        Ok(Self { file: Rc::new(file), pending: Vec::new() })
    }

    /// Adds a record.
    pub(super) fn add(&mut self, record: &Record) -> Result<(), Errno> {
        record.encode(&mut self.pending);
        if self.pending.len() < CHUNK_BYTES { Ok(()) } else { self.end() }
    }

    /// Writes down what was added so far.
    pub(super) fn end(&mut self) -> Result<(), Errno> {
        let mut rest = self.pending.as_slice();
        while !rest.is_empty() {
            match rustix::io::write(&self.file, rest) {
                Ok(count) => rest = &rest[count..],
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        self.pending.clear();
        Ok(())
    }

    /// Reads it from the beginning.
    pub(super) fn reader(&self) -> Reader {
        Reader {
            file: Rc::clone(&self.file),
            at: 0,
            decoder: TreeDecoder::new(),
            buffer: vec![0; CHUNK_BYTES],
        }
    }
}

/// A plan being read.
#[derive(Debug)]
pub(super) struct Reader {
    file: Rc<OwnedFd>,
    at: u64,
    decoder: TreeDecoder,
    buffer: Vec<u8>,
}

impl Reader {
    pub(super) fn next(&mut self) -> Fallible<Option<Record>> {
        loop {
            let record = self.decoder.next_record();
            if let Some(record) = record.map_err(|error| malformed("reading what was planned", &error))? {
                return Ok(Some(record));
            }
            match rustix::io::pread(&self.file, &mut self.buffer, self.at) {
                Ok(0) => return Ok(None),
                Ok(count) => {
                    self.at += count as u64;
                    self.decoder.push(&self.buffer[..count]);
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(refuse_errno(ErrorCode::System, "reading what was planned", errno)),
            }
        }
    }
}
