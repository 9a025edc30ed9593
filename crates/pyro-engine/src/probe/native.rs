//! The probe guest's counting loop on the host's own processor, for comparison.

use std::hint::black_box;
use std::time::Instant;

const ITERATIONS: u64 = 20_000_000;

/// Turns of the loop per second.
pub(super) fn iterations_per_s() -> u64 {
    let start = Instant::now();
    let mut cell = 0u64;
    let mut register = 1u64;
    for _ in 0..ITERATIONS {
        *black_box(&mut cell) = cell.wrapping_add(register);
        register = register.rotate_right(3) ^ *black_box(&cell);
    }
    black_box(register);
    let elapsed_ns = start.elapsed().as_nanos().max(1);
    u64::try_from(u128::from(ITERATIONS) * 1_000_000_000 / elapsed_ns).unwrap_or(u64::MAX)
}
