//! Opens a guest's disks in this process, so that QEMU is handed descriptors and needs no right to any path.

use super::machine::PassedDisk;
use crate::engine::EngineError;
use crate::process::Launch;
use crate::spec::Disk;
use crate::spec::DiskSource;
use rustix::fs::OFlags;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

/// Adds each disk's descriptor to what `launch` passes on.
pub(super) fn pass(disks: &[Disk], launch: &mut Launch) -> Result<Vec<PassedDisk>, EngineError> {
    disks.iter().enumerate().map(|(index, disk)| pass_one(index, disk, launch)).collect()
}

fn pass_one(index: usize, disk: &Disk, launch: &mut Launch) -> Result<PassedDisk, EngineError> {
    let file = match &disk.source {
        DiskSource::Path(path) => open(path, disk.read_only),
        DiskSource::File(file) => with_access(file, disk.read_only),
    };
    let path = || match &disk.source {
        DiskSource::Path(path) => path.clone(),
        DiskSource::File(_) => PathBuf::from(format!("disk {index}")),
    };
    let file = file.map_err(|source| EngineError::Host {
        operation: "opening a guest's disk",
        path: path(),
        source,
    })?;
    Ok(PassedDisk { fd: launch.pass(file.into()), read_only: disk.read_only, durability: disk.durability })
}

fn open(path: &std::path::Path, read_only: bool) -> io::Result<File> {
    OpenOptions::new().read(true).write(!read_only).open(path)
}

/// The same file with exactly the access QEMU will ask for: it takes no descriptor that allows more.
fn with_access(file: &File, read_only: bool) -> io::Result<File> {
    let wanted = if read_only { OFlags::RDONLY } else { OFlags::RDWR };
    if rustix::fs::fcntl_getfl(file)? & OFlags::RWMODE == wanted {
        return file.try_clone();
    }
    open(&PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())), read_only)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writable_descriptor_becomes_read_only_for_a_read_only_disk() {
        let file = tempfile::tempfile().unwrap();
        let narrowed = with_access(&file, true).unwrap();
        assert_eq!(rustix::fs::fcntl_getfl(&narrowed).unwrap() & OFlags::RWMODE, OFlags::RDONLY);
        let same = with_access(&file, false).unwrap();
        assert_eq!(rustix::fs::fcntl_getfl(&same).unwrap() & OFlags::RWMODE, OFlags::RDWR);
    }
}
