//! What an archive's members may be called, and what they may do to those before them: nothing may be placed through a link,
//! below a file or above the archive's root. This file must not read archives.

use super::intake::IntakeLimits;
use pyro_proto::tree::TreePath;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

/// Longest name of a file, in bytes (Linux `NAME_MAX`).
const NAME_BYTES_MAX: usize = 255;

/// Why a member is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its path begins with a slash.
    #[error("its path is absolute")]
    Absolute,
    /// Its path has a `..`.
    #[error("its path leaves the archive")]
    Climbs,
    /// Its path, or one name in it, is too long, or has a zero byte.
    #[error("its path is too long or malformed")]
    Path,
    /// It lies below what an earlier member made a link.
    #[error("it would be placed through the link '{0}'")]
    ThroughLink(String),
    /// It lies below what an earlier member made a file.
    #[error("it would be placed below the file '{0}'")]
    BelowFile(String),
    /// It would take the place of a folder that has members in it.
    #[error("it would replace a folder that members were placed in")]
    ReplacesFolder,
    /// It is the root, and no folder.
    #[error("the archive's root is no folder")]
    Root,
    /// It is a hard link to nothing that came before.
    #[error("it is a hard link to '{0}', which is no file before it")]
    HardLink(String),
    /// There are too many names, of members and of the folders on the way to them.
    #[error("too many names came before it")]
    TooMany,
    /// It is a symbolic link with a target that none can have.
    #[error("its target is empty, too long or malformed")]
    Target,
}

/// The path of a member below the archive's root.
pub(super) fn path(raw: &[u8]) -> Result<TreePath, Refusal> {
    if raw.first() == Some(&b'/') {
        return Err(Refusal::Absolute);
    }
    let mut bytes = Vec::with_capacity(raw.len());
    for name in raw.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".") {
        if name == b".." {
            return Err(Refusal::Climbs);
        }
        if name.len() > NAME_BYTES_MAX {
            return Err(Refusal::Path);
        }
        if !bytes.is_empty() {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name);
    }
    TreePath::new(bytes).map_err(|_| Refusal::Path)
}

/// What was placed at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placed {
    Folder,
    /// A folder that something was placed in.
    Populated,
    File,
    Link,
}

/// What was placed so far. Paths are remembered by a keyed digest of 128 bits, so that hostile names cost no memory.
#[derive(Debug)]
pub(super) struct Seen {
    names_max: usize,
    keys: (RandomState, RandomState),
    placed: HashMap<u128, Placed>,
    targets: HashMap<u128, Vec<u8>>,
    target_bytes: usize,
    last_parent: Option<TreePath>,
}

impl Seen {
    /// Nothing yet, and never more than so many names: a member may have thousands of folders above it that are none.
    pub(super) fn new(names_max: u64) -> Self {
        Self {
            names_max: usize::try_from(names_max).unwrap_or(usize::MAX),
            keys: Default::default(),
            placed: HashMap::new(),
            targets: HashMap::new(),
            target_bytes: 0,
            last_parent: None,
        }
    }

    fn key(&self, path: &[u8]) -> u128 {
        u128::from(self.keys.0.hash_one(path)) << 64 | u128::from(self.keys.1.hash_one(path))
    }

    /// Places something, unless it may not be there.
    pub(super) fn place(&mut self, path: &TreePath, what: Placed) -> Result<(), Refusal> {
        if path.is_root() {
            return if what == Placed::Folder { Ok(()) } else { Err(Refusal::Root) };
        }
        self.enter(path)?;
        let key = self.key(path.as_bytes());
        let before = self.placed.get(&key).copied();
        match (before, what) {
            (Some(Placed::Folder | Placed::Populated), Placed::Folder) => return Ok(()),
            (Some(Placed::Populated), _) => return Err(Refusal::ReplacesFolder),
            _ => {}
        }
        if before.is_none() && self.placed.len() >= self.names_max {
            return Err(Refusal::TooMany);
        }
        if before.is_some() {
            // Something else is there now, so what is known of the folders on the way to the next member may be wrong.
            self.last_parent = None;
        }
        self.targets.remove(&key);
        self.placed.insert(key, what);
        Ok(())
    }

