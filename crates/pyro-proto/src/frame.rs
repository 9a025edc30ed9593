//! Frames: a 12-byte header and a bounded payload. This file must not interpret payloads.
//!
//! ```text
//!  0        4        8    9    10       12
//!  | length | stream | kind | 0 | magic  | payload ...
//! ```
//!
//! All integers are little-endian. Each side opens an attachment with [`SYNC`], 16 bytes whose first four can never be a
//! legal length; a decoder that has lost its place (a host went away in the middle of a frame) drops bytes until it sees
//! one, and a decoder that is in place reports it, so that a new host is never taken for the old one.

use crate::limits::FRAME_PAYLOAD_BYTES_MAX;

/// Starts every attachment, in both directions.
pub const SYNC: [u8; 16] = *b"\xff\xfePYRO-SYNC-1\r\n\x00";

/// Bytes of a frame header.
pub const HEADER_BYTES: usize = 12;

const MAGIC: u16 = 0x5079;

/// Which stream a frame belongs to; 0 is the control stream. Chosen by the host, never reused while open.
pub type StreamId = u32;

/// The stream that carries JSON messages.
pub const CONTROL: StreamId = 0;

/// What a frame means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A JSON message; only on stream 0.
    Control = 0,
    /// Raw bytes of a stream; uses up credit.
    Data = 1,
    /// The sender will send no more data on this stream.
    Eof = 2,
    /// The receiver grants more credit: a `u32` number of bytes.
    Credit = 3,
    /// The sender gives up on this stream in both directions; the payload is a short UTF-8 reason.
    Reset = 4,
}

impl Kind {
    const fn from_u8(value: u8) -> Option<Self> {
        Some(match value {
            0 => Self::Control,
            1 => Self::Data,
            2 => Self::Eof,
            3 => Self::Credit,
            4 => Self::Reset,
            _ => return None,
        })
    }
}

/// One frame, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The stream it belongs to.
    pub stream: StreamId,
    /// What it means.
    pub kind: Kind,
    /// Its bytes, at most [`FRAME_PAYLOAD_BYTES_MAX`].
    pub payload: Vec<u8>,
}

impl Frame {
    /// A frame that grants `bytes` of credit on `stream`.
    pub fn credit(stream: StreamId, bytes: u32) -> Self {
        Self { stream, kind: Kind::Credit, payload: bytes.to_le_bytes().to_vec() }
    }

    /// A frame that ends the sender's direction of `stream`.
    pub const fn eof(stream: StreamId) -> Self {
        Self { stream, kind: Kind::Eof, payload: Vec::new() }
    }

    /// The credit this frame grants, if it is a well-formed credit frame.
    pub fn credit_bytes(&self) -> Option<u32> {
        let bytes: [u8; 4] = self.payload.as_slice().try_into().ok()?;
        (self.kind == Kind::Credit).then(|| u32::from_le_bytes(bytes))
    }
}

/// Why bytes cannot be a frame. After one of these the decoder drops bytes until the next [`SYNC`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The header announces more than [`FRAME_PAYLOAD_BYTES_MAX`].
    #[error("a frame announces {announced} bytes, more than the {FRAME_PAYLOAD_BYTES_MAX} allowed")]
    TooLong {
        /// Bytes announced.
        announced: u32,
    },
    /// The header's magic or reserved byte is wrong: the streams are out of step.
    #[error("a frame header is malformed: the channel is out of step")]
    BadHeader,
    /// The kind is not one this version knows.
    #[error("a frame has the unknown kind {kind}")]
    UnknownKind {
        /// The kind found.
        kind: u8,
    },
    /// A control frame on a data stream, or the reverse.
    #[error("a {kind:?} frame may not travel on stream {stream}")]
    WrongStream {
        /// The stream it came on.
        stream: StreamId,
        /// What it claimed to be.
        kind: Kind,
    },
}

