//! Input on its way from a client to what runs in the guest: a bounded queue with a task of its own, so that a program that
//! does not read holds up nothing but its input. This file must not look at the bytes.

use crate::guest::StreamWriter;
use tokio::sync::mpsc;

/// Input on its way.
pub(super) struct Feed {
    queue: Option<mpsc::Sender<Vec<u8>>>,
    waiting: Option<Vec<u8>>,
}

impl Feed {
    /// Begins to feed `writer`; without one everything is dropped.
    pub(super) fn new(writer: Option<StreamWriter>, depth: usize) -> Self {
        let queue = writer.map(|writer| {
            let (sender, receiver) = mpsc::channel(depth);
            tokio::spawn(write(writer, receiver));
            sender
        });
        Self { queue, waiting: None }
    }

    /// Whether nothing more can be taken for now.
    pub(super) const fn is_full(&self) -> bool {
        self.waiting.is_some()
    }

    /// Takes the next bytes; only when it is not full.
    pub(super) fn push(&mut self, bytes: Vec<u8>) {
        let Some(queue) = &self.queue else { return };
        match queue.try_send(bytes) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(bytes)) => self.waiting = Some(bytes),
            // It reads no more.
            Err(mpsc::error::TrySendError::Closed(_)) => self.queue = None,
        }
    }

    /// Waits until it is not full any more.
    pub(super) async fn make_room(&mut self) {
        let Some(queue) = &self.queue else {
            self.waiting = None;
            return;
        };
        match queue.reserve().await {
            Ok(room) => {
                if let Some(bytes) = self.waiting.take() {
                    room.send(bytes);
                }
            }
            Err(_) => self.waiting = None,
        }
    }

    /// There will be no more.
    pub(super) fn end(&mut self) {
        self.queue = None;
    }
}

async fn write(mut writer: StreamWriter, mut queue: mpsc::Receiver<Vec<u8>>) {
    while let Some(bytes) = queue.recv().await {
        if writer.write_all(&bytes).await.is_err() {
            return;
        }
    }
    let _ = writer.finish().await;
}