    /// Checks the folders on the way to a path, which need not be members themselves.
    fn enter(&mut self, path: &TreePath) -> Result<(), Refusal> {
        let parent = path.parent();
        if parent == self.last_parent {
            return Ok(());
        }
        let bytes = path.as_bytes();
        for end in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at) {
            let key = self.key(&bytes[..end]);
            let shown = || String::from_utf8_lossy(&bytes[..end]).into_owned();
            let is_full = self.placed.len() >= self.names_max;
            let placed = match self.placed.entry(key) {
                Entry::Vacant(_) if is_full => return Err(Refusal::TooMany),
                entry => entry.or_insert(Placed::Populated),
            };
            match placed {
                Placed::File => return Err(Refusal::BelowFile(shown())),
                Placed::Link => return Err(Refusal::ThroughLink(shown())),
                Placed::Folder | Placed::Populated => *placed = Placed::Populated,
            }
        }
        self.last_parent = parent;
        Ok(())
    }

    /// Remembers where a symbolic link that was just placed points, within the limits.
    pub(super) fn remember_target(&mut self, path: &TreePath, target: &[u8], limits: &IntakeLimits) {
        if self.target_bytes + target.len() <= limits.link_bytes_max {
            self.target_bytes += target.len();
            self.targets.insert(self.key(path.as_bytes()), target.to_vec());
        }
    }

    /// What a hard link to this path is: another name of a file, or one more symbolic link with this target.
    pub(super) fn resolve(&self, target: &TreePath) -> Option<Option<&[u8]>> {
        let key = self.key(target.as_bytes());
        match self.placed.get(&key)? {
            Placed::File => Some(None),
            Placed::Link => self.targets.get(&key).map(|target| Some(target.as_slice())),
            Placed::Folder | Placed::Populated => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_or_refused() {
        let shown = |raw: &[u8]| path(raw).map(|path| path.to_string());
        assert_eq!(shown(b"./a//b/./c/"), Ok("a/b/c".to_owned()));
        assert_eq!(shown(b"./"), Ok(String::new()));
        assert_eq!(shown(b"/etc/passwd"), Err(Refusal::Absolute));
        assert_eq!(shown(b"a/../../b"), Err(Refusal::Climbs));
        assert_eq!(shown(b"a\0b"), Err(Refusal::Path));
        assert_eq!(shown("x".repeat(256).as_bytes()), Err(Refusal::Path));
        assert_eq!(shown("x/".repeat(2100).as_bytes()), Err(Refusal::Path));
    }

    #[test]
    fn nothing_is_placed_through_links_or_below_files() {
        let at = |text: &str| TreePath::new(text).unwrap();
        let mut seen = Seen::new(100);
        seen.place(&at("d/f"), Placed::File).unwrap();
        seen.place(&at("l"), Placed::Link).unwrap();
        seen.remember_target(&at("l"), b"d", &IntakeLimits::default());
        assert_eq!(seen.place(&at("l/x/y"), Placed::File), Err(Refusal::ThroughLink("l".to_owned())));
        assert_eq!(seen.place(&at("d/f/x"), Placed::File), Err(Refusal::BelowFile("d/f".to_owned())));
        assert_eq!(seen.place(&at("d"), Placed::Link), Err(Refusal::ReplacesFolder));
        assert_eq!(seen.place(&at("d"), Placed::Folder), Ok(()));
        assert_eq!(seen.place(&TreePath::default(), Placed::Link), Err(Refusal::Root));
        assert_eq!(seen.resolve(&at("d/f")), Some(None));
        assert_eq!(seen.resolve(&at("l")), Some(Some(&b"d"[..])));
        assert_eq!(seen.resolve(&at("d")), None);
        assert_eq!(seen.resolve(&at("none")), None);
    }

    #[test]
    fn folders_on_the_way_count_as_names() {
        let at = |text: &str| TreePath::new(text).unwrap();
        let mut seen = Seen::new(4);
        seen.place(&at("a/b/c"), Placed::File).unwrap();
        seen.place(&at("a/b/c"), Placed::File).unwrap();
        assert_eq!(seen.place(&at("d/e"), Placed::File), Err(Refusal::TooMany));
        assert_eq!(seen.place(&at("f"), Placed::File), Err(Refusal::TooMany));
        assert_eq!(seen.place(&at("a/b"), Placed::Folder), Ok(()));
    }

    /// The check of the folders on the way is skipped when the last member had the same: not after one of them was replaced.
    #[test]
    fn a_folder_that_became_a_link_is_noticed() {
        let at = |text: &str| TreePath::new(text).unwrap();
        let mut seen = Seen::new(100);
        seen.place(&at("a"), Placed::File).unwrap();
        seen.place(&at("a"), Placed::Folder).unwrap();
        seen.place(&at("a"), Placed::Link).unwrap();
        assert!(matches!(seen.place(&at("a/x"), Placed::File), Err(Refusal::ThroughLink(_))));
    }
}
