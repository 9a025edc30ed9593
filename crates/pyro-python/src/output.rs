//! What a command prints, between the task that receives it and the Python that reads it: in the order it came, and no more
//! of it than a bound, which then holds up the guest's program. This file must not run anything.

use crate::event::Event;
use crate::failure::Failure;
use pyo3::PyResult;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;
use tokio::io::AsyncWrite;

/// Bytes that may wait to be read.
const WAITING_BYTES_MAX: usize = 256 * 1024;

/// Where bytes came from: `stdout` or `stderr`.
pub(crate) type Source = &'static str;

/// What a command prints and how it ends.
#[derive(Debug)]
pub(crate) struct Output {
    /// Set while there is something to read, the end included.
    pub(crate) readable: Event,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<(Source, Vec<u8>)>,
    waiting_bytes: usize,
    writer: Option<Waker>,
    reader_gone: bool,
    end: Option<Result<String, Failure>>,
}

/// What a look at the output finds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Bytes.
    Chunk(Source, Vec<u8>),
    /// Nothing yet.
    Nothing,
    /// All has been read.
    End,
}

impl Output {
    pub(crate) fn new() -> PyResult<Arc<Self>> {
        Ok(Arc::new(Self { readable: Event::new()?, state: Mutex::default() }))
    }

    /// The next bytes.
    pub(crate) fn take(&self) -> Found {
        let mut state = self.lock();
        let Some((source, bytes)) = state.chunks.pop_front() else {
            return if state.end.is_some() { Found::End } else { Found::Nothing };
        };
        state.waiting_bytes -= bytes.len();
        if state.chunks.is_empty() && state.end.is_none() {
            self.readable.clear();
        }
        if let Some(writer) = state.writer.take() {
            writer.wake();
        }
        Found::Chunk(source, bytes)
    }

    /// How the command ended, once it has.
    pub(crate) fn end(&self) -> Option<Result<String, Failure>> {
        self.lock().end.clone()
    }

    /// The command has ended like this. Only the first end counts.
    pub(crate) fn finish(&self, end: Result<String, Failure>) {
        self.lock().end.get_or_insert(end);
        self.readable.set();
    }

    /// Nobody reads any more: what is printed from now on is an error of the writer's.
    pub(crate) fn leave(&self) {
        let mut state = self.lock();
        state.reader_gone = true;
        if let Some(writer) = state.writer.take() {
            writer.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of a command's outputs.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) source: Source,
    pub(crate) output: Arc<Output>,
}

impl AsyncWrite for Writer {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.output.lock();
        if state.reader_gone {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = WAITING_BYTES_MAX.saturating_sub(state.waiting_bytes);
        if room == 0 {
            state.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        let size = room.min(bytes.len());
        if size > 0 {
            state.chunks.push_back((self.source, bytes[..size].to_vec()));
            state.waiting_bytes += size;
            self.output.readable.set();
        }
        Poll::Ready(Ok(size))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
