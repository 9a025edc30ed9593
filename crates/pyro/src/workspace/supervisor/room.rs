//! A guest that stands still because the host's disk is full: who is told of it, and who does not wait for it. This file must
//! not decide when it goes on.
//!
//! What runs in the guest waits with it and goes on with it. What is asked of it meanwhile is refused, and so is what was asked
//! shortly before and has no answer yet: whoever asked may ask again.

use super::Supervisor;
use crate::machine::keep_going;
use crate::workspace::document::UnixSeconds;
use crate::workspace::error::WorkspaceError;
use crate::workspace::event;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

impl Supervisor {
    /// Lets the guest go on whenever there is room again, and notes how it is. Never returns.
    pub(super) async fn watch_room(&self) {
        let mut stalls = self.stall.subscribe();
        loop {
            let stall = stalls.borrow_and_update().clone();
            tokio::select! {
                () = keep_going(&stall, self.folder.path(), |blocked| self.note_blocked(blocked)) => {}
                changed = stalls.changed() => {
                    // A reset: the guest that stood still is gone.
                    self.note_blocked(false);
                    if changed.is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn note_blocked(&self, blocked: bool) {
        let changed = self.blocked.send_if_modified(|since| {
            let changed = since.is_some() != blocked;
            if changed {
                *since = blocked.then(UnixSeconds::now);
            }
            changed
        });
        if changed {
            let kind = if blocked { "workspace_blocked" } else { "workspace_unblocked" };
            event::note(&self.config, self.folder.id(), kind, Some(crate::code::DISK_FULL.to_owned()));
        }
    }

    /// Since when the guest stands still.
    pub(super) fn blocked_since(&self) -> Option<UnixSeconds> {
        *self.blocked.borrow()
    }

    /// Waits for a guest that may stand still.
    ///
    /// # Errors
    /// It does, whatever the work is waiting for.
    pub(super) async fn unless_blocked<T>(
        &self,
        work: impl Future<Output = Result<T, WorkspaceError>>,
    ) -> Result<T, WorkspaceError> {
        let mut blocked = self.blocked.subscribe();
        tokio::select! {
            biased;
            done = work => done,
            // The sender is this supervisor's own.
            _ = blocked.wait_for(Option::is_some) => Err(self.no_room()),
        }
    }

    /// Waits for so long, of which the time does not count in which the guest stands still.
    pub(super) async fn sleep_while_it_runs(&self, time: Duration) {
        sleep_unless(self.blocked.subscribe(), time).await;
    }

    /// Refuses what cannot be given up half-way while the guest stands still.
    pub(super) fn check_room(&self) -> Result<(), WorkspaceError> {
        if self.blocked_since().is_some() { Err(self.no_room()) } else { Ok(()) }
    }

    pub(super) fn no_room(&self) -> WorkspaceError {
        WorkspaceError::NoRoom { workspace: self.id(), folder: self.folder.path().to_owned() }
    }
}

/// Waits for so long, of which the time does not count in which something is there.
async fn sleep_unless<T>(mut there: watch::Receiver<Option<T>>, mut time: Duration) {
    loop {
        // A sender that is gone changes nothing any more.
        let _ = there.wait_for(Option::is_none).await;
        let began = Instant::now();
        let since = async {
            if there.wait_for(Option::is_some).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = tokio::time::sleep(time) => return,
            () = since => time = time.saturating_sub(began.elapsed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_in_which_the_guest_stands_still_does_not_count() {
        const HOUR: Duration = Duration::from_secs(3600);
        let blocked = watch::channel(None).0;
        let began = Instant::now();
        let waited = tokio::spawn(sleep_unless(blocked.subscribe(), 3 * HOUR));
        tokio::time::sleep(HOUR).await;
        for _ in 0..2 {
            blocked.send_replace(Some(()));
            tokio::time::sleep(9 * HOUR).await;
            assert!(!waited.is_finished());
            blocked.send_replace(None);
            tokio::time::sleep(HOUR / 2).await;
        }
        waited.await.unwrap();
        assert_eq!(began.elapsed(), 21 * HOUR);
    }
}
