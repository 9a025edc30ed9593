//! Whether there is room. This file must not make any.

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
}
