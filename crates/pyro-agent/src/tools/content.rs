//! A file's content on its way to the host: holes stay holes, and a file that shrinks meanwhile ends early. This file must
//! not know where the file is.

use super::fault::Fallible;
use super::sink::Sink;
use pyro_proto::tree::Record;
use rustix::fs::SeekFrom;
use rustix::fs::Stat;
use rustix::io::Errno;
use std::os::fd::OwnedFd;

/// What the kernel counts a file's blocks in, in bytes.
const BLOCK_BYTES: u64 = 512;

/// What became of a file's content.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    /// Bytes that are not holes.
    pub(super) bytes: u64,
    /// What stopped it before the size that the file had; nothing if it just ended.
    pub(super) stopped: Option<Option<Errno>>,
}

/// Sends a regular file's content as long as it was when `stat` was taken, and at most `bytes_max` of data.
pub(super) fn send(file: &OwnedFd, stat: &Stat, bytes_max: u64, sink: &mut Sink) -> Fallible<Sent> {
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    let sparse = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(BLOCK_BYTES) < size;
    let mut sent = Sent::default();
    if !sparse {
        copy(file, 0, size.min(bytes_max), sink, &mut sent)?;
        return Ok(sent);
    }
    let mut at = 0;
    while at < size && sent.stopped.is_none() && sent.bytes < bytes_max {
        let Some((begin, end)) = next_data(file, at, size) else {
            sink.record(&Record::Hole(size - at))?;
            break;
        };
        if begin > at {
            sink.record(&Record::Hole(begin - at))?;
        }
        copy(file, begin, end.min(begin.saturating_add(bytes_max - sent.bytes)), sink, &mut sent)?;
        at = end;
    }
    Ok(sent)
}

/// Where data begins and ends from `at` on; nothing if there is none. File systems that do not know have no holes.
fn next_data(file: &OwnedFd, at: u64, size: u64) -> Option<(u64, u64)> {
    match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(begin) if begin >= size => None,
        Ok(begin) => {
            let end = rustix::fs::seek(file, SeekFrom::Hole(begin)).unwrap_or(size);
            // A hole where data just was: somebody else is at work, and what is read there is as good as any.
            Some((begin, if end > begin { end.min(size) } else { size }))
        }
        Err(Errno::NXIO) => None,
        Err(_) => Some((at, size)),
    }
}

fn copy(file: &OwnedFd, mut at: u64, to: u64, sink: &mut Sink, sent: &mut Sent) -> Fallible<()> {
    while at < to {
        match sink.content(file, at, to - at)? {
            Ok(0) => {
                sent.stopped = Some(None);
                break;
            }
            Ok(count) => {
                at += count as u64;
                sent.bytes += count as u64;
            }
            Err(errno) => {
                sent.stopped = Some(Some(errno));
                break;
            }
        }
    }
    Ok(())
}
