//! What a patch says, once it was understood. This file must not read bytes of a patch or apply anything.

use super::error::PatchError;
use super::files::Needed;
use super::limits::NEEDED_BYTES_MAX;
use super::parse;
use super::parse::ParseOptions;
use pyro_proto::tree::TreePath;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The changes of files that a patch asks for. Contents are borrowed from the patch's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch<'a> {
    pub(super) files: Vec<FilePatch<'a>>,
}

impl<'a> Patch<'a> {
    /// Reads a patch, within the default [`super::Limits`] and finding out for each file whether its names have prefixes
    /// like `a/` and `b/`.
    ///
    /// # Errors
    /// [`PatchError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PatchError> {
        Self::parse_with(bytes, &ParseOptions::default())
    }

    /// Reads a patch.
    ///
    /// # Errors
    /// [`PatchError`].
    pub fn parse_with(bytes: &'a [u8], options: &ParseOptions) -> Result<Self, PatchError> {
        parse::parse(bytes, options)
    }

    /// Its changes, in the order of the patch; a file may occur more than once.
    pub fn files(&self) -> &[FilePatch<'a>] {
        &self.files
    }

    /// What [`super::apply`] will ask for, sorted: the files that change or appear, with their contents, and the folders
    /// above them, without.
    ///
    /// # Errors
    /// [`PatchError::TooLarge`] when all these paths together are too long.
    pub fn paths_needed(&self) -> Result<Vec<Needed>, PatchError> {
        self.paths_needed_within(NEEDED_BYTES_MAX)
    }

    pub(super) fn paths_needed_within(&self, most: usize) -> Result<Vec<Needed>, PatchError> {
        let mut left = most;
        let mut take = |path: &TreePath, line| {
            let too_large = PatchError::TooLarge { what: "bytes of paths", most, line };
            let bytes = path.as_bytes().len() + size_of::<Needed>();
            left = left.checked_sub(bytes).ok_or(too_large)?;
            Ok(())
        };
        let mut needed = BTreeMap::new();
        let paths = |file: &'_ FilePatch<'_>| {
            [(file.old_path.clone(), file.line), (file.new_path.clone(), file.line)]
        };
        for (path, line) in self.files.iter().flat_map(paths) {
            let mut parent = path.parent();
            // With a folder, those above it were taken.
            while let Some(folder) = parent.filter(|folder| !folder.is_root() && !needed.contains_key(folder))
            {
                parent = folder.parent();
                take(&folder, line)?;
                needed.insert(folder, false);
            }
            match needed.get_mut(&path) {
                Some(content) => *content = true,
                None => {
                    take(&path, line)?;
                    needed.insert(path, true);
                }
            }
        }
        Ok(needed.into_iter().map(|(path, content)| Needed { path, content }).collect())
    }
}

/// What happens to one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePatch<'a> {
    /// What it is about.
    pub operation: Operation,
    /// The file before.
    pub old_path: TreePath,
    /// The file afterwards; another one only in a rename or a copy.
    pub new_path: TreePath,
    /// The kind and permission before, where the patch says so.
    pub old_mode: Option<GitMode>,
    /// The kind and permission afterwards, where the patch says so.
    pub new_mode: Option<GitMode>,
    /// The ids of the contents before and afterwards, as hexadecimal digits and perhaps cut.
    pub ids: Option<(&'a [u8], &'a [u8])>,
    /// The change of its content.
    pub body: Body<'a>,
    /// The line of the patch at which it begins, from 1.
    pub line: usize,
    /// Files of one section were compared at the same moment; a later section builds on an earlier one, as in a series
    /// of mailed commits.
    pub section: usize,
}

/// What a file's patch is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The file stays where it is.
    Modify,
    /// The file appears.
    Create,
    /// The file appears unless it is there: `@@ -0,0` in a patch that never says `/dev/null`.
    CreateOrModify,
    /// The file goes.
    Delete,
    /// The file moves.
    Rename,
    /// The file appears with the content of another.
    Copy,
    /// A copy is taken back. Only reversed patches have it.
    Uncopy,
}

/// Kinds and permissions that git knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GitMode {
    /// 100644.
    Regular,
    /// 100755.
    Executable,
    /// 120000.
    Symlink,
}

/// The change of one file's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// The content stays.
    Unchanged,
    /// Pieces of text are replaced.
    Text(Vec<Hunk<'a>>),
    /// The content is replaced.
    Binary {
        /// From old to new.
        forward: BinaryData,
        /// From new to old.
        backward: Option<BinaryData>,
    },
    /// The content changes, and the patch does not say to what.
    BinaryUnknown,
}

/// A content, or how to make it from the other one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BinaryData {
    /// The content.
    Literal(Arc<[u8]>),
    /// Git's instructions for making it.
    Delta(Arc<[u8]>),
}

/// A piece of text that is replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hunk<'a> {
    /// First line before, from 1; the line that it comes after when there are none.
    pub old_start: usize,
    /// Lines before.
    pub old_count: usize,
    /// First line afterwards, as with `old_start`.
    pub new_start: usize,
    /// Lines afterwards.
    pub new_count: usize,
    /// Its lines.
    pub lines: Vec<Line<'a>>,
    /// The line of the patch at which it begins, from 1.
    pub line: usize,
}

/// A line of a hunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// What becomes of it.
    pub kind: LineKind,
    /// Its bytes, with the newline unless it has none.
    pub text: &'a [u8],
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineKind {
    /// It stays.
    Context,
    /// It goes.
    Remove,
    /// It comes.
    Add,
}

impl GitMode {
    /// Whether it is a symbolic link.
    pub const fn is_symlink(self) -> bool {
        matches!(self, Self::Symlink)
    }
}

impl Hunk<'_> {
    /// Unchanged lines before the first change and after the last.
    pub(super) fn context(&self) -> (usize, usize) {
        let stays = |line: &&Line<'_>| line.kind == LineKind::Context;
        let before = self.lines.iter().take_while(stays).count();
        (before, self.lines.iter().rev().take_while(stays).count())
    }

    /// Whether one of its lines has no newline and is thus the last of a file.
    pub(super) fn is_at_end(&self) -> bool {
        self.lines.iter().any(|line| !line.text.ends_with(b"\n"))
    }
}
