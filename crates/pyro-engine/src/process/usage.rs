//! What a process uses, from its folder in /proc. This file must not keep anything.

use crate::engine::Usage;
use std::fs;
use std::io;

/// Reads what the process `pid` uses now.
pub(crate) fn read(pid: u32) -> io::Result<Usage> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let malformed = || io::Error::from(io::ErrorKind::InvalidData);
    let (rss_kib, pss_kib) = memory(&rollup).ok_or_else(malformed)?;
    let ticks = cpu_ticks(&stat).ok_or_else(malformed)?;
    let cpu_ms = ticks.saturating_mul(1000) / rustix::param::clock_ticks_per_second().max(1);
    Ok(Usage { rss_kib, pss_kib, cpu_ms })
}

/// Resident and proportional KiB.
fn memory(rollup: &str) -> Option<(u64, u64)> {
    let field = |name: &str| {
        rollup.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
    };
    Some((field("Rss:")?, field("Pss:")?))
}

/// User and system time in clock ticks: the 14th and 15th fields, counted from behind the name, which may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut times = behind_name.split_whitespace().skip(11).map(str::parse::<u64>);
    Some(times.next()?.ok()?.saturating_add(times.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_process_name_does_not_shift_the_fields() {
        let stat = "7 (a) b) 1) S 1 7 7 0 -1 4194560 100 0 0 0 41 2 0 0 20 0 1 0 100 1 1";
        assert_eq!(cpu_ticks(stat), Some(43));
    }

    #[test]
    fn this_process_uses_something() {
        let usage = read(std::process::id()).unwrap();
        assert!(usage.rss_kib >= usage.pss_kib && usage.pss_kib > 0);
    }
}
