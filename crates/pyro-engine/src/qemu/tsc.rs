//! The frequency of the host's time stamp counter, which a guest under emulation reads but cannot measure: its attempts
//! race with the translation of its own code and can hang it in early boot. This file must not do anything else.
#![expect(unsafe_code, reason = "reading the time stamp counter is an intrinsic")]

use std::time::Duration;
use std::time::Instant;

/// How long the counter is watched; two clock readings are then off by less than a hundred-thousandth.
const WATCHED_FOR: Duration = Duration::from_millis(5);

/// Ticks per millisecond, measured against the monotonic clock.
pub(super) fn khz() -> u64 {
    let (start, ticks_at_start) = (Instant::now(), ticks());
    let elapsed = loop {
        let elapsed = start.elapsed();
        if elapsed >= WATCHED_FOR {
            break elapsed;
        }
        std::hint::spin_loop();
    };
    let ticks = u128::from(ticks().wrapping_sub(ticks_at_start));
    u64::try_from(ticks * 1_000_000 / elapsed.as_nanos().max(1)).unwrap_or(u64::MAX)
}

fn ticks() -> u64 {
    // SAFETY: every x86-64 processor has the instruction, and it only reads a counter.
    unsafe { core::arch::x86_64::_rdtsc() }
}
