//! What a shell has printed, as far as it is kept: the last of it in memory, more before that in an unnamed file that is
//! written round and round. Every byte has one cursor for ever. This file must not know who reads.
//!
//! ```text
//!   0 ...... dropped ...... | kept_from ...... in the file ...... | recent ...... in memory ...... | total
//! ```

use crate::state::unnamed_file;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use tokio::sync::watch;

/// Most bytes of one shell that are kept in memory.
pub(super) const RECENT_BYTES_MAX: usize = 256 << 10;

/// Most bytes of one shell that are kept in its file.
pub(super) const SPILLED_BYTES_MAX: u64 = 64 << 20;

/// How far an output has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extent {
    /// The cursor behind the last byte.
    pub(super) total: u64,
    /// There will be no more.
    pub(super) ended: bool,
}

/// A piece of an output.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Piece {
    /// The cursor of the first byte: later than the one asked for when bytes were dropped.
    pub(super) from: u64,
    pub(super) bytes: Vec<u8>,
}

/// The output of one shell.
#[derive(Debug)]
pub(super) struct Kept {
    state: Mutex<State>,
    extent: watch::Sender<Extent>,
}

#[derive(Debug)]
struct State {
    folder: PathBuf,
    recent: VecDeque<u8>,
    total: u64,
    /// Made when the first byte has to leave memory: most shells print little.
    file: Option<File>,
    /// From here on everything up to what is recent is in the file, unless it was written over.
    spilled_from: u64,
    recent_bytes_max: usize,
    spilled_bytes_max: u64,
}

