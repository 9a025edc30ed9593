//! How long to wait before a service that failed is started again. This file must not wait.

use std::time::Duration;

/// The first pause.
const FIRST: Duration = Duration::from_millis(500);

/// The longest.
const MOST: Duration = Duration::from_secs(30);

/// A service that was ready for as long as this begins again with the first pause.
const HEALTHY_WHILE: Duration = Duration::from_secs(60);

/// Pauses that double.
#[derive(Debug)]
pub(in crate::workspace) struct Backoff {
    next: Duration,
}

impl Backoff {
    /// Before the first failure.
    pub(in crate::workspace) const fn new() -> Self {
        Self { next: FIRST }
    }

    /// The pause after a failure; the service had been ready for so long.
    pub(in crate::workspace) fn pause(&mut self, ready_for: Duration) -> Duration {
        if ready_for >= HEALTHY_WHILE {
            self.next = FIRST;
        }
        let pause = self.next;
        self.next = (pause * 2).min(MOST);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_begin_again_after_a_healthy_while() {
        let mut backoff = Backoff::new();
        let pauses: Vec<u128> = (0..8).map(|_| backoff.pause(Duration::from_secs(59)).as_millis()).collect();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
        assert_eq!(backoff.pause(HEALTHY_WHILE), FIRST);
        assert_eq!(backoff.pause(Duration::ZERO), FIRST * 2);
    }
}
