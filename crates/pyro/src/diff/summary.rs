//! What a comparison found, as data. This file must not compare or render anything.

use super::entry::Entry;
use super::entry::Side;
use pyro_proto::tree::TreePath;
use std::ops::Range;

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// The patch: what `git apply` accepts, as long as [`Diff::is_complete`].
    pub patch: Vec<u8>,
    /// What changed, sorted by path.
    pub files: Vec<FileDiff>,
}

impl Diff {
    /// Whether the patch makes the new tree from the old one, with nothing missing in it.
    pub fn is_complete(&self) -> bool {
        self.files.iter().all(|file| !matches!(file.shown, Shown::Differs | Shown::LeftOut))
    }

    /// The part of the patch that is about a file of this diff.
    pub fn patch_of(&self, file: &FileDiff) -> &[u8] {
        self.patch.get(file.range.clone()).unwrap_or_default()
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileDiff {
    /// The path afterwards; the path before of what went.
    pub path: TreePath,
    /// The path before of what moved.
    pub from: Option<TreePath>,
    /// What happened.
    pub status: DiffStatus,
    /// Percent of the content that stayed, of what moved.
    pub similarity: Option<u8>,
    /// Git's mode before, such as `100644`.
    pub old_mode: Option<&'static str>,
    /// Git's mode afterwards.
    pub new_mode: Option<&'static str>,
    /// Bytes before.
    pub old_size_bytes: u64,
    /// Bytes afterwards.
    pub new_size_bytes: u64,
    /// How its content is in the patch.
    pub shown: Shown,
    /// Lines that came, of a text.
    pub lines_added: usize,
    /// Lines that went, of a text.
    pub lines_removed: usize,
    /// Where in the patch it is.
    pub range: Range<usize>,
}

/// What happened to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiffStatus {
    /// It appeared.
    Added,
    /// Its content or mode changed.
    Modified,
    /// It went.
    Deleted,
    /// A file became a link, or the other way round.
    TypeChanged,
    /// It moved, perhaps with changes.
    Renamed,
}

impl DiffStatus {
    /// Its name in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Modified => "modified",
            Self::Deleted => "deleted",
            Self::TypeChanged => "type_changed",
            Self::Renamed => "renamed",
        }
    }
}

/// How the change of a content is in the patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shown {
    /// The content did not change, or both are empty.
    Unchanged,
    /// As hunks.
    Text,
    /// As a binary patch.
    Binary,
    /// Only that it differs: it is too large, or binary contents were not wanted.
    Differs,
    /// Not at all: the patch would have become too large.
    LeftOut,
}

impl FileDiff {
    pub(super) fn of(entry: &Entry<'_, '_>) -> Option<Self> {
        let (old, new) = (entry.old.as_ref(), entry.new.as_ref());
        let status = match (old, new) {
            (Some(_), Some(_)) if entry.similarity.is_some() => DiffStatus::Renamed,
            (Some((_, old)), Some((_, new))) if old.kind != new.kind => DiffStatus::TypeChanged,
            (Some(_), Some(_)) => DiffStatus::Modified,
            (None, _) => DiffStatus::Added,
            (_, None) => DiffStatus::Deleted,
        };
        let size =
            |side: Option<&(&TreePath, Side<'_>)>| side.map_or(0, |(_, side)| side.content.size_bytes());
        Some(Self {
            path: entry.path()?.clone(),
            from: old.filter(|_| status == DiffStatus::Renamed).map(|(path, _)| (*path).clone()),
            status,
            similarity: entry.similarity,
            old_mode: old.map(|(_, side)| side.git_mode()),
            new_mode: new.map(|(_, side)| side.git_mode()),
            old_size_bytes: size(old),
            new_size_bytes: size(new),
            shown: Shown::Unchanged,
            lines_added: 0,
            lines_removed: 0,
            range: 0..0,
        })
    }

    /// Of two halves, the one that is shown less counts.
    pub(super) fn show(&mut self, shown: Shown) {
        self.shown = self.shown.max(shown);
    }
}
