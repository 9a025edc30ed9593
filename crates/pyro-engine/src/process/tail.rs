//! The last of a byte stream that nobody may be reading: a guest can flood its console, so only the end is kept.
//! This file must not interpret the bytes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt as _;

/// Most bytes kept.
pub(crate) const TAIL_BYTES_MAX: usize = 64 * 1024;

/// Bytes of the end of an engine's own words that an error message quotes.
const QUOTE_BYTES_MAX: usize = 2048;

/// A handle on a bounded tail; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tail {
    kept: Arc<Mutex<VecDeque<u8>>>,
    /// Lets the tests wait for a guest's words instead of asking again and again.
    #[cfg(test)]
    grew: Arc<tokio::sync::Notify>,
}

impl Tail {
    pub(crate) fn push(&self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(TAIL_BYTES_MAX)..];
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let surplus = (kept.len() + bytes.len()).saturating_sub(TAIL_BYTES_MAX);
        kept.drain(..surplus);
        kept.extend(bytes);
        #[cfg(test)]
        self.grew.notify_waiters();
    }

    /// Waits until `found` finds what it looks for in the tail.
    #[cfg(test)]
    pub(crate) async fn wait_for<T>(&self, found: impl Fn(&[u8]) -> Option<T>) -> T {
        loop {
            let grew = self.grew.notified();
            if let Some(found) = found(&self.bytes()) {
                return found;
            }
            grew.await;
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    /// The end of it for an error message: on one line, printable, short.
    pub(crate) fn quote(&self) -> String {
        let bytes = self.bytes();
        let end = &bytes[bytes.len().saturating_sub(QUOTE_BYTES_MAX)..];
        let text = String::from_utf8_lossy(end);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        lines.collect::<Vec<_>>().join("; ").replace(|c: char| c.is_control(), "?")
    }

    /// Keeps the end of everything `source` gives, until it ends.
    pub(crate) async fn fill_from(self, mut source: impl AsyncRead + Unpin) {
        let mut buffer = [0; 4096];
        while let Ok(1..) = source.read(&mut buffer).await.inspect(|read| self.push(&buffer[..*read])) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_is_kept() {
        let tail = Tail::default();
        tail.push(&vec![b'a'; TAIL_BYTES_MAX]);
        tail.push(b"the end");
        assert_eq!(tail.bytes().len(), TAIL_BYTES_MAX);
        assert!(tail.bytes().ends_with(b"aathe end"));
        tail.push(&vec![b'b'; 3 * TAIL_BYTES_MAX]);
        assert_eq!(tail.bytes(), vec![b'b'; TAIL_BYTES_MAX]);
    }

    #[test]
    fn a_quote_is_one_printable_line() {
        let tail = Tail::default();
        tail.push(b"qemu: bad\x1b[31m\r\n\n  second \xff\n");
        assert_eq!(tail.quote(), "qemu: bad?[31m; second \u{fffd}");
    }
}
