//! How far a long piece of work on the host's files has come, for whoever waits for it. This file must not draw anything.

use std::sync::Arc;

/// Told how many bytes are done, and of how many if that is known. Called on any thread, often; must return quickly.
pub type Advance = Arc<dyn Fn(u64, Option<u64>) + Send + Sync>;

/// Work whose size is known.
pub(super) struct Counted {
    done: u64,
    total: u64,
    told: Advance,
}

impl Counted {
    pub(super) const fn new(total: u64, told: Advance) -> Self {
        Self { done: 0, total, told }
    }

    /// So many bytes more are done.
    pub(super) fn add(&mut self, bytes: u64) {
        self.done += bytes;
        (self.told)(self.done, Some(self.total));
    }
}
