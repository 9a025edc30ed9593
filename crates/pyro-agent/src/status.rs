//! How the guest is doing, read from its kernel when the host asks. This file must not keep anything.

use pyro_proto::status::GuestStatus;
use std::fs::File;
use std::io::Read as _;

/// The folders on the file system that the guest's own writes go to; the first that is there counts.
const DISK: [&str; 2] = ["/workspace", "/"];

/// What of `/proc/meminfo` is looked at: its first lines.
const MEMINFO_BYTES_MAX: u64 = 4096;

/// Looks now. What cannot be read is 0.
pub(crate) fn now(jobs: u32) -> GuestStatus {
    let disk = DISK.iter().find_map(|folder| rustix::fs::statvfs(*folder).ok());
    let (total, free) =
        disk.map_or((0, 0), |disk| (disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize));
    let memory = memory_info();
    GuestStatus {
        disk_total_bytes: total,
        disk_free_bytes: free,
        mem_total_kib: field(&memory, "MemTotal:"),
        mem_available_kib: field(&memory, "MemAvailable:"),
        jobs,
    }
}

fn memory_info() -> String {
    let mut text = String::new();
    if let Ok(file) = File::open("/proc/meminfo") {
        let _ = file.take(MEMINFO_BYTES_MAX).read_to_string(&mut text);
    }
    text
}

/// The number after a name, in KiB.
fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_is_found() {
        let text = "MemTotal:        1015808 kB\nMemFree:  1 kB\nMemAvailable:     900000 kB\n";
        assert_eq!((field(text, "MemTotal:"), field(text, "MemAvailable:")), (1_015_808, 900_000));
        assert_eq!(field("garbage", "MemTotal:"), 0);
        let status = now(3);
        assert!(status.disk_total_bytes > 0 && status.mem_total_kib >= status.mem_available_kib);
        assert_eq!(status.jobs, 3);
    }
}
