//! What one output of a service printed: kept on the host in two files, the older of which goes when the newer is full. A place
//! in it is counted from the first byte there ever was. This file must not know what the service is.
//!
//! ```text
//!   first byte ... dropped ...|<- NAME.1, one segment ->|<- NAME, at most a segment ->| end
//!                             oldest                     begin
//! ```

use crate::workspace::folder::read_json;
use crate::workspace::folder::write_json;
use crate::workspace::history::Stream;
use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use tokio::sync::watch;

/// Bytes after which a file is full; of each output at least as many are kept, and at most twice as many.
const SEGMENT_BYTES: u64 = 8 << 20;

/// Bytes that are read at once.
pub(in crate::workspace) const READ_BYTES: usize = 64 << 10;

/// One output of one service.
#[derive(Debug)]
pub(in crate::workspace) struct Log {
    pub(in crate::workspace) stream: Stream,
    path: PathBuf,
    segment_bytes: u64,
    state: Mutex<State>,
    news: watch::Sender<News>,
}

#[derive(Debug)]
struct State {
    file: Option<File>,
    /// The first byte that is kept.
    oldest: u64,
    /// The first byte of the newer file.
    begin: u64,
}

/// How far an output has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::workspace) struct News {
    pub(in crate::workspace) end: u64,
    /// Bytes that the host's disk did not take.
    pub(in crate::workspace) lost: u64,
    /// There will be no more.
    pub(in crate::workspace) ended: bool,
}

/// The name of an output's newer file.
const fn name(stream: Stream) -> &'static str {
    match stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
    }
}

impl Log {
    /// What there is in a folder, to be read and gone on with.
    pub(in crate::workspace) fn open(folder: &Path, stream: Stream) -> Self {
        Self::with_segments(folder, stream, SEGMENT_BYTES)
    }

    fn with_segments(folder: &Path, stream: Stream, segment_bytes: u64) -> Self {
        let path = folder.join(name(stream));
        let length = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
        let dropped = read_json::<u64>(&dropped_path(&path)).ok().flatten().unwrap_or_default();
        let begin = dropped + length(&older(&path));
        let state = State { file: None, oldest: dropped, begin };
        let news = News { end: begin + length(&path), ..News::default() };
        Self { stream, path, segment_bytes, state: Mutex::new(state), news: watch::channel(news).0 }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next bytes. A host's disk that is full loses them, and they are counted.
    pub(in crate::workspace) fn push(&self, bytes: &[u8]) {
        let mut state = self.state();
        for piece in bytes.chunks(usize::try_from(self.segment_bytes).unwrap_or(usize::MAX)) {
            let written = self.write(&mut state, piece).is_ok();
            self.news.send_modify(|news| {
                let count = if written { &mut news.end } else { &mut news.lost };
                *count += piece.len() as u64;
            });
        }
    }

    fn write(&self, state: &mut State, piece: &[u8]) -> io::Result<()> {
        let end = self.news.borrow().end;
        if end > state.begin && end - state.begin + piece.len() as u64 > self.segment_bytes {
            state.file = None;
            // The count goes first: too much of it drops from sight what is kept, too little would misplace all that is.
            write_json(&dropped_path(&self.path), &state.begin, false).map_err(io::Error::other)?;
            fs::rename(&self.path, older(&self.path))?;
            (state.oldest, state.begin) = (state.begin, end);
        }
        let file = match &mut state.file {
            Some(file) => file,
            none => none.insert(
                OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&self.path)?,
            ),
        };
        file.write_all_at(piece, end - state.begin)
    }

    /// There are no more.
    pub(in crate::workspace) fn end(&self) {
        self.state().file = None;
        self.news.send_modify(|news| news.ended = true);
    }

    pub(in crate::workspace) fn news(&self) -> News {
        *self.news.borrow()
    }

    pub(in crate::workspace) fn watch(&self) -> watch::Receiver<News> {
        self.news.subscribe()
    }

    /// The next bytes from `offset` on, and where they begin, which is later if those before were dropped. None at the end.
    pub(in crate::workspace) fn read(&self, offset: u64) -> io::Result<(u64, Vec<u8>)> {
        let state = self.state();
        let (offset, end) = (offset.max(state.oldest), self.news().end);
        let (path, at, until) = if offset < state.begin {
            (older(&self.path), offset - state.oldest, state.begin)
        } else {
            (self.path.clone(), offset - state.begin, end)
        };
        let length = usize::try_from(until.saturating_sub(offset)).unwrap_or(READ_BYTES).min(READ_BYTES);
        if length == 0 {
            return Ok((offset, Vec::new()));
        }
        let mut bytes = vec![0; length];
        let count = File::open(path)?.read_at(&mut bytes, at)?;
        bytes.truncate(count);
        Ok((offset, bytes))
    }

