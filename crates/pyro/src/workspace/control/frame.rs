//! How a client and a supervisor talk: one connection for each operation, frames on it, a JSON document in some. This file
//! must not know what the documents mean.
//!
//! ```text
//!   tag u8 | length u32, little-endian | payload
//!
//!   client:      Json(envelope)  (Input* InputEnd | Json(control))*
//!   supervisor:  (Json(event) | Stdout | Stderr)*  Json(done or failed)
//! ```
//!
//! Either side goes away by closing: what was asked is then given up, unless it was asked to stay.

use std::io;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt as _;

/// Most bytes of a frame's payload.
pub(in crate::workspace) const FRAME_BYTES_MAX: usize = 1 << 20;

/// Most bytes of a data frame that we write.
pub(in crate::workspace) const CHUNK_BYTES: usize = 64 * 1024;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::workspace) enum Tag {
    /// A document.
    Json = 0,
    /// Bytes for the standard input of what runs.
    Input = 1,
    /// There are no more.
    InputEnd = 2,
    /// Bytes of its standard output.
    Stdout = 3,
    /// Bytes of its standard error.
    Stderr = 4,
}

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::workspace) struct Frame {
    pub(in crate::workspace) tag: Tag,
    pub(in crate::workspace) payload: Vec<u8>,
}

/// Reads one frame; `None` when the other side closed between two.
pub(in crate::workspace) async fn read<R: AsyncRead + Unpin>(from: &mut R) -> io::Result<Option<Frame>> {
    let mut header = [0; 5];
    let mut filled = 0;
    while filled < header.len() {
        match from.read(&mut header[filled..]).await? {
            0 if filled == 0 => return Ok(None),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
    }
    let [tag, a, b, c, d] = header;
    let tag = match tag {
        0 => Tag::Json,
        1 => Tag::Input,
        2 => Tag::InputEnd,
        3 => Tag::Stdout,
        4 => Tag::Stderr,
        _ => return Err(invalid("a frame of an unknown kind")),
    };
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(invalid("a frame that is too long"));
    }
    let mut payload = vec![0; length];
    from.read_exact(&mut payload).await?;
    Ok(Some(Frame { tag, payload }))
}

/// Writes one frame.
pub(in crate::workspace) async fn write<W: AsyncWrite + Unpin>(
    to: &mut W,
    tag: Tag,
    payload: &[u8],
) -> io::Result<()> {
    let length = u32::try_from(payload.len()).ok().filter(|length| *length as usize <= FRAME_BYTES_MAX);
    let length = length.ok_or_else(|| invalid("a document that is too long"))?.to_le_bytes();
    // One write for what is small, so that it is one wake-up on the other side.
    if payload.len() <= 4096 {
        let mut bytes = Vec::with_capacity(5 + payload.len());
        bytes.push(tag as u8);
        bytes.extend_from_slice(&length);
        bytes.extend_from_slice(payload);
        return to.write_all(&bytes).await;
    }
    let [a, b, c, d] = length;
    to.write_all(&[tag as u8, a, b, c, d]).await?;
    to.write_all(payload).await
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
    }

    #[test]
    fn frames_survive_and_nonsense_is_refused() {
        block_on(async {
            let (mut one, mut two) = tokio::io::duplex(1 << 20);
            write(&mut one, Tag::Stdout, &[7; 5000]).await.unwrap();
            write(&mut one, Tag::Json, b"{}").await.unwrap();
            one.write_all(&[9, 0, 0, 0, 0]).await.unwrap();
            assert_eq!(read(&mut two).await.unwrap().unwrap().payload.len(), 5000);
            assert_eq!(
                read(&mut two).await.unwrap(),
                Some(Frame { tag: Tag::Json, payload: b"{}".to_vec() })
            );
            assert!(read(&mut two).await.is_err());
            one.write_all(&[0, 0xff, 0xff, 0xff, 0xff]).await.unwrap();
            assert!(read(&mut two).await.is_err());
            drop(one);
            assert!(matches!(read(&mut two).await, Ok(None)));
        });
    }
}
