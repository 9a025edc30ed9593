//! The names of a change as its header writes them. It must not know contents.

use super::entry::Entry;
use crate::patch::needs_tab;
use crate::patch::quote;
use pyro_proto::tree::TreePath;

/// Names with quotes where they need them.
pub(super) struct Names {
    /// With the prefix `a/`.
    pub(super) old: Vec<u8>,
    /// With the prefix `b/`.
    pub(super) new: Vec<u8>,
    /// The old one without prefix.
    pub(super) from: Vec<u8>,
    /// The new one without prefix.
    pub(super) to: Vec<u8>,
}

impl Names {
    pub(super) fn of(entry: &Entry<'_, '_>) -> Option<Self> {
        let (old, new) = (entry.old.as_ref(), entry.new.as_ref());
        let ((old, _), (new, _)) = (old.or(new)?, new.or(old)?);
        let prefixed =
            |prefix: &[u8], path: &TreePath| quote(&[prefix, path.as_bytes()].concat()).into_owned();
        let plain = |path: &TreePath| quote(path.as_bytes()).into_owned();
        Some(Self { old: prefixed(b"a/", old), new: prefixed(b"b/", new), from: plain(old), to: plain(new) })
    }

    /// A name in a `---` or `+++` line.
    pub(super) fn side(&self, is_there: bool, name: &[u8]) -> Vec<u8> {
        match (is_there, needs_tab(name)) {
            (false, _) => b"/dev/null".to_vec(),
            (true, false) => name.to_vec(),
            (true, true) => [name, b"\t"].concat(),
        }
    }
}
