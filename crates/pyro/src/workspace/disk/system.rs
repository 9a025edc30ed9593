//! What of a guest's system is the guest's own doing: what the agent writes there for each guest is left out. This file must
//! not compare anything.

use super::error::FilesError;
use super::packages;
use super::packages::PackageChange;
use pyro_image::disk::Change;
use pyro_image::disk::MergedError;
use pyro_image::disk::MergedRoot;
use pyro_proto::tree::EntryKind;

/// Where Debian's package manager says what is installed.
const STATUS: &[u8] = b"/var/lib/dpkg/status";

/// Most bytes of that.
const STATUS_BYTES_MAX: u64 = 64 << 20;

/// What the agent writes: the guest's identity.
const IDENTITY: [&[u8]; 3] = [b"etc/hostname", b"etc/machine-id", b"etc/hosts"];

/// What lies elsewhere, or in no file system at all.
const ELSEWHERE: [&[u8]; 7] = [b"workspace", b"tmp", b"var/lib/docker", b"proc", b"sys", b"dev", b"run"];

/// Whether a change is the guest's own.
pub(super) fn is_own(change: &Change) -> bool {
    let path = change.path.as_bytes();
    let is_below = |folder: &&[u8]| {
        path.strip_prefix(*folder).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    };
    let is_touched_folder = match (&change.old, &change.new) {
        (Some(old), Some(new)) => {
            old.kind == EntryKind::Directory
                && new.kind == EntryKind::Directory
                && (old.mode, old.uid, old.gid) == (new.mode, new.uid, new.gid)
        }
        _ => false,
    };
    !path.is_empty() && !is_touched_folder && !IDENTITY.contains(&path) && !ELSEWHERE.iter().any(is_below)
}

/// What became of the packages.
pub(super) fn packages(old: &MergedRoot, new: &MergedRoot) -> Result<Vec<PackageChange>, FilesError> {
    Ok(packages::compare(&status(old)?, &status(new)?))
}

fn status(root: &MergedRoot) -> Result<Vec<u8>, FilesError> {
    let node = match root.lookup(STATUS, true) {
        Ok(node) if node.kind() == EntryKind::File => node,
        // Not a Debian, or not any more.
        Ok(_) | Err(MergedError::NotFound { .. } | MergedError::NotAFolder { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let size = node.metadata().size_bytes.min(STATUS_BYTES_MAX);
    let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
    let count = root.read_at(&node, 0, &mut bytes)?;
    bytes.truncate(count);
    Ok(bytes)
}