    /// Where the last so many lines begin; all there is without a number.
    pub(in crate::workspace) fn tail(&self, lines: Option<u64>) -> io::Result<u64> {
        let oldest = self.state().oldest;
        let Some(lines) = lines else { return Ok(oldest) };
        let mut end = self.news().end;
        if lines == 0 {
            return Ok(end);
        }
        let (mut found, mut last) = (0, true);
        while end > oldest {
            let from = end.saturating_sub(READ_BYTES as u64).max(oldest);
            let (begin, mut bytes) = self.read(from)?;
            // It may lie in two files, or have been dropped meanwhile.
            if begin >= end || bytes.is_empty() {
                return Ok(begin);
            }
            bytes.truncate(usize::try_from(end - begin).unwrap_or(usize::MAX));
            if begin + (bytes.len() as u64) < end {
                // The rest of the piece is in the newer file.
                let (_, more) = self.read(begin + bytes.len() as u64)?;
                bytes.extend_from_slice(&more);
                bytes.truncate(usize::try_from(end - begin).unwrap_or(usize::MAX));
            }
            for (at, byte) in bytes.iter().enumerate().rev() {
                // The end of the last line begins no other.
                if *byte == b'\n' && !last {
                    found += 1;
                    if found == lines {
                        return Ok(begin + at as u64 + 1);
                    }
                }
                last = false;
            }
            end = begin;
        }
        Ok(oldest)
    }
}

fn older(path: &Path) -> PathBuf {
    path.with_extension("1")
}

/// Where it is written down how many bytes were dropped.
fn dropped_path(path: &Path) -> PathBuf {
    path.with_extension("dropped.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(log: &Log, mut offset: u64) -> (u64, Vec<u8>) {
        let (first, mut bytes) = log.read(offset).unwrap();
        offset = first + bytes.len() as u64;
        loop {
            let (at, more) = log.read(offset).unwrap();
            if more.is_empty() {
                return (first, bytes);
            }
            assert_eq!(at, offset);
            offset += more.len() as u64;
            bytes.extend(more);
        }
    }

    #[test]
    fn the_oldest_is_dropped_and_places_stay_what_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::with_segments(dir.path(), Stream::Stdout, 10);
        assert_eq!(all(&log, 0), (0, Vec::new()));
        log.push(b"0123456789");
        log.push(b"abcde");
        assert_eq!(all(&log, 0), (0, b"0123456789abcde".to_vec()));
        assert_eq!(all(&log, 8), (8, b"89abcde".to_vec()));
        log.push(b"fghijk");
        assert_eq!(all(&log, 3), (10, b"abcdefghijk".to_vec()));
        // Another process, later.
        let again = Log::with_segments(dir.path(), Stream::Stdout, 10);
        assert_eq!(all(&again, 0), (10, b"abcdefghijk".to_vec()));
        again.push(b"l");
        assert_eq!((again.news().end, all(&again, 20).1), (22, b"kl".to_vec()));
        // More at once than is kept.
        again.push(&[b'x'; 35]);
        let (first, kept) = all(&again, 0);
        assert!(first >= 22 && (10..=20).contains(&kept.len()) && kept.iter().all(|byte| *byte == b'x'));
        assert_eq!(first + kept.len() as u64, 57);
    }

    #[test]
    fn the_last_lines_are_found_wherever_they_lie() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::with_segments(dir.path(), Stream::Stderr, 100 << 10);
        assert_eq!(log.tail(Some(3)).unwrap(), 0);
        let line = |number: usize| format!("line {number}\n");
        let text: String = (0..12_000).map(line).collect();
        for piece in text.as_bytes().chunks(1000) {
            log.push(piece);
        }
        let shown = |lines| {
            let bytes = all(&log, log.tail(lines).unwrap()).1;
            String::from_utf8(bytes).unwrap()
        };
        assert_eq!(shown(Some(2)), "line 11998\nline 11999\n");
        let many: String = (4_000..12_000).map(line).collect();
        assert_eq!(shown(Some(8_000)), many);
        assert_eq!(shown(Some(0)), "");
        let kept = shown(None);
        assert!(text.ends_with(&kept) && kept.len() >= 100 << 10, "{} bytes", kept.len());
        // A last line without an end counts too.
        log.push(b"rest");
        assert_eq!(shown(Some(2)), "line 11999\nrest");
    }

    #[test]
    fn what_the_disk_does_not_take_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::open(&dir.path().join("nowhere"), Stream::Stdout);
        log.push(b"abc");
        log.end();
        assert_eq!(log.news(), News { end: 0, lost: 3, ended: true });
    }
}
