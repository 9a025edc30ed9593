//! What changed between two states of one workspace, and between an environment and a workspace made from it: the price is a
//! walk of both trees' metadata, and the content of those files whose metadata say that they were written to. This file must
//! not know how changes are shown.

mod pair;
mod system;

use super::merged::MergedError;
use super::merged::MergedRoot;
use super::merged::Node;
use pair::Pairs;
use pyro_proto::tree::EntryKind;
use pyro_proto::tree::TreePath;

pub use system::system_changes;

/// Something that is not what it was.
#[derive(Clone, Debug)]
pub struct Change {
    /// Where, below the folder that was compared.
    pub path: TreePath,
    /// What was there; nothing if it is new.
    pub old: Option<Meta>,
    /// What is there now; nothing if it is gone.
    pub new: Option<Meta>,
}

/// One side of a change.
#[derive(Clone, Debug)]
pub struct Meta {
    /// What it is; hard links are regular files here.
    pub kind: EntryKind,
    /// Permission bits, set-id and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes of a regular file, else 0.
    pub size_bytes: u64,
    /// What a symbolic link says, else empty.
    pub target: Vec<u8>,
    /// For reading its content, from the side it is of.
    pub node: Node,
}

/// What changed below `root`, an absolute path, from `old` to `new`: in the order of a walk, folders that came or went with
/// everything below them. A root that is there on one side only came or went as a whole.
///
/// The two must be states of one workspace, `new` having begun as a copy of `old`: a regular file whose inode, size and times
/// are the same on both sides is taken for unchanged without being read. Owners and times are no changes.
///
/// # Errors
/// [`MergedError`]; `NotFound` when neither side has such a root.
pub fn compare(old: &MergedRoot, new: &MergedRoot, root: &[u8]) -> Result<Vec<Change>, MergedError> {
    let find = |side: &MergedRoot| match side.lookup(root, true) {
        Ok(node) => Ok(Some(node)),
        Err(MergedError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    };
    match (find(old)?, find(new)?) {
        (None, None) => new.lookup(root, true).map(|_| Vec::new()),
        (old_root, new_root) => {
            Pairs::new(old, new, &|_, _| pair::Rule::Compare, false).run(old_root, new_root)
        }
    }
}
