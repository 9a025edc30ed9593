//! The bytes of an archive, whatever it is compressed with, read under watch: how much came in, how much came out, how much of
//! it describes members. This file must not know what a member is.

use super::intake::IntakeLimits;
use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::BlockDecodingStrategy;
use ruzstd::decoding::FrameDecoder;
use std::cell::Cell;
use std::cell::RefCell;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;

/// Bytes that are read of a compressed archive at once.
const INPUT_BYTES: usize = 128 * 1024;
/// What `zstd --long` needs.
const ZSTD_WINDOW_BYTES_MAX: u64 = 128 << 20;
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Bytes that tell what a file is.
const MAGIC_BYTES: usize = 6;

/// A bound that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Too many bytes altogether.
    Bytes,
    /// It unpacks to far more than it is.
    Ratio,
    /// One member needs too many bytes to be described.
    Header,
}

/// What is known of the bytes so far.
#[derive(Debug)]
pub(super) struct Meter {
    limits: IntakeLimits,
    packed_bytes: Cell<u64>,
    unpacked_bytes: Cell<u64>,
    /// Bytes that may still be read before the next member begins.
    header_left: Cell<u64>,
    /// What was read since the last member ended, and where that is.
    header: RefCell<Vec<u8>>,
    header_start: Cell<u64>,
    /// The input has ended.
    input_ended: Cell<bool>,
    /// The unpacked bytes have ended.
    pub(super) ended: Cell<bool>,
    pub(super) fault: Cell<Option<Fault>>,
}

impl Meter {
    pub(super) const fn new(limits: IntakeLimits) -> Self {
        Self {
            limits,
            packed_bytes: Cell::new(0),
            unpacked_bytes: Cell::new(0),
            header_left: Cell::new(u64::MAX),
            header: RefCell::new(Vec::new()),
            header_start: Cell::new(0),
            input_ended: Cell::new(false),
            ended: Cell::new(false),
            fault: Cell::new(None),
        }
    }

    /// From here on a member's description is read.
    pub(super) fn begin_header(&self) {
        self.header_left.set(self.limits.header_bytes_max);
        self.header.borrow_mut().clear();
        self.header_start.set(self.unpacked_bytes.get());
    }

    /// From here on content is read.
    pub(super) fn end_header(&self) {
        self.header_left.set(u64::MAX);
    }

    /// The blocks that lie between the last member and the header at this position, without the filling before them.
    pub(super) fn blocks_before(&self, header_position: u64) -> Option<Vec<u8>> {
        let header = self.header.borrow();
        let start = self.header_start.get();
        let first = usize::try_from(start.checked_next_multiple_of(512)? - start).ok()?;
        let end = usize::try_from(header_position.checked_sub(start)?).ok()?;
        header.get(first..end).map(<[u8]>::to_vec)
    }

    /// Whether a failure now is one of bytes that are missing.
    pub(super) fn is_cut(&self, error: &io::Error) -> bool {
        self.ended.get() || self.input_ended.get() || error.kind() == io::ErrorKind::UnexpectedEof
    }

    fn take(&self, length: u64) -> io::Result<()> {
        let unpacked = self.unpacked_bytes.get() + length;
        self.unpacked_bytes.set(unpacked);
        let over_ratio = unpacked > self.limits.ratio_free_bytes
            && unpacked / self.limits.ratio_max.max(1) > self.packed_bytes.get();
        let fault = match self.header_left.get().checked_sub(length) {
            None => Some(Fault::Header),
            Some(_) if unpacked > self.limits.bytes_max => Some(Fault::Bytes),
            Some(_) if over_ratio => Some(Fault::Ratio),
            Some(left) => {
                if self.header_left.get() != u64::MAX {
                    self.header_left.set(left);
                }
                None
            }
        };
        if fault.is_none() {
            return Ok(());
        }
        self.fault.set(fault);
        Err(io::Error::other("a limit was reached"))
    }
}

/// What an archive is compressed with, if it is one that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    None,
    Gzip,
    Zstd,
    /// Known, and not supported.
    Other(&'static str),
    Empty,
}

