//! What a shell has printed, as far as it is kept: the last of it in memory, more before that in an unnamed file that is
//! written round and round. Every byte has one cursor for ever. This file must not know who reads.
//!
//! ```text
//!   0 ...... dropped ...... | kept_from ...... in the file ...... | recent ...... in memory ...... | total
//! ```

use super::saved::write;
use crate::state::unnamed_file;
use rustix::fs::AtFlags;
use rustix::fs::CWD;
use rustix::fs::linkat;
use serde::Deserialize;
use serde::Serialize;
use std::collections::VecDeque;
use std::fs;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
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

/// What is written down of an output whose bytes are in files.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Place {
    total: u64,
    spilled_from: u64,
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

    /// Gives what is kept names, to be loaded later; nothing may be pushed any more.
    pub(super) fn save(&self, recent: &Path, spilled: &Path) -> io::Result<Place> {
        let mut state = self.state();
        write(recent, state.recent.make_contiguous())?;
        if let Some(file) = &state.file {
            name(file, spilled)?;
        }
        Ok(Place { total: state.total, spilled_from: state.kept_from() })
    }

    /// What was saved, to go on with. What is not in the files any more counts as dropped.
    pub(super) fn load(folder: PathBuf, place: Place, recent: &Path, spilled: &Path) -> Self {
        let kept = Self::new(folder);
        {
            let mut state = kept.state();
            state.total = place.total;
            state.recent = fs::read(recent).unwrap_or_default().into();
            if state.recent.len() > state.recent_bytes_max || state.recent.len() as u64 > place.total {
                state.recent.clear();
            }
            state.file = fs::OpenOptions::new().read(true).write(true).open(spilled).ok();
            let recent_from = state.recent_from();
            state.spilled_from =
                if state.file.is_some() { place.spilled_from.min(recent_from) } else { recent_from };
        }
        kept.extent.send_modify(|extent| extent.total = place.total);
        kept
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

/// Gives an unnamed file a name; where the file system does not let one, its copy.
fn name(file: &File, path: &Path) -> io::Result<()> {
    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
    if linkat(CWD, own.as_str(), CWD, path, AtFlags::SYMLINK_FOLLOW).is_ok() {
        return file.sync_data();
    }
    let copy = File::create_new(path)?;
    pyro_image::disk::copy_sparse(file, &copy)?;
    copy.sync_data()
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
            prop_assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn what_is_saved_is_gone_on_with_at_the_same_cursors() {
        let folder = tempfile::tempdir().unwrap();
        let [recent, spilled] = ["recent", "spilled"].map(|name| folder.path().join(name));
        let kept = Kept::new(folder.path().to_owned());
        let first = 3 * RECENT_BYTES_MAX as u64;
        kept.push(&bytes(0, 3 * RECENT_BYTES_MAX));
        let place = kept.save(&recent, &spilled).unwrap();
        drop(kept);
        let text = serde_json::to_string(&place).unwrap();
        let place: Place = serde_json::from_str(&text).unwrap();
        let kept = Kept::load(folder.path().to_owned(), place, &recent, &spilled);
        for file in [&recent, &spilled] {
            fs::remove_file(file).unwrap();
        }
        assert_eq!((kept.extent().total, kept.kept_from()), (first, 0));
        kept.push(&bytes(first, RECENT_BYTES_MAX));
        for cursor in [0, 77, first - 5, first + 9] {
            assert_eq!(kept.read(cursor, 1000), Piece { from: cursor, bytes: bytes(cursor, 1000) });
        }
        // Without its files all of it was dropped.
        let kept = Kept::load(folder.path().to_owned(), place, &recent, &spilled);
        assert_eq!((kept.extent().total, kept.kept_from()), (first, first));
        kept.push(b"more");
        assert_eq!(kept.read(0, 10), Piece { from: first, bytes: b"more".to_vec() });
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
