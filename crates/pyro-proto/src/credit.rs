//! Per-stream flow control: a sender spends credit, a receiver grants it back as its reader consumes.
//! This file must not buffer data; it only counts.

use crate::limits::CREDIT_BYTES_MAX;
use crate::limits::INITIAL_CREDIT_BYTES;

/// What this side may still send on one stream.
#[derive(Debug)]
pub struct SendWindow {
    bytes: u32,
}

/// The peer broke the credit rules of one stream: reset the stream, keep the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreditError {
    /// More credit was granted than a stream may hold.
    #[error("the peer granted more than {CREDIT_BYTES_MAX} bytes of credit")]
    TooMuchGranted,
    /// More data came than was granted.
    #[error("the peer sent more data than it had credit for")]
    Overrun,
}

impl Default for SendWindow {
    fn default() -> Self {
        Self { bytes: INITIAL_CREDIT_BYTES }
    }
}

impl SendWindow {
    /// A window that begins with so much.
    pub const fn of(bytes: u32) -> Self {
        Self { bytes }
    }

    /// Bytes that may be sent now.
    pub const fn available(&self) -> usize {
        self.bytes as usize
    }

    /// Records that `bytes` were sent; never more than [`Self::available`].
    pub fn spend(&mut self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        debug_assert!(bytes <= self.bytes, "a sender never spends credit it does not have");
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Records that the peer granted `bytes` more.
    ///
    /// # Errors
    /// [`CreditError::TooMuchGranted`] beyond [`CREDIT_BYTES_MAX`].
    pub fn grant(&mut self, bytes: u32) -> Result<(), CreditError> {
        let total = self.bytes.checked_add(bytes).filter(|total| *total <= CREDIT_BYTES_MAX);
        self.bytes = total.ok_or(CreditError::TooMuchGranted)?;
        Ok(())
    }
}

/// What the peer may still send to this side on one stream.
#[derive(Debug)]
pub struct ReceiveWindow {
    size: u32,
    outstanding: u32,
    consumed: u32,
}

impl Default for ReceiveWindow {
    fn default() -> Self {
        Self::of(INITIAL_CREDIT_BYTES)
    }
}

impl ReceiveWindow {
    /// A window of so much.
    pub const fn of(bytes: u32) -> Self {
        Self { size: bytes, outstanding: bytes, consumed: 0 }
    }

    /// How much the peer may have under way.
    pub const fn size(&self) -> u32 {
        self.size
    }

    /// Makes the window larger; returns the credit to grant for it. Never beyond [`CREDIT_BYTES_MAX`].
    pub fn widen(&mut self, bytes: u32) -> u32 {
        let more = bytes.min(CREDIT_BYTES_MAX.saturating_sub(self.size));
        self.size += more;
        self.outstanding = self.outstanding.saturating_add(more);
        more
    }

    /// Records that `bytes` of data arrived.
    ///
    /// # Errors
    /// [`CreditError::Overrun`] when the peer had no credit for them.
    pub fn receive(&mut self, bytes: usize) -> Result<(), CreditError> {
        let bytes = u32::try_from(bytes).map_err(|_| CreditError::Overrun)?;
        self.outstanding = self.outstanding.checked_sub(bytes).ok_or(CreditError::Overrun)?;
        Ok(())
    }

    /// Records that the reader consumed `bytes`; returns the credit to grant now, if it is worth a frame.
    pub fn consume(&mut self, bytes: usize) -> Option<u32> {
        self.consumed = self.consumed.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        if self.consumed < self.size / 2 {
            return None;
        }
        let grant = std::mem::take(&mut self.consumed);
        self.outstanding = self.outstanding.saturating_add(grant);
        Some(grant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever the sizes, a sender that obeys its window never overruns the receiver's, and never starves.
        #[test]
        fn the_two_windows_agree(sizes in prop::collection::vec(1usize..100_000, 1..200)) {
            let (mut send, mut receive) = (SendWindow::default(), ReceiveWindow::default());
            let mut unread = 0usize;
            for size in sizes {
                let now = size.min(send.available());
                send.spend(now);
                prop_assert!(receive.receive(now).is_ok());
                unread += now;
                if send.available() == 0 {
                    if let Some(grant) = receive.consume(unread) {
                        prop_assert!(send.grant(grant).is_ok());
                    }
                    unread = 0;
                    prop_assert!(send.available() > 0);
                }
            }
        }
    }

    #[test]
    fn a_window_that_grew_is_granted_in_larger_parts() {
        let (mut send, mut receive) = (SendWindow::of(100), ReceiveWindow::of(100));
        send.spend(100);
        receive.receive(100).unwrap();
        assert_eq!(receive.consume(49), None);
        assert_eq!(receive.consume(1), Some(50));
        send.grant(50 + receive.widen(300)).unwrap();
        assert_eq!((receive.size(), send.available()), (400, 350));
        send.spend(350);
        receive.receive(350).unwrap();
        assert_eq!(receive.consume(199), None);
        assert_eq!(receive.consume(1), Some(200));
        assert_eq!(receive.widen(u32::MAX), CREDIT_BYTES_MAX - 400);
    }

    #[test]
    fn overrun_and_overgrant_are_errors() {
        let mut receive = ReceiveWindow::default();
        assert_eq!(receive.receive(INITIAL_CREDIT_BYTES as usize + 1), Err(CreditError::Overrun));
        let mut send = SendWindow::default();
        assert_eq!(send.grant(CREDIT_BYTES_MAX), Err(CreditError::TooMuchGranted));
        assert_eq!(send.grant(u32::MAX), Err(CreditError::TooMuchGranted));
    }
}
