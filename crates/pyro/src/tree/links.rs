//! Whether a symbolic link of a guest's tree leads out of that tree. This file must not make links.

use pyro_proto::tree::TreePath;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::ResolveFlags;
use rustix::io::Errno;
use std::os::fd::AsFd;

/// How often a resolution is tried again that the kernel gave up because something was renamed meanwhile.
const RETRIES: usize = 16;

/// What to do with symbolic links that lead out of the tree they are in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Links {
    /// Fail.
    #[default]
    Refuse,
    /// Leave them out, with a warning.
    Skip,
    /// Make them as they are.
    Keep,
}

/// Whether a link leads out by what it says: it is absolute, or has more `..` than it is deep.
pub(super) fn escapes(path: &TreePath, target: &[u8]) -> bool {
    if target.first() == Some(&b'/') {
        return true;
    }
    let mut depth = path.components().count().saturating_sub(1);
    for name in target.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." if depth == 0 => return true,
            b".." => depth -= 1,
            _ => depth += 1,
        }
    }
    false
}

/// Whether the kernel leaves the tree when it follows the link: several links, each harmless by what it says, can do that
/// together. A link to nothing does not.
pub(super) fn leads_out(root: impl AsFd, path: &TreePath) -> bool {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    for _ in 0..RETRIES {
        match rustix::fs::openat2(&root, path.as_bytes(), flags, Mode::empty(), ResolveFlags::BENEATH) {
            Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS) => return false,
            Err(Errno::AGAIN) => {}
            Err(_) => return true,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_judged_from_where_they_are() {
        let cases = [
            ("node_modules/.bin/tsc", "../typescript/bin/tsc", false),
            (".venv/bin/python", "/usr/bin/python3", true),
            ("a/b", "../c", false),
            ("a/b", "../../c", true),
            ("a", "..", true),
            ("a", "b/../../c", true),
            ("a", "b/../c", false),
            ("", "sibling", false),
            ("", "../sibling", true),
            ("a", ".", false),
        ];
        for (path, target, expected) in cases {
            let path = TreePath::new(path).unwrap();
            assert_eq!(escapes(&path, target.as_bytes()), expected, "{path} -> {target}");
        }
    }
}