impl Packing {
    fn of(magic: &[u8]) -> Self {
        match magic {
            [] => Self::Empty,
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Other("xz"),
            [b'B', b'Z', b'h', ..] => Self::Other("bzip2"),
            [b'P', b'K', 3, 4, ..] => Self::Other("zip"),
            [0x1f, 0x9d, ..] => Self::Other("compress"),
            [b'7', b'z', 0xbc, 0xaf, ..] => Self::Other("7z"),
            _ => Self::None,
        }
    }
}

/// The unpacked bytes of an archive.
pub(super) struct Unpacked<'a> {
    inner: Box<dyn Read + 'a>,
    meter: &'a Meter,
}

impl<'a> Unpacked<'a> {
    /// Looks at the first bytes, and reads accordingly.
    pub(super) fn open(mut reader: impl Read + 'a, meter: &'a Meter) -> io::Result<(Self, Packing)> {
        let mut magic = Vec::with_capacity(MAGIC_BYTES);
        reader.by_ref().take(MAGIC_BYTES as u64).read_to_end(&mut magic)?;
        let packing = Packing::of(&magic);
        let input = Input { inner: io::Cursor::new(magic).chain(reader), meter };
        let input = BufReader::with_capacity(INPUT_BYTES, input);
        let inner: Box<dyn Read + 'a> = match packing {
            Packing::Gzip => Box::new(MultiGzDecoder::new(input)),
            Packing::Zstd => Box::new(Zstd { input, decoder: FrameDecoder::new(), in_frame: false }),
            Packing::None | Packing::Other(_) | Packing::Empty => Box::new(input),
        };
        Ok((Self { inner, meter }, packing))
    }
}

impl Read for Unpacked<'_> {
    fn read(&mut self, place: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(place)?;
        if length == 0 && !place.is_empty() {
            self.meter.ended.set(true);
        }
        self.meter.take(length as u64)?;
        if self.meter.header_left.get() != u64::MAX {
            self.meter.header.borrow_mut().extend_from_slice(&place[..length]);
        }
        Ok(length)
    }
}

/// The archive as it is, counted.
struct Input<'a, R> {
    inner: R,
    meter: &'a Meter,
}

impl<R: Read> Read for Input<'_, R> {
    fn read(&mut self, place: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(place)?;
        self.meter.packed_bytes.set(self.meter.packed_bytes.get() + length as u64);
        if length == 0 && !place.is_empty() {
            self.meter.input_ended.set(true);
        }
        Ok(length)
    }
}

/// All the frames of a zstd file; the decoder itself knows only one.
struct Zstd<R> {
    input: R,
    decoder: FrameDecoder,
    in_frame: bool,
}

impl<R: BufRead> Zstd<R> {
    /// Begins the next frame with content; `false` at the end of the file.
    fn next_frame(&mut self) -> io::Result<bool> {
        loop {
            if self.input.fill_buf()?.is_empty() {
                return Ok(false);
            }
            let mut magic = [0; 4];
            self.input.read_exact(&mut magic)?;
            if magic == ZSTD_MAGIC {
                self.decoder.set_max_window_size(ZSTD_WINDOW_BYTES_MAX);
                self.decoder.reset((&magic[..]).chain(&mut self.input)).map_err(io::Error::other)?;
                self.in_frame = true;
                return Ok(true);
            }
            if !matches!(magic, [0x50..=0x5f, 0x2a, 0x4d, 0x18]) {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "garbage after the compressed data"));
            }
            let mut length = [0; 4];
            self.input.read_exact(&mut length)?;
            let length = u64::from(u32::from_le_bytes(length));
            if io::copy(&mut self.input.by_ref().take(length), &mut io::sink())? < length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn end_frame(&mut self) -> io::Result<()> {
        self.in_frame = false;
        let expected = self.decoder.get_checksum_from_data();
        if expected.is_some() && expected != self.decoder.get_calculated_checksum() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the checksum is wrong"));
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, place: &mut [u8]) -> io::Result<usize> {
        if place.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.in_frame && !self.next_frame()? {
                return Ok(0);
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder.decode_blocks(&mut self.input, one).map_err(io::Error::other)?;
            }
            let length = self.decoder.read(place)?;
            if length > 0 {
                return Ok(length);
            }
            self.end_frame()?;
        }
    }
}
