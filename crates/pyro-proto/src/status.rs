//! How a guest is doing: room on its disk, memory, jobs. This file must not measure anything.

use serde::Deserialize;
use serde::Serialize;

/// How a guest is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestStatus {
    /// Size of the file system that the guest's own writes go to, in bytes.
    pub disk_total_bytes: u64,
    /// What of it an ordinary write may still take.
    pub disk_free_bytes: u64,
    /// Memory of the guest in KiB.
    pub mem_total_kib: u64,
    /// What of it is free, or would be given back on demand.
    pub mem_available_kib: u64,
    /// Commands, shells and services that run.
    pub jobs: u32,
}

impl GuestStatus {
    /// Less than this is as good as nothing: a file of any size no longer fits.
    const DISK_FULL_BYTES: u64 = 1024 * 1024;

    /// Whether the guest's disk is full.
    pub const fn disk_full(&self) -> bool {
        self.disk_free_bytes < Self::DISK_FULL_BYTES
    }
}
