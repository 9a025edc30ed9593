//! Finds what a path of the guest leads to, within the two disks and nowhere else. It must not know what overlays are.

use super::MergedError;
use super::MergedRoot;
use super::Node;
use super::error::shown;
use crate::disk::ext4::FileKind;
use pyro_proto::limits::PATH_BYTES_MAX;

/// Most links on one path, as Linux has it.
const LINKS_MAX: usize = 40;
/// Most bytes of folders that are read for one path: links of a guest may lead through a large one thousands of times.
const FOLDER_BYTES_MAX: u64 = 4 << 30;

impl MergedRoot {
    /// What an absolute path leads to; a link at its end is followed if `follow` says so, others always. Links and `..` lead
    /// to where they would lead the guest, so never out of the root.
    ///
    /// # Errors
    /// [`MergedError::NotFound`], [`MergedError::NotAFolder`], [`MergedError::Links`], [`MergedError::Path`],
    /// [`MergedError::Laborious`], and what reading fails with.
    pub fn lookup(&self, path: &[u8], follow: bool) -> Result<Node, MergedError> {
        self.lookup_within(path, follow, FOLDER_BYTES_MAX)
    }

    fn lookup_within(&self, path: &[u8], follow: bool, bytes_max: u64) -> Result<Node, MergedError> {
        if path.first() != Some(&b'/') || path.len() >= PATH_BYTES_MAX || path.contains(&0) {
            return Err(MergedError::Path { path: shown(path) });
        }
        let (mut links, mut bytes) = (0, 0_u64);
        // What is left to do, last first, and where that got so far.
        let mut todo = Vec::new();
        push(&mut todo, path);
        let mut stack = vec![self.root()?];
        let must_be_folder = path.ends_with(b"/") || path.ends_with(b"/.");
        while let Some(name) = todo.pop() {
            let Some(folder) = stack.last() else { break };
            if !folder.is_folder() {
                return Err(MergedError::NotAFolder { path: shown(path) });
            }
            if name == b".." {
                if stack.len() > 1 {
                    stack.pop();
                }
                continue;
            }
            let below = folder.below.as_ref().map_or(0, |below| below.size_bytes);
            bytes = bytes.saturating_add(folder.inode.size_bytes).saturating_add(below);
            if bytes > bytes_max {
                return Err(MergedError::Laborious { path: shown(path), bytes_max });
            }
            let found = self.child(folder, &name)?;
            let found = found.ok_or_else(|| MergedError::NotFound { path: shown(path) })?;
            if found.inode.kind != FileKind::Symlink || (todo.is_empty() && !follow && !must_be_folder) {
                stack.push(found);
                continue;
            }
            links += 1;
            if links > LINKS_MAX {
                return Err(MergedError::Links { path: shown(path) });
            }
            let target = self.read_link(&found)?;
            if target.first() == Some(&b'/') {
                stack.truncate(1);
            }
            push(&mut todo, &target);
        }
        match stack.pop() {
            Some(node) if node.is_folder() || !must_be_folder => Ok(node),
            _ => Err(MergedError::NotAFolder { path: shown(path) }),
        }
    }
}

fn push(todo: &mut Vec<Vec<u8>>, path: &[u8]) {
    let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".");
    todo.extend(names.rev().map(<[u8]>::to_vec));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::ext4::Ext4;
    use std::fs::File;
    use std::process::Command;
    use std::sync::Arc;

    #[test]
    fn folders_on_the_way_are_read_within_a_bound() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, image) = (dir.path().join("tree"), dir.path().join("image"));
        std::fs::create_dir_all(tree.join("d")).unwrap();
        std::os::unix::fs::symlink("d/../d/../d/../d", tree.join("again")).unwrap();
        let mut mkfs = Command::new("/sbin/mkfs.ext4");
        mkfs.args(["-q", "-F", "-b", "1024", "-O", "^has_journal,^resize_inode", "-d"])
            .arg(&tree)
            .arg(&image);
        assert!(mkfs.arg("2M").output().unwrap().status.success());
        let root = MergedRoot::of_base(Arc::new(Ext4::open(Box::new(File::open(image).unwrap())).unwrap()));
        // The root folder, of one block, is read for the link and for each of four names in it.
        assert!(root.lookup_within(b"/again", true, 5 * 1024).unwrap().is_folder());
        let error = root.lookup_within(b"/again", true, 5 * 1024 - 1).unwrap_err();
        assert!(matches!(error, MergedError::Laborious { .. }), "{error}");
    }
}
