//! What a client has sent and a program has not read yet: some in memory, what is beyond that in an unnamed file. russh opens a
//! channel's window again as soon as it has received something, so whoever does not take its bytes at once holds up every other
//! channel, the answers to these very bytes included. This file must not know what the bytes are.

use pyro::state::unnamed_file;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;
use tokio::io::AsyncRead;
use tokio::io::ReadBuf;

/// Most bytes that wait in memory.
const MEMORY_BYTES_MAX: usize = 4 << 20;

/// Most bytes that wait in the file.
const FILE_BYTES_MAX: u64 = 16 << 30;

/// Bytes taken from the file at once.
const READ_BYTES: usize = 256 * 1024;

/// The end that bytes are put into.
#[derive(Debug)]
pub(crate) struct Inlet(Arc<Mutex<Waiting>>);

/// The end that bytes are read from.
#[derive(Debug)]
pub(crate) struct Backlog(Arc<Mutex<Waiting>>);

#[derive(Debug)]
struct Waiting {
    folder: PathBuf,
    memory: VecDeque<u8>,
    file: Option<File>,
    /// What of the file has not been read: from here, to there.
    from: u64,
    to: u64,
    ended: bool,
    failed: Option<io::ErrorKind>,
    reader: Option<Waker>,
}

/// A backlog whose file, if it needs one, is in this folder.
pub(crate) fn backlog(folder: PathBuf) -> (Inlet, Backlog) {
    let waiting = Waiting {
        folder,
        memory: VecDeque::new(),
        file: None,
        from: 0,
        to: 0,
        ended: false,
        failed: None,
        reader: None,
    };
    let waiting = Arc::new(Mutex::new(waiting));
    (Inlet(Arc::clone(&waiting)), Backlog(waiting))
}

impl Inlet {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts bytes behind those that wait.
    pub(crate) fn put(&self, bytes: &[u8]) {
        let mut waiting = self.waiting();
        if let Err(error) = waiting.put(bytes) {
            waiting.failed = Some(error.kind());
        }
        waiting.wake();
    }

    /// There will be no more.
    pub(crate) fn end(&self) {
        let mut waiting = self.waiting();
        waiting.ended = true;
        waiting.wake();
    }
}

impl Drop for Inlet {
    fn drop(&mut self) {
        self.end();
    }
}

impl Waiting {
    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.to == self.from && self.memory.len() + bytes.len() <= MEMORY_BYTES_MAX {
            self.memory.extend(bytes);
            return Ok(());
        }
        if self.to - self.from + bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = match self.file.take() {
            Some(file) => file,
            None => unnamed_file(&self.folder)?,
        };
        let file = self.file.insert(file);
        file.write_all_at(bytes, self.to)?;
        self.to += bytes.len() as u64;
        Ok(())
    }

    /// Brings bytes of the file into the memory when there are none.
    fn fill(&mut self) -> io::Result<()> {
        let Some(file) = self.file.as_ref().filter(|_| self.memory.is_empty() && self.from < self.to) else {
            return Ok(());
        };
        let count = usize::try_from(self.to - self.from).unwrap_or(READ_BYTES).min(READ_BYTES);
        let mut bytes = vec![0; count];
        file.read_exact_at(&mut bytes, self.from)?;
        self.memory.extend(bytes);
        self.from += count as u64;
        if self.from == self.to {
            file.set_len(0)?;
            (self.from, self.to) = (0, 0);
        }
        Ok(())
    }
}

impl AsyncRead for Backlog {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.fill()?;
        let (first, _) = waiting.memory.as_slices();
        let count = first.len().min(buffer.remaining());
        buffer.put_slice(&first[..count]);
        waiting.memory.drain(..count);
        if count > 0 || buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        // What was lost must not look like an end.
        if let Some(kind) = waiting.failed {
            return Poll::Ready(Err(kind.into()));
        }
        if waiting.ended {
            return Poll::Ready(Ok(()));
        }
        waiting.reader = Some(context.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::AsyncReadExt as _;

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
    }

    #[test]
    fn what_does_not_fit_into_memory_comes_back_from_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let (inlet, mut backlog) = backlog(dir.path().to_owned());
        let all: Vec<u8> = (0..3 * MEMORY_BYTES_MAX).map(|at| (at % 251) as u8).collect();
        all.chunks(100_000).for_each(|piece| inlet.put(piece));
        assert!(inlet.waiting().memory.len() <= MEMORY_BYTES_MAX);
        drop(inlet);
        let mut read = Vec::new();
        run(backlog.read_to_end(&mut read)).unwrap();
        assert!(read == all);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "the file has a name");
    }

    #[test]
    fn a_lost_byte_is_no_end() {
        let (inlet, mut backlog) = backlog(PathBuf::from("/no/such/folder"));
        inlet.put(&vec![b'x'; MEMORY_BYTES_MAX]);
        inlet.put(b"y");
        drop(inlet);
        let mut read = Vec::new();
        assert!(run(backlog.read_to_end(&mut read)).is_err());
        assert_eq!(read.len(), MEMORY_BYTES_MAX);
    }

    #[test]
    fn a_reader_that_waits_is_woken() {
        let (inlet, mut backlog) = backlog(PathBuf::new());
        let read = run(async {
            let put = async {
                tokio::task::yield_now().await;
                inlet.put(b"later");
                inlet.end();
            };
            let mut read = String::new();
            let (_, read_to_end) = tokio::join!(put, backlog.read_to_string(&mut read));
            read_to_end.unwrap();
            read
        });
        assert_eq!(read, "later");
    }

    proptest! {
        // Each case moves megabytes.
        #![proptest_config(ProptestConfig::with_cases(8))]

        #[test]
        fn bytes_come_out_in_their_order(steps in prop::collection::vec((0usize..3 << 20, 0usize..3 << 20), 1..12)) {
            let dir = tempfile::tempdir().unwrap();
            let (inlet, mut backlog) = backlog(dir.path().to_owned());
            let (mut put, mut taken) = (0usize, 0usize);
            let byte = |at: usize| (at.wrapping_mul(31) >> 3) as u8;
            for (write, read) in steps {
                let bytes: Vec<u8> = (put..put + write).map(byte).collect();
                bytes.chunks(32 * 1024).for_each(|piece| inlet.put(piece));
                put += write;
                let mut bytes = vec![0; read.min(put - taken)];
                run(backlog.read_exact(&mut bytes)).unwrap();
                prop_assert!(bytes.iter().enumerate().all(|(at, found)| *found == byte(taken + at)));
                taken += bytes.len();
            }
        }
    }
}
