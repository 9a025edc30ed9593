//! Decompresses an archive into a pipe, up to a limit. This file must not know what is in the archive.

use ruzstd::decoding::StreamingDecoder;
use std::fs::File;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;

/// Why not everything went through.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// The archive is of another kind, or damaged.
    Archive(String),
    /// It unpacks to more than the limit.
    TooLarge,
    /// The reader of the pipe is gone.
    Pipe,
}

/// Writes what `input` unpacks to, at most `limit` bytes, into `output`.
pub(super) fn copy(input: File, output: impl Write, limit: u64) -> Result<(), Failed> {
    let mut input = BufReader::with_capacity(256 << 10, input);
    let mut output = Limited { to: output, left: limit };
    let start = input.fill_buf().map_err(|error| Failed::Archive(error.to_string()))?;
    match start {
        [0x1f, 0x8b, ..] => output.take_all(&mut flate2::bufread::MultiGzDecoder::new(input)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => zstd(input, &mut output),
        _ if start.get(257..262) == Some(b"ustar") => output.take_all(&mut input),
        _ => Err(Failed::Archive("it is neither tar, tar.gz nor tar.zst".to_owned())),
    }
}

/// A zstd file is any number of frames; the decoder reads one.
fn zstd(mut input: impl BufRead, output: &mut Limited<impl Write>) -> Result<(), Failed> {
    let damaged = |what: String| Failed::Archive(format!("it is damaged: {what}"));
    while !input.fill_buf().map_err(|error| damaged(error.to_string()))?.is_empty() {
        let mut decoder = StreamingDecoder::new(&mut input).map_err(|error| damaged(error.to_string()))?;
        output.take_all(&mut decoder)?;
        let recorded = decoder.decoder.get_checksum_from_data();
        if recorded.is_some() && recorded != decoder.decoder.get_calculated_checksum() {
            return Err(damaged("its checksum is wrong".to_owned()));
        }
    }
    Ok(())
}

struct Limited<W> {
    to: W,
    left: u64,
}

impl<W: Write> Limited<W> {
    fn take_all(&mut self, from: &mut impl Read) -> Result<(), Failed> {
        let mut buffer = vec![0; 128 << 10];
        loop {
            let count = match from.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Failed::Archive(format!("it is damaged: {error}"))),
            };
            self.left = self.left.checked_sub(count as u64).ok_or(Failed::TooLarge)?;
            self.to.write_all(&buffer[..count]).map_err(|_| Failed::Pipe)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Seek;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        file
    }

    fn tar() -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(3);
        builder.append_data(&mut header, "bin/x", &b"abc"[..]).unwrap();
        builder.into_inner().unwrap()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    #[test]
    fn each_kind_comes_out_as_tar() {
        let tar = tar();
        let (first, second) = tar.split_at(700);
        let two_frames = [zstd(first), zstd(second)].concat();
        for packed in [tar.clone(), gzip(&tar), zstd(&tar), two_frames] {
            let mut out = Vec::new();
            copy(file(&packed), &mut out, 1 << 20).unwrap();
            assert_eq!(out, tar);
        }
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let bomb = zstd(&vec![0; 8 << 20]);
        let mut out = Vec::new();
        assert_eq!(copy(file(&bomb), &mut out, 1 << 20), Err(Failed::TooLarge));
        assert!(out.len() <= 1 << 20);
    }

    #[test]
    fn other_kinds_and_damage_are_refused() {
        let mut out = Vec::new();
        let whole = gzip(&tar());
        for bad in [&b""[..], b"PK\x03\x04", &whole[..whole.len() / 2], &[0x28, 0xb5, 0x2f, 0xfd, 0xff, 0xff]]
        {
            assert!(matches!(copy(file(bad), &mut out, 1 << 20), Err(Failed::Archive(_))), "{bad:?}");
        }
    }
}
