//! Whether there is room, on disk and in memory. This file must not make any.

use crate::error::At;
use crate::error::ImageError;
use std::path::Path;

const MIB: u64 = 1 << 20;

/// Free space for this user at `path`, in MiB.
pub(crate) fn free_mib(path: &Path) -> Result<u64, ImageError> {
    let stat = rustix::fs::statvfs(path).at("examining", path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize) / MIB)
}

/// Fails unless `needed_mib` are free at `path`.
pub(crate) fn require(path: &Path, needed_mib: u64) -> Result<(), ImageError> {
    let free_mib = free_mib(path)?;
    if free_mib >= needed_mib {
        return Ok(());
    }
    Err(ImageError::DiskFull {
        path: path.to_owned(),
        needed_mib: Some(needed_mib),
        free_mib: Some(free_mib),
    })
}

/// Memory that can be had without pushing anything out, in MiB: the machine's, or what this process's control group leaves of
/// it. `None` where the kernel does not tell.
pub(crate) fn memory_mib() -> Option<u64> {
    let machine_kib = number_after(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")?;
    let machine_mib = machine_kib / 1024;
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    Some(
        groups
            .lines()
            .filter_map(|line| group_room_mib(Path::new("/sys/fs/cgroup"), line))
            .fold(machine_mib, u64::min),
    )
}

/// What one line of `/proc/self/cgroup` leaves: version 2, or version 1's memory controller.
fn group_room_mib(root: &Path, line: &str) -> Option<u64> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (controllers, path) = (fields.next()?, fields.next()?.trim_start_matches('/'));
    let (base, limit, used) = match controllers {
        "" => (root.to_owned(), "memory.max", "memory.current"),
        _ if controllers.split(',').any(|c| c == "memory") => {
            (root.join("memory"), "memory.limit_in_bytes", "memory.usage_in_bytes")
        }
        _ => return None,
    };
    // Inside a container the path may be that of the host's tree; its own group is then the top.
    let dir = [base.join(path), base.clone()].into_iter().find(|dir| dir.join(limit).is_file())?;
    let read =
        |dir: &Path, file: &str| std::fs::read_to_string(dir.join(file)).ok()?.trim().parse::<u64>().ok();
    // A group is held to the limits of all above it too.
    let groups = dir.ancestors().take_while(|dir| dir.starts_with(&base));
    groups.filter_map(|dir| Some(read(dir, limit)?.saturating_sub(read(dir, used).unwrap_or(0)) / MIB)).min()
}

fn number_after(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_disk_has_is_refused_with_figures() {
        let dir = tempfile::tempdir().unwrap();
        let error = require(dir.path(), 1 << 40).unwrap_err();
        assert_eq!(error.code(), "disk_full");
        assert!(error.to_string().contains("1099511627776 MiB needed"), "{error}");
        assert!(require(dir.path(), 0).is_ok());
    }

    #[test]
    fn a_control_group_s_limit_counts() {
        let dir = tempfile::tempdir().unwrap();
        let group = dir.path().join("a/b");
        std::fs::create_dir_all(&group).unwrap();
        std::fs::write(group.join("memory.max"), "1073741824\n").unwrap();
        std::fs::write(group.join("memory.current"), "536870912\n").unwrap();
        assert_eq!(group_room_mib(dir.path(), "0::/a/b"), Some(512));
        std::fs::write(group.join("memory.max"), "max\n").unwrap();
        assert_eq!(group_room_mib(dir.path(), "0::/a/b"), None);
        std::fs::write(dir.path().join("a/memory.max"), "3145728\n").unwrap();
        assert_eq!(group_room_mib(dir.path(), "0::/a/b"), Some(3));
        assert_eq!(group_room_mib(dir.path(), "3:cpu:/a/b"), None);
        let one = dir.path().join("memory");
        std::fs::create_dir_all(&one).unwrap();
        std::fs::write(one.join("memory.limit_in_bytes"), "2097152").unwrap();
        assert_eq!(group_room_mib(dir.path(), "9:memory:/not/here"), Some(2));
        assert!(memory_mib().is_some_and(|mib| mib > 0));
    }
}
