//! Entries of the library as SFTP's attributes, and back. This file must not ask a guest.

use pyro::tree::Entry;
use pyro::tree::EntryKind;
use pyro::workspace::files::Attributes;
use russh_sftp::protocol::FileAttributes;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

/// Permission bits of a mode.
const MODE_BITS: u32 = 0o7777;

/// What an entry is, and how.
pub(super) fn of(entry: &Entry) -> FileAttributes {
    let kind = match entry.kind {
        EntryKind::Directory => 0o040_000,
        EntryKind::File | EntryKind::HardLink => 0o100_000,
        EntryKind::Symlink => 0o120_000,
        // Which of them the library does not say; one that nobody opens.
        EntryKind::Special => 0o140_000,
    };
    let seconds = u32::try_from(entry.mtime.s.max(0)).unwrap_or(u32::MAX);
    FileAttributes {
        size: Some(entry.size_bytes),
        uid: Some(entry.uid),
        gid: Some(entry.gid),
        permissions: Some(kind | (entry.mode & MODE_BITS)),
        atime: Some(seconds),
        mtime: Some(seconds),
        ..FileAttributes::default()
    }
}

/// What a client wants changed; sizes are not attributes here.
pub(super) fn wanted(attributes: &FileAttributes) -> Attributes {
    Attributes {
        mode: attributes.permissions.map(|mode| mode & MODE_BITS),
        uid: attributes.uid,
        gid: attributes.gid,
        mtime_s: attributes.mtime.map(i64::from),
    }
}

/// A name as SFTP's text.
pub(super) fn text(name: &[u8]) -> String {
    OsStr::from_bytes(name).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pyro::tree::Timestamp;
    use pyro::tree::TreePath;

    #[test]
    fn kinds_and_permissions_are_one_number() {
        let entry = |kind, mode| Entry {
            mode,
            size_bytes: 7,
            mtime: Timestamp { s: 1_000_000_000, ns: 5 },
            ..Entry::new(TreePath::default(), kind)
        };
        for (kind, mode) in
            [(EntryKind::Directory, 0o040_755), (EntryKind::File, 0o104_755), (EntryKind::Symlink, 0o120_777)]
        {
            let attributes = of(&entry(kind, mode & 0o7777));
            assert_eq!((attributes.permissions, attributes.size), (Some(mode), Some(7)));
            assert_eq!(attributes.mtime, Some(1_000_000_000));
            assert_eq!(wanted(&attributes).mode, Some(mode & 0o7777));
        }
    }
}
