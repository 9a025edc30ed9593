//! Output kept in memory up to a limit, for JSON. What comes after the limit is counted and dropped.

use crate::signals;
use pyro::run::RunIo;
use pyro::workspace::Excerpt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::task::Context;
use std::task::Poll;
use tokio::io::AsyncWrite;

/// Most bytes of one stream that are kept for a JSON document.
const CAPTURED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A stream that is kept; clones share what was kept.
#[derive(Clone, Debug)]
pub(crate) struct Capture {
    captured: Arc<Mutex<Excerpt>>,
    bytes_max: usize,
}

impl Capture {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { captured: Arc::default(), bytes_max }
    }

    pub(crate) fn take(&self) -> Excerpt {
        std::mem::take(&mut self.captured.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl AsyncWrite for Capture {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut captured = self.captured.lock().unwrap_or_else(PoisonError::into_inner);
        let room = self.bytes_max.saturating_sub(captured.bytes.len());
        captured.bytes.extend_from_slice(&bytes[..room.min(bytes.len())]);
        captured.total_bytes += bytes.len() as u64;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A run's streams, its output kept.
pub(crate) fn io() -> (RunIo, Capture, Capture) {
    io_up_to(CAPTURED_BYTES_MAX)
}

/// A command's streams, at most so much of each kept.
pub(crate) fn io_up_to(bytes_max: usize) -> (RunIo, Capture, Capture) {
    let (stdout, stderr) = (Capture::new(bytes_max), Capture::new(bytes_max));
    let io = RunIo {
        stdin: Box::new(tokio::io::stdin()),
        stdout: Box::new(stdout.clone()),
        stderr: Box::new(stderr.clone()),
        interrupts: signals::none(),
        sizes: tokio::sync::mpsc::channel(1).1,
    };
    (io, stdout, stderr)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    #[test]
    fn what_does_not_fit_is_counted() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let capture = Capture::new(CAPTURED_BYTES_MAX);
        let mut writer = capture.clone();
        runtime.block_on(async {
            writer.write_all(&vec![b'x'; CAPTURED_BYTES_MAX]).await.unwrap();
            writer.write_all(b"more").await.unwrap();
        });
        let captured = capture.take();
        assert_eq!(captured.bytes.len(), CAPTURED_BYTES_MAX);
        assert_eq!(captured.total_bytes, CAPTURED_BYTES_MAX as u64 + 4);
        assert!(captured.is_truncated());
    }
}
