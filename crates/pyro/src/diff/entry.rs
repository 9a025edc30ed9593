//! What a diff is made of: a path with what was there and what is. This file must not compare anything but modes.

use super::options::BINARY_LOOK_BYTES;
use pyro_proto::tree::TreePath;

/// A path that may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair<'a> {
    /// The path.
    pub path: TreePath,
    /// What was there; `None` for nothing, or a folder.
    pub old: Option<Side<'a>>,
    /// What is there; `None` for nothing, or a folder.
    pub new: Option<Side<'a>>,
}

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side<'a> {
    /// Its kind.
    pub kind: SideKind,
    /// Permission bits. Git knows only whether its owner may execute it.
    pub mode: u32,
    /// A file's bytes or a link's target.
    pub content: Content<'a>,
}

/// Kinds that git knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SideKind {
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
}

/// A content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// Here it is.
    Bytes(&'a [u8]),
    /// It was too large to fetch; it is known only to differ from the other side.
    Omitted {
        /// How large it is.
        size_bytes: u64,
    },
}

impl<'a> Side<'a> {
    /// A regular file.
    pub const fn file(mode: u32, content: &'a [u8]) -> Self {
        Self { kind: SideKind::File, mode, content: Content::Bytes(content) }
    }

    /// A symbolic link.
    pub const fn symlink(target: &'a [u8]) -> Self {
        Self { kind: SideKind::Symlink, mode: 0o777, content: Content::Bytes(target) }
    }

    pub(super) const fn git_mode(&self) -> &'static str {
        match self.kind {
            SideKind::Symlink => "120000",
            SideKind::File if self.mode & 0o100 != 0 => "100755",
            SideKind::File => "100644",
        }
    }

    /// Whether git sees no difference.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.git_mode() == other.git_mode()
            && matches!((self.content, other.content), (Content::Bytes(a), Content::Bytes(b)) if a == b)
    }
}

impl<'a> Content<'a> {
    pub(super) const fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Omitted { .. } => None,
        }
    }

    pub(super) fn size_bytes(self) -> u64 {
        match self {
            Self::Bytes(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Self::Omitted { size_bytes } => size_bytes,
        }
    }
}

/// Whether git takes a content for binary.
pub(super) fn is_binary(content: &[u8]) -> bool {
    content[..content.len().min(BINARY_LOOK_BYTES)].contains(&0)
}

/// What is rendered together: a pair, or two that are a file before and after it moved.
#[derive(Clone, Debug)]
pub(super) struct Entry<'p, 'a> {
    pub(super) old: Option<(&'p TreePath, Side<'a>)>,
    pub(super) new: Option<(&'p TreePath, Side<'a>)>,
    /// Percent of the content that stayed, of a file that moved.
    pub(super) similarity: Option<u8>,
}

impl<'p> Entry<'p, '_> {
    /// The path afterwards, or before when there is none afterwards.
    pub(super) fn path(&self) -> Option<&'p TreePath> {
        self.new.as_ref().or(self.old.as_ref()).map(|(path, _)| *path)
    }
}
