//! What applying is given and what it gives back. This file must not apply anything.

use pyro_proto::tree::TreePath;

/// A path that must be known before a patch can be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed {
    /// The path.
    pub path: TreePath,
    /// Whether its content is needed, too.
    pub content: bool,
}

/// The tree that a patch is applied to, as far as [`super::Patch::paths_needed`] asked for it.
pub trait Files {
    /// What is at this path now; a symbolic link is itself and never followed.
    fn get(&self, path: &TreePath) -> Option<Current<'_>>;
}

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Current<'a> {
    /// Its kind.
    pub kind: CurrentKind,
    /// Permission bits.
    pub mode: u32,
    /// A file's bytes or a link's target; empty for the rest.
    pub content: &'a [u8],
}

/// Kinds of what a path may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CurrentKind {
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// A folder.
    Directory,
    /// A socket, FIFO or device.
    Special,
}

/// What is to be done, all of it or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Deletions first, then writes, each sorted by path. One path occurs at most once.
    pub changes: Vec<Change>,
    /// What became of each file's patch, in the order in which they were applied.
    pub reports: Vec<FileReport>,
}

/// One thing to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where.
    pub path: TreePath,
    /// What.
    pub action: Action,
}

/// What is to be done at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The file or link goes, and so do the folders above it that are empty then.
    Delete,
    /// A file or link is made or replaced, and so are the folders above it that are missing.
    Write {
        /// What it becomes.
        kind: WrittenKind,
        /// Permission bits it gets; of no meaning for a link.
        mode: u32,
        /// A file's bytes or a link's target.
        content: Vec<u8>,
        /// The file it was made from, when that is another one: whose owner it should have.
        source: Option<TreePath>,
    },
}

/// Kinds of what a patch makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrittenKind {
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
}

/// What became of one file's patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileReport {
    /// The file afterwards; the file before when it goes.
    pub path: TreePath,
    /// The file it came from, when that is another one.
    pub from: Option<TreePath>,
    /// What happened to it.
    pub status: Status,
    /// Whether its content was replaced as a whole by a binary one.
    pub binary: bool,
    /// Where its hunks went.
    pub hunks: Vec<HunkReport>,
}

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It appeared.
    Added,
    /// Its content changed.
    Modified,
    /// It went.
    Deleted,
    /// It moved, perhaps with changes.
    Renamed,
    /// It appeared as the copy of another, perhaps with changes.
    Copied,
    /// Its permission changed and nothing else.
    ModeChanged,
}

impl Status {
    /// Its name in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Modified => "modified",
            Self::Deleted => "deleted",
            Self::Renamed => "renamed",
            Self::Copied => "copied",
            Self::ModeChanged => "mode_changed",
        }
    }
}

/// Where a hunk went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HunkReport {
    /// Which hunk of its file, from 1.
    pub hunk: usize,
    /// The line of the file, before this patch, at which it went in, from 1.
    pub line: usize,
    /// Lines between there and where the patch expected it.
    pub offset: i64,
    /// Lines of context left out at either end to make it fit.
    pub fuzz: u8,
}
