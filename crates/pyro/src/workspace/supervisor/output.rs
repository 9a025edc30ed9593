//! What one output of a command printed: kept in a file up to a quota, counted beyond it, and told to whoever waits for more.
//! This file must not know what the command is.

use crate::workspace::history::Stream;
use serde::Deserialize;
use serde::Serialize;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Seek as _;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use tokio::sync::watch;

/// How far an output has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Extent {
    /// Bytes that are in the file.
    pub(super) kept: u64,
    /// Bytes there were.
    pub(super) total: u64,
    /// There will be no more.
    pub(super) ended: bool,
}

/// One output of one command.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) stream: Stream,
    pub(super) path: PathBuf,
    /// Most bytes that are kept.
    bytes_max: u64,
    /// Opened by the first byte: most commands print to one of the two at most.
    file: Mutex<Option<File>>,
    extent: watch::Sender<Extent>,
}

impl Output {
    pub(super) fn new(stream: Stream, path: PathBuf, bytes_max: u64) -> Self {
        Self { stream, path, bytes_max, file: Mutex::new(None), extent: watch::channel(Extent::default()).0 }
    }

    /// One of which so much has come already, and is in its file as far as it was kept.
    pub(super) fn going_on(self, extent: Extent) -> Self {
        self.extent.send_replace(Extent { ended: false, ..extent });
        self
    }

    /// Takes the next bytes. A host's disk that is full loses them, and they count as not kept.
    pub(super) fn push(&self, bytes: &[u8]) {
        let extent = *self.extent.borrow();
        let room = self.bytes_max.saturating_sub(extent.kept);
        // What was not kept leaves no hole: from there on nothing is.
        let whole = extent.kept == extent.total;
        let kept = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
        let written = whole && kept > 0 && self.write(&bytes[..kept]).is_ok();
        self.extent.send_modify(|extent| {
            extent.kept += if written { kept as u64 } else { 0 };
            extent.total += bytes.len() as u64;
        });
    }

    /// There are no more.
    pub(super) fn end(&self) {
        self.extent.send_modify(|extent| extent.ended = true);
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn extent(&self) -> Extent {
        *self.extent.borrow()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Extent> {
        self.extent.subscribe()
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if file.is_none() {
            *file = Some(open(&self.path, self.extent.borrow().kept)?);
        }
        match file.as_mut() {
            Some(file) => file.write_all(bytes),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// Opens an output's file, to be gone on with behind what is kept.
fn open(path: &Path, kept: u64) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(kept == 0).mode(0o600).open(path)?;
    file.set_len(kept)?;
    file.seek(io::SeekFrom::Start(kept))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_keeps_the_beginning_and_counts_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        const KEPT: u64 = 1 << 20;
        let output = Output::new(Stream::Stdout, dir.path().join("o"), KEPT);
        assert!(!output.path.exists());
        output.push(&vec![7; 700 << 10]);
        output.push(&vec![8; 700 << 10]);
        output.push(b"x");
        output.end();
        assert_eq!(output.extent(), Extent { kept: KEPT, total: (1400 << 10) + 1, ended: true });
        let kept = std::fs::read(&output.path).unwrap();
        assert_eq!((kept.len() as u64, kept[KEPT as usize - 1]), (KEPT, 8));
    }

    #[test]
    fn what_comes_after_a_pause_follows_what_came_before() {
        let dir = tempfile::tempdir().unwrap();
        let output = || Output::new(Stream::Stderr, dir.path().join("o"), 8);
        let first = output();
        first.push(b"one ");
        first.end();
        let second = output().going_on(first.extent());
        assert_eq!(second.extent(), Extent { kept: 4, total: 4, ended: false });
        second.push(b"two three");
        assert_eq!(second.extent(), Extent { kept: 8, total: 13, ended: false });
        assert_eq!(std::fs::read(&second.path).unwrap(), b"one two ");
    }
}
