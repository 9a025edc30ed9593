//! The event loop, on which the library's operations go on. This file must not know any of them.

use std::pin::Pin;
use std::pin::pin;
use tokio::runtime::Builder;
use tokio::runtime::Runtime;

/// Threads of a server. What a call does on the host, such as reading a disk, may keep one busy for a while.
const SERVING_THREADS: usize = 4;

pub(crate) struct EventLoop(Runtime);

impl EventLoop {
    /// It runs on the calling thread, which must be the process's first: guests die with the thread that started them.
    pub(crate) fn new() -> std::io::Result<Self> {
        Builder::new_current_thread().enable_all().build().map(Self)
    }

    /// That of a server, whose work must not wait for each other's: several threads, which live as long as it does.
    pub(crate) fn serving() -> std::io::Result<Self> {
        Builder::new_multi_thread().worker_threads(SERVING_THREADS).enable_all().build().map(Self)
    }

    /// Waits for work to be done.
    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        let mut result = None;
        self.drive(pin!(async { result = Some(work.await) }));
        match result {
            Some(result) => result,
            None => unreachable!("work that was driven to its end has a result"),
        }
    }

    /// The loop is long, and this is the only work for which it is compiled.
    fn drive(&self, work: Pin<&mut dyn Future<Output = ()>>) {
        self.0.block_on(work);
    }

    /// Ends without those that may wait on other threads for what will not come, such as input.
    pub(crate) fn leave(self) {
        self.0.shutdown_background();
    }
}
