//! Waiting for output: until a pattern matches, until there is silence. The kernel and the guest wake it; nothing is polled.
//! This file must not send output to anybody.

use super::kept::Kept;
use crate::workspace::shell::Pattern;
use std::time::Duration;
use tokio::time::Instant;
use tokio::time::timeout_at;

/// Longest match, in bytes: so much is searched again when more has come.
const MATCH_BYTES_MAX: u64 = 64 << 10;

/// Bytes searched at once.
const SEARCHED_BYTES_MAX: usize = 1 << 20;

/// How waiting went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Waited {
    /// The cursor behind the match.
    pub(super) matched: Option<u64>,
    /// The time was up.
    pub(super) timed_out: bool,
}

/// Waits for a match behind `cursor`, then for silence, each if wanted, and for neither longer than until `deadline` or the end of
/// the output.
pub(super) async fn wait(
    kept: &Kept,
    cursor: u64,
    pattern: Option<&Pattern>,
    idle: Option<Duration>,
    deadline: Instant,
) -> Waited {
    let mut waited = Waited::default();
    if let Some(pattern) = pattern {
        match timeout_at(deadline, find(kept, cursor, pattern)).await {
            Ok(matched) => waited.matched = matched,
            Err(_) => waited.timed_out = true,
        }
    }
    if let Some(idle) = idle.filter(|_| !waited.timed_out) {
        waited.timed_out = timeout_at(deadline, silence(kept, idle)).await.is_err();
    }
    waited
}

/// Waits until nothing was printed for so long, or never will be.
async fn silence(kept: &Kept, idle: Duration) {
    let mut extents = kept.watch();
    while !extents.borrow_and_update().ended {
        if tokio::time::timeout(idle, extents.changed()).await.is_err() {
            return;
        }
    }
}

/// The cursor behind the first match; `None` when the output ends without one.
async fn find(kept: &Kept, cursor: u64, pattern: &Pattern) -> Option<u64> {
    let mut extents = kept.watch();
    let mut search = Search { kept, pattern, begin: cursor, from: cursor, seen: cursor };
    loop {
        let extent = *extents.borrow_and_update();
        while search.seen < extent.total {
            if let Some(end) = search.step() {
                return Some(end);
            }
            tokio::task::yield_now().await;
        }
        if extent.ended {
            return None;
        }
        // The sender is the output's own.
        let _ = extents.changed().await;
    }
}

/// How far an output has been searched.
struct Search<'a> {
    kept: &'a Kept,
    pattern: &'a Pattern,
    /// Where matches may begin.
    begin: u64,
    /// Where the next search begins.
    from: u64,
    /// Everything before was searched.
    seen: u64,
}

impl Search<'_> {
    /// Searches the next piece, and what lies before it as far as a match can reach back.
    fn step(&mut self) -> Option<u64> {
        // One byte more than is searched, for what an expression says of the place before.
        let context = u64::from(self.from > self.begin);
        let piece = self.kept.read(self.from - context, SEARCHED_BYTES_MAX);
        let start = usize::try_from(self.from.max(piece.from) - piece.from).unwrap_or(usize::MAX);
        let end = piece.from + piece.bytes.len() as u64;
        if let Some(found) = self.pattern.end_of_match(&piece.bytes, start.min(piece.bytes.len())) {
            return Some(piece.from + found as u64);
        }
        self.seen = end.max(self.seen + 1);
        self.from = end.saturating_sub(MATCH_BYTES_MAX).max(self.from).max(piece.from);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(work)
    }

    fn kept() -> (tempfile::TempDir, Kept) {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::new(folder.path().to_owned());
        (folder, kept)
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[test]
    fn a_match_is_found_wherever_the_pieces_were_cut() {
        run(async {
            let (_folder, kept) = kept();
            let pattern = Pattern::new("DONE=([0-9]+)\n").unwrap();
            kept.push(b"DONE=1\n...DO");
            let waiting = async { wait(&kept, 3, Some(&pattern), None, soon()).await };
            let printing = async {
                for piece in [&b"NE="[..], b"42", b"\nmore"] {
                    tokio::task::yield_now().await;
                    kept.push(piece);
                }
            };
            let (waited, ()) = tokio::join!(waiting, printing);
            assert_eq!(waited, Waited { matched: Some(18), timed_out: false });
            assert_eq!(wait(&kept, 0, Some(&pattern), None, soon()).await.matched, Some(7));
        });
    }

    #[test]
    fn the_time_is_up_or_the_output_ends() {
        run(async {
            let (_folder, kept) = kept();
            let pattern = Pattern::new("never").unwrap();
            kept.push(b"x");
            assert_eq!(
                wait(&kept, 0, Some(&pattern), None, soon()).await,
                Waited { matched: None, timed_out: true }
            );
            kept.end();
            assert_eq!(wait(&kept, 0, Some(&pattern), None, soon()).await, Waited::default());
        });
    }

    #[test]
    fn much_output_is_searched_once_and_anchors_mean_the_cursor() {
        run(async {
            let (_folder, kept) = kept();
            for _ in 0..100 {
                kept.push(&vec![b'a'; 100_000]);
            }
            kept.push(b"the end");
            let end = kept.extent().total;
            let found = |text: &'static str, cursor| {
                let kept = &kept;
                async move { wait(kept, cursor, Some(&Pattern::new(text).unwrap()), None, soon()).await.matched }
            };
            assert_eq!(found("the end$", 0).await, Some(end));
            assert_eq!(found("^aaa", 0).await, Some(3));
            assert_eq!(found("^the", end - 7).await, Some(end - 4));
            assert_eq!(found(r"\bend", 0).await, Some(end));
            // A later window is not the beginning.
            assert_eq!(found("^a{5}the", 0).await, None);
            assert_eq!(found(r"^(?s:.){0}the", 0).await, None);
        });
    }

    #[test]
    fn silence_is_measured_from_the_last_output() {
        run(async {
            let (_folder, kept) = kept();
            let began = Instant::now();
            let waiting = async {
                let waited = wait(&kept, 0, None, Some(Duration::from_millis(300)), soon()).await;
                (waited, began.elapsed())
            };
            let printing = async {
                for _ in 0..4 {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    kept.push(b".");
                }
            };
            let ((waited, took), ()) = tokio::join!(waiting, printing);
            assert_eq!((waited, took.as_millis()), (Waited::default(), 1100));
            let noise = async {
                loop {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    kept.push(b".");
                }
            };
            let waited = tokio::select! {
                waited = wait(&kept, 0, None, Some(Duration::from_millis(300)), soon()) => waited,
                () = noise => Waited::default(),
            };
            assert!(waited.timed_out);
        });
    }
}
