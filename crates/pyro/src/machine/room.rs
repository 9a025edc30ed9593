//! Letting a guest go on that stands still because the host had no room for what it writes. This file must not decide what is
//! told of it.

use pyro_engine::Stall;
use std::path::Path;
use std::time::Duration;

/// How often the file system is asked for its free space. The kernel tells nobody when there is some again.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Free space with which a guest is let go on, in bytes. With less it would stand still again at once.
const ROOM_BYTES: u64 = 16 << 20;

/// After so many looks it is let go on however little is free: not every limit is one of the file system.
const LOOKS_MAX: u32 = 30;

/// Has a guest go on whenever there is room for what it writes on the file system of `folder`. `told` hears when it begins
/// to stand still, and when it goes on. Never returns.
pub(crate) async fn keep_going(stall: &Stall, folder: &Path, told: impl FnMut(bool)) {
    keep_going_with(stall, || free_bytes(folder), told).await;
}

async fn keep_going_with(stall: &Stall, free_bytes: impl Fn() -> u64, mut told: impl FnMut(bool)) {
    loop {
        stall.until(true).await;
        told(true);
        let mut looks = 0;
        loop {
            tokio::select! {
                () = stall.until(false) => break,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            looks += 1;
            if free_bytes() >= ROOM_BYTES || looks % LOOKS_MAX == 0 {
                stall.try_again();
            }
        }
        told(false);
    }
}

/// What others than root may still write; all there is where nobody can say.
fn free_bytes(folder: &Path) -> u64 {
    rustix::fs::statvfs(folder).map_or(u64::MAX, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;
    use std::sync::atomic::Ordering;
    use tokio::sync::mpsc;

    #[tokio::test(start_paused = true)]
    async fn a_guest_goes_on_when_there_is_room() {
        let (set, again, stall) = Stall::scripted();
        let free = AtomicU64::new(ROOM_BYTES - 1);
        let (said, mut heard) = mpsc::unbounded_channel();
        let keeping = keep_going_with(&stall, || free.load(Ordering::Relaxed), |now| said.send(now).unwrap());
        let story = async {
            set(true);
            assert_eq!(heard.recv().await, Some(true));
            let too_early = tokio::time::timeout(LOOK_EVERY * (LOOKS_MAX - 2), again.notified()).await;
            assert!(too_early.is_err(), "there was no room");
            free.store(ROOM_BYTES, Ordering::Relaxed);
            again.notified().await;
            set(false);
            assert_eq!(heard.recv().await, Some(false));
        };
        tokio::select! {
            () = story => {}
            () = keeping => unreachable!("it never ends"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_no_free_space_shows_is_tried_all_the_same() {
        let (set, again, stall) = Stall::scripted();
        set(true);
        let keeping = keep_going_with(&stall, || 0, |_| {});
        tokio::select! {
            () = again.notified() => {}
            () = keeping => unreachable!("it never ends"),
        }
    }
}
