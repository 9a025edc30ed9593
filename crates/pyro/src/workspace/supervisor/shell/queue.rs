//! Input on its way to a shell's program, from all who write to it: bounded, and taken whole or not at all. A program that
//! does not read holds up nothing but its input. This file must not look at the bytes.

use crate::guest::StreamWriter;
use crate::workspace::shell::INPUT_BYTES_MAX;
use tokio::sync::mpsc;
use tokio::sync::watch;

/// Input on its way.
#[derive(Debug)]
pub(super) struct Queue {
    chunks: mpsc::UnboundedSender<Vec<u8>>,
    /// Bytes that were taken and not yet handed over.
    waiting: watch::Sender<usize>,
}

/// The end from which a program is fed.
#[derive(Debug)]
pub(super) struct Outlet {
    chunks: mpsc::UnboundedReceiver<Vec<u8>>,
    waiting: watch::Sender<usize>,
}

/// Why input was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// So many bytes wait already.
    Full(usize),
    /// Nobody will ever read it.
    Ended,
}

impl Queue {
    pub(super) fn new() -> (Self, Outlet) {
        let (sender, chunks) = mpsc::unbounded_channel();
        let waiting = watch::channel(0).0;
        (Self { chunks: sender, waiting: waiting.clone() }, Outlet { chunks, waiting })
    }

    /// Takes all of it now, or nothing.
    pub(super) fn push(&self, bytes: Vec<u8>) -> Result<(), Refused> {
        let taken = self.waiting.send_if_modified(|waiting| {
            let room = bytes.len() <= INPUT_BYTES_MAX - *waiting;
            *waiting += if room { bytes.len() } else { 0 };
            room
        });
        if !taken {
            return Err(if self.chunks.is_closed() {
                Refused::Ended
            } else {
                Refused::Full(*self.waiting.borrow())
            });
        }
        self.chunks.send(bytes).map_err(|_| Refused::Ended)
    }

    /// Waits until there is room for so much, or nobody reads any more.
    pub(super) async fn room_for(&self, bytes: usize) {
        let mut waiting = self.waiting.subscribe();
        tokio::select! {
            _ = waiting.wait_for(|waiting| bytes <= INPUT_BYTES_MAX - *waiting) => {}
            () = self.chunks.closed() => {}
        }
    }
}

impl Outlet {
    /// Feeds a program until it reads no more.
    pub(super) async fn feed(mut self, mut writer: StreamWriter) {
        while let Some(bytes) = self.next().await {
            if writer.write_all(&bytes).await.is_err() {
                return;
            }
            self.done(bytes.len());
        }
    }

    async fn next(&mut self) -> Option<Vec<u8>> {
        self.chunks.recv().await
    }

    fn done(&self, bytes: usize) {
        self.waiting.send_modify(|waiting| *waiting -= bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_is_bounded_and_taken_whole_or_not_at_all() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (queue, mut outlet) = Queue::new();
            queue.push(vec![1; INPUT_BYTES_MAX - 10]).unwrap();
            assert_eq!(queue.push(vec![2; 11]), Err(Refused::Full(INPUT_BYTES_MAX - 10)));
            queue.push(vec![3; 10]).unwrap();
            assert_eq!(queue.push(vec![4]), Err(Refused::Full(INPUT_BYTES_MAX)));
            let first = outlet.next().await.unwrap();
            let room = queue.room_for(1);
            tokio::pin!(room);
            assert!(futures_is_pending(room.as_mut()).await);
            outlet.done(first.len());
            room.await;
            queue.push(vec![5; 11]).unwrap();
            assert_eq!(outlet.next().await.unwrap(), [3; 10]);
            drop(outlet);
            queue.room_for(INPUT_BYTES_MAX).await;
            assert_eq!(queue.push(vec![6]), Err(Refused::Ended));
            assert_eq!(queue.push(vec![6; INPUT_BYTES_MAX]), Err(Refused::Ended));
        });
    }

    /// Whether a future is still waiting when it has had a turn.
    async fn futures_is_pending(mut future: std::pin::Pin<&mut impl Future<Output = ()>>) -> bool {
        std::future::poll_fn(|context| std::task::Poll::Ready(future.as_mut().poll(context).is_pending()))
            .await
    }
}
