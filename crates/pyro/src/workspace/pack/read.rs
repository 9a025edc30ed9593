//! Reading a pack that may come from anywhere. Nothing here believes a length before it was compared with a bound. This file
//! must not know where parts go.

use super::MAGIC;
use super::PART_END;
use super::PIECE_BYTES;
use super::SCHEMA;
use super::error::PackError;
use super::manifest::MANIFEST_BYTES_MAX;
use super::manifest::Manifest;
use super::manifest::Part;
use crate::workspace::advance::Counted;
use sha2::Digest as _;
use sha2::Sha256;
use std::fs::File;
use std::io::BufReader;
use std::io::Read;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

/// Largest window of a frame, as a power of two: what reading may take of memory.
const WINDOW_LOG_MAX: u32 = 27;
/// Zeros of this length stay holes.
const ZERO_BYTES: usize = 64 << 10;
const DIGEST_BYTES: usize = 32;

/// Reads a pack to its end and makes nothing of it; how many bytes of content are in it.
///
/// # Errors
/// [`PackError`]: it is none, damaged, or cannot become a workspace of at most so many bytes.
pub fn check_pack(input: impl Read, bytes_max: u64) -> Result<u64, PackError> {
    let (mut pack, manifest) = Pack::open(input)?;
    manifest.check(bytes_max)?;
    let mut counted = Counted::new(manifest.data_bytes(), Arc::new(|_, _| {}));
    for part in &manifest.parts {
        pack.part(part, None, &mut counted)?;
    }
    pack.finish()?;
    Ok(manifest.data_bytes())
}

/// A pack that is being read.
pub(super) struct Pack<R: Read> {
    reader: zstd::stream::read::Decoder<'static, BufReader<R>>,
    part: Sha256,
    all: Sha256,
}

impl<R: Read> Pack<R> {
    /// Reads as far as the manifest, which is still to be checked.
    pub(super) fn open(mut input: R) -> Result<(Self, Manifest), PackError> {
        let mut head = [0; 12];
        input.read_exact(&mut head).map_err(|_| PackError::NotAPack)?;
        let (magic, schema) = head.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(PackError::NotAPack);
        }
        let schema = u32::from_le_bytes(schema.try_into().unwrap_or_default());
        if schema != SCHEMA {
            return Err(PackError::Newer { schema });
        }
        let decoder = zstd::stream::read::Decoder::new(input).and_then(|mut decoder| {
            decoder.window_log_max(WINDOW_LOG_MAX)?;
            Ok(decoder)
        });
        let reader = decoder.map_err(PackError::file("reading the pack"))?;
        let mut pack = Self { reader, part: Sha256::new(), all: Sha256::new() };
        let mut length = [0; 4];
        pack.take(&mut length, "its manifest")?;
        let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        if length > MANIFEST_BYTES_MAX {
            return Err(PackError::invalid("its manifest is too long"));
        }
        let mut json = vec![0; length];
        pack.take(&mut json, "its manifest")?;
        pack.end_part("its manifest")?;
        let manifest = serde_json::from_slice(&json);
        Ok((pack, manifest.map_err(|error| PackError::invalid(format!("its manifest: {error}")))?))
    }

    fn take(&mut self, bytes: &mut [u8], of: &str) -> Result<(), PackError> {
        let read = self.reader.read_exact(bytes);
        read.map_err(|error| PackError::damaged(format!("{of} cannot be read ({error})")))?;
        self.part.update(&*bytes);
        self.all.update(&*bytes);
        Ok(())
    }

    fn end_part(&mut self, of: &str) -> Result<(), PackError> {
        let expected = std::mem::take(&mut self.part).finalize();
        let mut digest = [0; DIGEST_BYTES];
        self.take(&mut digest, of)?;
        // The digest of a part is no part of the next.
        self.part = Sha256::new();
        if expected[..] != digest[..] {
            return Err(PackError::damaged(format!("{of} has another digest")));
        }
        Ok(())
    }

    fn number(&mut self, of: &str) -> Result<u64, PackError> {
        let mut bytes = [0; 8];
        self.take(&mut bytes, of)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Reads the next part into an empty file; only whether it is whole, if it goes nowhere.
    pub(super) fn part(
        &mut self,
        part: &Part,
        to: Option<&File>,
        counted: &mut Counted,
    ) -> Result<(), PackError> {
        let of = part.of.to_string();
        let failed = || PackError::file(format!("writing {of}"));
        to.map_or(Ok(()), |to| to.set_len(part.size_bytes)).map_err(failed())?;
        let (mut position, mut left, mut buffer) = (0, part.data_bytes, vec![0; PIECE_BYTES]);
        loop {
            let (offset, length) = (self.number(&of)?, self.number(&of)?);
            if offset == PART_END {
                if length != part.size_bytes || left != 0 {
                    return Err(PackError::damaged(format!("{of} is not as long as it was")));
                }
                return self.end_part(&of);
            }
            let end = offset.checked_add(length).filter(|end| *end <= part.size_bytes);
            let rest = left.checked_sub(length).filter(|_| length > 0 && offset >= position);
            let (Some(end), Some(rest)) = (end, rest) else {
                return Err(PackError::damaged(format!("{of} has content where none can be")));
            };
            (position, left) = (end, rest);
            let mut at = offset;
            while at < end {
                let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
                let piece = &mut buffer[..wanted];
                self.take(piece, &of)?;
                for (index, chunk) in piece.chunks(ZERO_BYTES).enumerate() {
                    if let Some(to) = to
                        && chunk.iter().any(|byte| *byte != 0)
                    {
                        to.write_all_at(chunk, at + (index * ZERO_BYTES) as u64).map_err(failed())?;
                    }
                }
                at += wanted as u64;
                counted.add(wanted as u64);
            }
        }
    }

    /// All parts were read: the pack must end here, and be whole.
    pub(super) fn finish(mut self) -> Result<(), PackError> {
        let expected = std::mem::take(&mut self.all).finalize();
        let mut digest = [0; DIGEST_BYTES];
        self.take(&mut digest, "its end")?;
        if expected[..] != digest[..] {
            return Err(PackError::damaged("it has another digest"));
        }
        match self.reader.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(PackError::damaged("there is something behind its end")),
            Err(error) => Err(PackError::damaged(format!("its end cannot be read ({error})"))),
        }
    }
}
