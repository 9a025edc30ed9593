//! What a workspace changed of its environment. It must not look into the folders that are the workspace's by design.

use super::Change;
use super::pair::Pairs;
use super::pair::Rule;
use crate::disk::merged::MergedError;
use crate::disk::merged::MergedRoot;
use pyro_proto::tree::TreePath;

/// Folders of which nothing is a change of the system: mount points, and what lies on the workspace's disk directly.
const LEFT_OUT: [&[u8]; 7] = [b"workspace", b"tmp", b"var/lib/docker", b"proc", b"sys", b"dev", b"run"];
/// Folders that the agent makes where the environment lacks them.
const MADE: [&[u8]; 3] = [b"var", b"var/lib", b"etc"];

/// What differs between the environment and what a workspace made of it, outside of `/workspace`, `/tmp`, `/var/lib/docker`
/// and the kernel's file systems: packages that were installed, files in `/etc` and the like, the identity that the agent
/// writes there included. Paths are below `/`. Costs as much as there is in the overlay's upper layer, and the content of
/// files that were copied up. Owners are changes, times are not.
///
/// # Errors
/// [`MergedError`].
pub fn system_changes(root: &MergedRoot) -> Result<Vec<Change>, MergedError> {
    let old = MergedRoot::of_base(root.base().clone());
    let (old_root, new_root) = (old.root()?, root.root()?);
    Pairs::new(&old, root, &rule, true).run(Some(old_root), Some(new_root))
}

fn rule(path: &TreePath, is_new_folder: bool) -> Rule {
    let path = path.as_bytes();
    if LEFT_OUT.contains(&path) {
        Rule::LeaveOut
    } else if path.is_empty() || (is_new_folder && MADE.contains(&path)) {
        // The upper layer's own root has the permissions that the agent gave it.
        Rule::OnlyInside
    } else {
        Rule::Compare
    }
}