impl Kept {
    /// Nothing yet. The file will be in `folder`'s file system.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self::bounded(folder, RECENT_BYTES_MAX, SPILLED_BYTES_MAX)
    }

    fn bounded(folder: PathBuf, recent_bytes_max: usize, spilled_bytes_max: u64) -> Self {
        let state = State {
            folder,
            recent: VecDeque::new(),
            total: 0,
            file: None,
            spilled_from: 0,
            recent_bytes_max,
            spilled_bytes_max,
        };
        Self { state: Mutex::new(state), extent: watch::channel(Extent::default()).0 }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next bytes.
    pub(super) fn push(&self, bytes: &[u8]) {
        let mut state = self.state();
        for chunk in bytes.chunks(state.recent_bytes_max) {
            state.push(chunk);
        }
        let total = state.total;
        drop(state);
        self.extent.send_modify(|extent| extent.total = total);
    }

    /// There are no more.
    pub(super) fn end(&self) {
        self.extent.send_modify(|extent| extent.ended = true);
    }

    pub(super) fn extent(&self) -> Extent {
        *self.extent.borrow()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Extent> {
        self.extent.subscribe()
    }

    /// The first cursor whose byte is still there.
    pub(super) fn kept_from(&self) -> u64 {
        self.state().kept_from()
    }

    /// At most `bytes_max` from a cursor on; fewer only at the end.
    pub(super) fn read(&self, cursor: u64, bytes_max: usize) -> Piece {
        let state = self.state();
        let from = cursor.max(state.kept_from());
        let mut bytes = Vec::new();
        while bytes.len() < bytes_max {
            let before = bytes.len();
            state.read(from + before as u64, bytes_max - before, &mut bytes);
            if bytes.len() == before {
                break;
            }
        }
        Piece { from, bytes }
    }
}

impl State {
    fn recent_from(&self) -> u64 {
        self.total - self.recent.len() as u64
    }

    fn kept_from(&self) -> u64 {
        let recent = self.recent_from();
        self.spilled_from.max(recent.saturating_sub(self.spilled_bytes_max)).min(recent)
    }

    /// Takes no more bytes than memory may hold.
    fn push(&mut self, bytes: &[u8]) {
        let over = (self.recent.len() + bytes.len()).saturating_sub(self.recent_bytes_max);
        if over > 0 {
            // More than must go, so that it does not go byte by byte.
            self.spill(over.max(self.recent_bytes_max / 4).min(self.recent.len()));
        }
        self.recent.extend(bytes);
        self.total += bytes.len() as u64;
    }

    /// Moves the oldest bytes from memory to the file.
    fn spill(&mut self, count: usize) {
        let at = self.recent_from();
        let leaving: Vec<u8> = self.recent.drain(..count).collect();
        if self.write(at, &leaving).is_err() {
            // A disk that is full loses them, and what is older would have a hole behind it.
            self.spilled_from = at + count as u64;
        }
    }

    fn write(&mut self, mut at: u64, mut bytes: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            self.file = Some(unnamed_file(&self.folder)?);
        }
        let Some(file) = &self.file else { return Err(io::ErrorKind::NotFound.into()) };
        while !bytes.is_empty() {
            let (place, room) = self.place(at);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            file.write_all_at(now, place)?;
            at += now.len() as u64;
            bytes = later;
        }
        Ok(())
    }

    /// Where in the file a cursor's byte is, and how many bytes there are from there to the file's end.
    fn place(&self, cursor: u64) -> (u64, usize) {
        let place = cursor % self.spilled_bytes_max;
        (place, usize::try_from(self.spilled_bytes_max - place).unwrap_or(usize::MAX))
    }

    /// Appends some of what is kept from a cursor on, of which nothing was dropped.
    fn read(&self, cursor: u64, bytes_max: usize, to: &mut Vec<u8>) {
        let recent = self.recent_from();
        if cursor >= recent {
            let skipped = usize::try_from(cursor - recent).unwrap_or(usize::MAX).min(self.recent.len());
            to.extend(self.recent.range(skipped..).take(bytes_max));
            return;
        }
        let Some(file) = &self.file else { return };
        let (place, room) = self.place(cursor);
        let in_file = usize::try_from(recent - cursor).unwrap_or(usize::MAX);
        let before = to.len();
        to.resize(before + bytes_max.min(room).min(in_file), 0);
        let count = file.read_at(&mut to[before..], place).unwrap_or(0);
        to.truncate(before + count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn byte(cursor: u64) -> u8 {
        (cursor.wrapping_mul(2_654_435_761) >> 13) as u8
    }

    fn bytes(from: u64, count: usize) -> Vec<u8> {
        (from..from + count as u64).map(byte).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Whatever is pushed, every byte that is still there is found at its cursor, and no more is kept than may.
        #[test]
        fn cursors_are_stable(sizes in prop::collection::vec(0usize..700, 1..40), asked in prop::collection::vec((0u64..20_000, 0usize..3000), 1..20)) {
            let folder = tempfile::tempdir().unwrap();
            let kept = Kept::bounded(folder.path().to_owned(), 128, 1000);
            let mut total = 0;
            for size in sizes {
                kept.push(&bytes(total, size));
                total += size as u64;
                prop_assert_eq!(kept.extent().total, total);
                let from = kept.kept_from();
                prop_assert!(total - from <= 1128 && (total - from >= total.min(1000)));
                for (cursor, count) in &asked {
                    let cursor = *cursor % (total + 1);
                    let piece = kept.read(cursor, *count);
                    prop_assert_eq!(piece.from, cursor.max(from));
                    let there = usize::try_from(total - piece.from).unwrap().min(*count);
                    prop_assert_eq!(piece.bytes, bytes(piece.from, there));
                }
                prop_assert!(kept.state().recent.len() <= 128);
            }
            // It has no name, so nothing of it stays.
            prop_assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_disk_that_takes_nothing_loses_what_left_memory() {
        let kept = Kept::bounded("/proc/nowhere".into(), 100, 1000);
        kept.push(&bytes(0, 100));
        assert_eq!(kept.read(0, 10).bytes, bytes(0, 10));
        kept.push(&bytes(100, 50));
        let piece = kept.read(0, 1000);
        assert_eq!((piece.from, piece.bytes), (50, bytes(50, 100)));
        kept.end();
        assert!(kept.extent().ended);
    }
}
