//! What must hold for any bytes that are given as a pack: reading never panics, says the same however the bytes arrive, and
//! gives back no more content than was allowed and was there. It must not depend on a fuzzer: tests run it on the seeds.
//!
//! ```text
//!   input = 0 | file                                                       as it is
//!         | 1 | manifest, JSON | 0 | (offset u64 | length u64 | bytes)*      with lengths, digests and compression put around
//! ```

use pyro::workspace::check_pack;
use sha2::Digest as _;
use sha2::Sha256;
use std::io::Read;

/// Most content of a pack.
const BYTES_MAX: u64 = 1 << 20;

/// Reads the pack that an input stands for.
pub(crate) fn body(input: &[u8]) {
    let Some((&how, rest)) = input.split_first() else { return };
    let file = file(how, rest);
    let whole = check_pack(&file[..], BYTES_MAX).map_err(|error| error.to_string());
    let pieces = check_pack(Pieces(&file), BYTES_MAX).map_err(|error| error.to_string());
    assert_eq!(whole, pieces, "the pieces changed the outcome");
    if let Ok(bytes) = whole {
        assert!(bytes <= BYTES_MAX, "{bytes} bytes were taken");
        assert!(how == 0 || bytes <= rest.len() as u64, "{bytes} bytes came of {}", rest.len());
    }
}

/// The file that an input stands for.
pub(crate) fn file(how: u8, rest: &[u8]) -> Vec<u8> {
    if how == 0 { rest.to_vec() } else { packed(rest) }
}

/// A pack with this manifest and these records, each part of which has the digest that it should have.
fn packed(input: &[u8]) -> Vec<u8> {
    let end = input.iter().position(|byte| *byte == 0).unwrap_or(input.len());
    let (manifest, mut records) = (&input[..end], input.get(end + 1..).unwrap_or_default());
    let mut parts = Parts::default();
    parts.put(&(manifest.len() as u32).to_le_bytes());
    parts.put(manifest);
    parts.end();
    while let Some((offset, after)) = records.split_first_chunk()
        && let Some((length, after)) = after.split_first_chunk()
    {
        parts.put(offset);
        parts.put(length);
        if u64::from_le_bytes(*offset) == u64::MAX {
            parts.end();
            records = after;
            continue;
        }
        let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX).min(after.len());
        let (content, after) = after.split_at(length);
        parts.put(content);
        records = after;
    }
    let all = Sha256::digest(&parts.bytes);
    parts.bytes.extend_from_slice(&all);
    let mut file = b"PYROPACK\x01\0\0\0".to_vec();
    file.extend(zstd::encode_all(&parts.bytes[..], 1).unwrap_or_default());
    file
}

#[derive(Default)]
struct Parts {
    bytes: Vec<u8>,
    began: usize,
}

impl Parts {
    fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn end(&mut self) {
        let digest = Sha256::digest(&self.bytes[self.began..]);
        self.put(&digest);
        self.began = self.bytes.len();
    }
}

/// Bytes that come one by one.
struct Pieces<'a>(&'a [u8]);

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
        let Some(place) = buffer.first_mut() else { return Ok(0) };
        (*place, self.0) = (*first, rest);
        Ok(1)
    }
}