/// Writes a frame's header and payload to the end of `out`.
///
/// `payload` must not be longer than [`FRAME_PAYLOAD_BYTES_MAX`]; callers split data and bound messages beforehand.
pub fn encode(out: &mut Vec<u8>, stream: StreamId, kind: Kind, payload: &[u8]) {
    debug_assert!(payload.len() <= FRAME_PAYLOAD_BYTES_MAX, "payloads are bounded before they are framed");
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    out.reserve(HEADER_BYTES + payload.len());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&stream.to_le_bytes());
    out.extend_from_slice(&[kind as u8, 0]);
    out.extend_from_slice(&MAGIC.to_le_bytes());
    out.extend_from_slice(payload);
}

/// What a decoder found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// The peer started a new attachment: everything before it is void.
    Sync,
    /// A frame.
    Frame(Frame),
}

/// Turns bytes into [`Item`]s. Holds at most one frame more than it was given.
#[derive(Debug)]
pub struct Decoder {
    buffer: Vec<u8>,
    start: usize,
    in_step: bool,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder that waits for the peer's [`SYNC`] and drops everything before it.
    pub const fn new() -> Self {
        Self { buffer: Vec::new(), start: 0, in_step: false }
    }

    /// Forgets everything: the next thing it reports is a [`Item::Sync`].
    pub fn reset(&mut self) {
        self.buffer.clear();
        self.start = 0;
        self.in_step = false;
    }

