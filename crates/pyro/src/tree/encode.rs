//! Records into chunks of bytes that are worth a message each, passed on to whoever sends them. Content is read straight into
//! the chunk. This file must not read files or know where the bytes go.

use pyro_proto::tree::DATA_BYTES_MAX;
use pyro_proto::tree::RECORD_HEADER_BYTES;
use pyro_proto::tree::Record;
use pyro_proto::tree::data_header;
use std::io;

/// Bytes of one chunk at most, unless a single record is longer.
const CHUNK_BYTES: usize = 256 * 1024;

/// Takes chunks of an encoded tree. May block: that is the back-pressure.
pub trait Sink {
    /// Takes the next bytes of the stream.
    ///
    /// # Errors
    /// [`Stop`] when nobody will read them, so that reading and packing end as well.
    fn bytes(&mut self, bytes: Vec<u8>) -> Result<(), Stop>;
}

/// The receiver takes no more bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the receiver takes no more of the tree")]
pub struct Stop;

impl<F: FnMut(Vec<u8>) -> Result<(), Stop>> Sink for F {
    fn bytes(&mut self, bytes: Vec<u8>) -> Result<(), Stop> {
        self(bytes)
    }
}

/// Packs records into chunks for a [`Sink`].
pub struct Encoder<'s> {
    sink: &'s mut dyn Sink,
    /// As long as a chunk from the beginning, so that content needs no clearing of memory before it is read into it.
    chunk: Vec<u8>,
    filled: usize,
    scratch: Vec<u8>,
    encoded_bytes: u64,
}

impl<'s> Encoder<'s> {
    /// An encoder at the beginning of a stream.
    pub fn new(sink: &'s mut dyn Sink) -> Self {
        Self { sink, chunk: vec![0; CHUNK_BYTES], filled: 0, scratch: Vec::new(), encoded_bytes: 0 }
    }

    /// Bytes encoded so far.
    pub const fn encoded_bytes(&self) -> u64 {
        self.encoded_bytes
    }

    /// Writes one record.
    ///
    /// # Errors
    /// [`Stop`].
    pub fn record(&mut self, record: &Record) -> Result<(), Stop> {
        self.scratch.clear();
        record.encode(&mut self.scratch);
        self.encoded_bytes += self.scratch.len() as u64;
        if self.chunk.len() - self.filled < self.scratch.len() {
            self.flush()?;
        }
        if self.chunk.len() < self.scratch.len() {
            return self.sink.bytes(std::mem::take(&mut self.scratch));
        }
        self.chunk[self.filled..][..self.scratch.len()].copy_from_slice(&self.scratch);
        self.filled += self.scratch.len();
        Ok(())
    }

    /// Writes a piece of content that `read` puts into the place it is given; what `read` returns is how long it is, and 0
    /// writes nothing. At most `limit` bytes.
    ///
    /// # Errors
    /// [`Stop`]; what `read` says comes back as it is.
    pub fn data(
        &mut self,
        limit: u64,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> Result<io::Result<usize>, Stop> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(DATA_BYTES_MAX);
        if self.chunk.len() - self.filled < RECORD_HEADER_BYTES + limit {
            self.flush()?;
        }
        let (header, place) = self.chunk[self.filled..].split_at_mut(RECORD_HEADER_BYTES);
        let length = match read(&mut place[..limit]) {
            Ok(length) => length.min(limit),
            Err(error) => return Ok(Err(error)),
        };
        if length > 0 {
            header.copy_from_slice(&data_header(length));
            self.filled += RECORD_HEADER_BYTES + length;
            self.encoded_bytes += (RECORD_HEADER_BYTES + length) as u64;
        }
        Ok(Ok(length))
    }

    /// Ends the stream: `Done` with this document, and the last chunk.
    ///
    /// # Errors
    /// [`Stop`].
    pub fn done(mut self, document: &[u8]) -> Result<(), Stop> {
        self.record(&Record::Done(document.to_vec()))?;
        self.flush()
    }

    /// Passes on what is held.
    ///
    /// # Errors
    /// [`Stop`].
    pub fn flush(&mut self) -> Result<(), Stop> {
        if self.filled == 0 {
            return Ok(());
        }
        let mut full = std::mem::replace(&mut self.chunk, vec![0; CHUNK_BYTES]);
        full.truncate(std::mem::take(&mut self.filled));
        self.sink.bytes(full)
    }
}

impl std::fmt::Debug for Encoder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("filled", &self.filled).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pyro_proto::tree::TreeDecoder;
    use pyro_proto::tree::TreePath;

    #[test]
    fn records_and_content_come_out_as_they_went_in() {
        let mut wire = Vec::new();
        let mut chunks = 0;
        let mut sink = |bytes: Vec<u8>| {
            chunks += 1;
            wire.extend_from_slice(&bytes);
            Ok(())
        };
        let mut encoder = Encoder::new(&mut sink);
        let warning = Record::Warning("w".repeat(200_000));
        let path = Record::Path(TreePath::new(&b"a/b"[..]).unwrap());
        encoder.record(&path).unwrap();
        for fill in 1..=9u8 {
            let length = encoder.data(u64::MAX, |place| {
                place.fill(fill);
                Ok(place.len())
            });
            assert_eq!(length.unwrap().unwrap(), DATA_BYTES_MAX);
        }
        encoder.record(&warning).unwrap();
        assert_eq!(encoder.data(10, |_| Ok(0)).unwrap().unwrap(), 0);
        encoder.done(b"{}").unwrap();
        let mut decoder = TreeDecoder::new();
        decoder.push(&wire);
        assert_eq!(decoder.next_record().unwrap(), Some(path));
        for fill in 1..=9u8 {
            assert_eq!(decoder.next_record().unwrap(), Some(Record::Data(vec![fill; DATA_BYTES_MAX])));
        }
        assert_eq!(decoder.next_record().unwrap(), Some(warning));
        assert_eq!(decoder.next_record().unwrap(), Some(Record::Done(b"{}".to_vec())));
        assert!(!decoder.is_cut());
        assert!(chunks > 2);
    }

    #[test]
    fn a_receiver_that_stops_stops_the_encoder() {
        let mut sink = |_: Vec<u8>| Err(Stop);
        let mut encoder = Encoder::new(&mut sink);
        encoder.record(&Record::End).unwrap();
        assert_eq!(encoder.flush(), Err(Stop));
    }
}
