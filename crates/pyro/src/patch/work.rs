//! What applying one patch may cost, whatever the patch and the files are. This file must not know what is paid for.

use super::limits::COMPARISONS_MAX;

/// Bytes that cost as much as one line that is looked at.
const BYTES_PER_UNIT: usize = 64;

/// The effort that is left for a whole patch, also for finding out whether it is applied already.
pub(super) struct Work(u64);

impl Work {
    pub(super) const fn new() -> Self {
        Self::of(COMPARISONS_MAX)
    }

    pub(super) const fn of(units: u64) -> Self {
        Self(units)
    }

    /// Pays for looking at some lines with so many bytes together; `None` when too little is left, and then nothing ever is.
    pub(super) fn spend(&mut self, lines: usize, bytes: usize) -> Option<()> {
        let units = lines.saturating_add(bytes / BYTES_PER_UNIT);
        let left = self.0.checked_sub(u64::try_from(units).unwrap_or(u64::MAX));
        self.0 = left.unwrap_or(0);
        left.map(drop)
    }
}