    /// Takes bytes from the channel.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes held that are not yet part of an item.
    pub const fn pending_bytes(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// The next item, `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`FrameError`] once for each loss of step; the decoder then looks for the next [`SYNC`].
    pub fn next_item(&mut self) -> Result<Option<Item>, FrameError> {
        if !self.in_step {
            return Ok(self.seek_sync());
        }
        let pending = &self.buffer[self.start..];
        if pending.len() >= 4 && pending[..4] == SYNC[..4] {
            return Ok(self.seek_sync_here());
        }
        let Some(header) = pending.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let (stream, kind, length) = match parse_header(header) {
            Ok(parsed) => parsed,
            Err(error) => {
                self.in_step = false;
                self.start += 1;
                return Err(error);
            }
        };
        let Some(payload) = pending.get(HEADER_BYTES..HEADER_BYTES + length) else { return Ok(None) };
        let frame = Frame { stream, kind, payload: payload.to_vec() };
        self.start += HEADER_BYTES + length;
        Ok(Some(Item::Frame(frame)))
    }

    /// In step, and the next bytes begin like a sync: wait for all of it, or fall out of step.
    fn seek_sync_here(&mut self) -> Option<Item> {
        let pending = &self.buffer[self.start..];
        let have = pending.len().min(SYNC.len());
        if pending[..have] == SYNC[..have] && have < SYNC.len() {
            return None;
        }
        self.in_step = false;
        self.seek_sync()
    }

    fn seek_sync(&mut self) -> Option<Item> {
        let pending = &self.buffer[self.start..];
        if let Some(at) = pending.windows(SYNC.len()).position(|window| window == SYNC) {
            self.start += at + SYNC.len();
            self.in_step = true;
            return Some(Item::Sync);
        }
        // Keep only what may be the beginning of a sync.
        let keep = pending.len().min(SYNC.len() - 1);
        self.start = self.buffer.len() - keep;
        None
    }
}

fn parse_header(header: &[u8; HEADER_BYTES]) -> Result<(StreamId, Kind, usize), FrameError> {
    let [l0, l1, l2, l3, s0, s1, s2, s3, kind, reserved, m0, m1] = *header;
    let announced = u32::from_le_bytes([l0, l1, l2, l3]);
    let stream = u32::from_le_bytes([s0, s1, s2, s3]);
    if reserved != 0 || u16::from_le_bytes([m0, m1]) != MAGIC {
        return Err(FrameError::BadHeader);
    }
    if announced as usize > FRAME_PAYLOAD_BYTES_MAX {
        return Err(FrameError::TooLong { announced });
    }
    let kind = Kind::from_u8(kind).ok_or(FrameError::UnknownKind { kind })?;
    if (stream == CONTROL) != (kind == Kind::Control) {
        return Err(FrameError::WrongStream { stream, kind });
    }
    Ok((stream, kind, announced as usize))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn drain(decoder: &mut Decoder) -> Vec<Result<Item, FrameError>> {
        let mut items = Vec::new();
        loop {
            match decoder.next_item() {
                Ok(Some(item)) => items.push(Ok(item)),
                Ok(None) => return items,
                Err(error) => items.push(Err(error)),
            }
        }
    }

    fn any_frame() -> impl Strategy<Value = Frame> {
        let data = (1u32.., prop::sample::select(vec![Kind::Data, Kind::Eof, Kind::Credit, Kind::Reset]));
        let control = Just((CONTROL, Kind::Control));
        (prop_oneof![data, control], prop::collection::vec(any::<u8>(), 0..600))
            .prop_map(|((stream, kind), payload)| Frame { stream, kind, payload })
    }

    proptest! {
        #[test]
        fn frames_survive_any_cut_of_the_stream(frames in prop::collection::vec(any_frame(), 0..8), cut in 1usize..97) {
            let mut wire = SYNC.to_vec();
            for frame in &frames {
                encode(&mut wire, frame.stream, frame.kind, &frame.payload);
            }
            let mut decoder = Decoder::new();
            let mut items = Vec::new();
            for piece in wire.chunks(cut) {
                decoder.push(piece);
                items.extend(drain(&mut decoder));
            }
            let mut expected = vec![Ok(Item::Sync)];
            expected.extend(frames.into_iter().map(|frame| Ok(Item::Frame(frame))));
            prop_assert_eq!(items, expected);
        }

        #[test]
        fn garbage_never_panics_and_the_next_sync_is_found(garbage in prop::collection::vec(any::<u8>(), 0..2000), in_step: bool) {
            let mut decoder = Decoder::new();
            if in_step {
                decoder.push(&SYNC);
            }
            decoder.push(&garbage);
            drain(&mut decoder);
            decoder.reset();
            decoder.push(&garbage);
            decoder.push(&SYNC);
            let mut wire = Vec::new();
            encode(&mut wire, 7, Kind::Data, b"here");
            decoder.push(&wire);
            let items = drain(&mut decoder);
            let frame = Frame { stream: 7, kind: Kind::Data, payload: b"here".to_vec() };
            prop_assert_eq!(items.last(), Some(&Ok(Item::Frame(frame))));
        }
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_anything_is_stored() {
        let mut wire = SYNC.to_vec();
        encode(&mut wire, 1, Kind::Data, b"");
        wire[16..20].copy_from_slice(&(FRAME_PAYLOAD_BYTES_MAX as u32 + 1).to_le_bytes());
        let mut decoder = Decoder::new();
        decoder.push(&wire);
        assert_eq!(decoder.next_item(), Ok(Some(Item::Sync)));
        assert_eq!(
            decoder.next_item(),
            Err(FrameError::TooLong { announced: FRAME_PAYLOAD_BYTES_MAX as u32 + 1 })
        );
        assert!(decoder.pending_bytes() < 32);
    }

    #[test]
    fn a_new_host_in_the_middle_of_a_session_is_seen() {
        let mut wire = SYNC.to_vec();
        encode(&mut wire, 3, Kind::Eof, b"");
        wire.extend_from_slice(&SYNC);
        encode(&mut wire, CONTROL, Kind::Control, b"{}");
        let mut decoder = Decoder::new();
        decoder.push(&wire);
        let kinds: Vec<bool> = drain(&mut decoder).into_iter().map(|item| item == Ok(Item::Sync)).collect();
        assert_eq!(kinds, [true, false, true, false]);
    }

    #[test]
    fn control_frames_travel_on_stream_zero_alone() {
        for (stream, kind) in [(0, Kind::Data), (9, Kind::Control)] {
            let mut wire = SYNC.to_vec();
            encode(&mut wire, stream, kind, b"x");
            let mut decoder = Decoder::new();
            decoder.push(&wire);
            assert!(drain(&mut decoder).contains(&Err(FrameError::WrongStream { stream, kind })));
        }
    }
}
