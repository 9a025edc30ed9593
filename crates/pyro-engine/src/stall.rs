//! A guest that its engine holds, because the host has no room for what it writes: whoever has this is told, and may have the
//! engine try again. This file must not know how much room there is.
//!
//! ```text
//!   runs -- a write finds no room --> stalled: its processors stand still, the write is kept
//!    ^------- tried again, and there is room --------+
//! ```

use std::sync::Arc;
use tokio::sync::Notify;
use tokio::sync::watch;

/// How it is with one guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stalled {
    /// It stands still.
    pub(crate) now: bool,
    /// How often it has been told to stand still.
    pub(crate) times: u64,
}

/// One guest's, for as long as anybody wants to know.
#[derive(Clone, Debug)]
pub struct Stall {
    state: watch::Receiver<Stalled>,
    again: Arc<Notify>,
}

impl Stall {
    /// What an engine tells the state of, and hears the wish to try again from.
    pub(crate) const fn new(state: watch::Receiver<Stalled>, again: Arc<Notify>) -> Self {
        Self { state, again }
    }

    /// Of a guest that nothing holds.
    pub fn never() -> Self {
        Self::new(watch::channel(Stalled::default()).1, Arc::default())
    }

    /// One in the hand of a test: what is sent is how it is, and the other hears of each wish to try again.
    pub fn scripted() -> (impl Fn(bool) + Send + Sync, Arc<Notify>, Self) {
        let (sender, state) = watch::channel(Stalled::default());
        let again = Arc::<Notify>::default();
        let stall = Self::new(state, Arc::clone(&again));
        (move |now| sender.send_modify(|state| state.now = now), again, stall)
    }

    /// Whether the guest stands still.
    pub fn is_now(&self) -> bool {
        self.state.borrow().now
    }

    /// Waits until the guest stands still, or until it does not. Of a guest that is gone nothing is told any more.
    pub async fn until(&self, stalled: bool) {
        let mut state = self.state.clone();
        let told = state.wait_for(|state| state.now == stalled).await.is_ok();
        if !told {
            std::future::pending::<()>().await;
        }
    }

    /// Has the engine try again. Harms nothing when the guest runs.
    pub fn try_again(&self) {
        self.again.notify_one();
    }
}
