//! Why a patch could not be applied, in words that let its author mend it. This file must not apply anything.

use super::limits::COMPARISONS_MAX;
use crate::code;
use crate::code::Coded;
use pyro_proto::tree::TreePath;

/// A patch that was not applied; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub struct ApplyError {
    /// What failed, in the order of the patch: one reason for each file, and at least one.
    pub failures: Vec<Failure>,
    /// Whether the patch seems to be applied already.
    pub already: AppliedAlready,
}

/// Whether the reverse of a patch that fails would apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppliedAlready {
    /// It would not.
    No,
    /// It would for the file that failed first.
    File,
    /// It would for all files.
    Patch,
}

/// A file's patch that cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason} (line {line} of the patch)")]
pub struct Failure {
    /// The file.
    pub path: TreePath,
    /// Where in the patch: the hunk if it is about one, or the beginning of the file's patch.
    pub line: usize,
    /// Why.
    pub reason: Reason,
}

/// Why a file's patch cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The file is not there.
    #[error("the file does not exist")]
    Missing,
    /// A file that should appear is there already.
    #[error("the file exists already")]
    Exists,
    /// Something else is there.
    #[error("it is a {found}, and the patch is for a {wanted}")]
    Kind {
        /// What is there.
        found: &'static str,
        /// What the patch needs.
        wanted: &'static str,
    },
    /// A folder of the path is no folder.
    #[error("'{parent}' is a {found}, not a folder")]
    Parent {
        /// The part of the path.
        parent: TreePath,
        /// What is there.
        found: &'static str,
    },
    /// A hunk fits nowhere.
    #[error("hunk {hunk} does not fit: line {at} {found}, and the patch wants '{wanted}'")]
    Hunk {
        /// Which, from 1.
        hunk: usize,
        /// The first line of the file, from 1, that differs where the hunk was expected.
        at: usize,
        /// What is there, in words.
        found: String,
        /// What should be there.
        wanted: String,
    },
    /// A hunk fits, but not at the end or beginning of the file, where it belongs by its lack of context.
    #[error("hunk {hunk} has no context on one side and fits only in the middle of the file")]
    Anchor {
        /// Which, from 1.
        hunk: usize,
    },
    /// The place of a hunk would cost too much to find.
    #[error("hunk {hunk}: its place was not found in {COMPARISONS_MAX} comparisons of lines")]
    Work {
        /// Which, from 1.
        hunk: usize,
    },
    /// What the patch makes would be too much.
    #[error("the files that the patch makes would have more than {most} bytes together")]
    Memory {
        /// How much it may be.
        most: u64,
    },
    /// The patch is too laborious, not only in finding the places of hunks.
    #[error("the patch takes too much work")]
    Effort,
    /// A file that should go would have content left.
    #[error("the file has more content than the patch removes")]
    Leftover,
    /// A copy that should be taken back is more than that.
    #[error("the file is not a copy of '{original}' any more")]
    NoCopy {
        /// The file it was copied from.
        original: TreePath,
    },
    /// The patch has binary contents that differ, and not which.
    #[error("the patch does not contain the binary content")]
    BinaryUnknown,
    /// A binary patch without full ids in its `index` line cannot be checked.
    #[error("the binary patch has no 'index' line with full ids")]
    BinaryIds,
    /// The binary patch is for another content.
    #[error("the binary patch is for another content than the file has")]
    BinaryOld,
    /// The binary patch does not make what it says.
    #[error("the binary patch does not make the content that its 'index' line names")]
    BinaryNew,
    /// Two patches of one comparison contradict each other.
    #[error("the patch changes and moves the file at once")]
    Twice,
    /// A symbolic link's target cannot be stored.
    #[error("the target of the link is empty, too long or has a zero byte")]
    Target,
}

impl ApplyError {
    fn text(&self) -> String {
        let Some(first) = self.failures.first() else { return "the patch does not apply".to_owned() };
        match self.failures.len() - 1 {
            0 => format!("the patch does not apply: {first}"),
            1 => format!("the patch does not apply: {first}; another file fails, too"),
            more => format!("the patch does not apply: {first}; {more} other files fail, too"),
        }
    }
}

impl Coded for ApplyError {
    fn code(&self) -> &'static str {
        match self.failures.first().map(|failure| &failure.reason) {
            Some(Reason::Parent { found: "symbolic link", .. }) => code::PATCH_PATH_ESCAPES,
            Some(Reason::Work { .. } | Reason::Memory { .. } | Reason::Effort) => code::PATCH_TOO_LARGE,
            _ => code::PATCH_CONFLICT,
        }
    }

    fn hints(&self) -> Vec<String> {
        let already = match self.already {
            AppliedAlready::Patch => {
                Some("the whole patch seems to be applied already: its reverse would apply")
            }
            AppliedAlready::File => {
                Some("this file's part seems to be applied already: its reverse would apply")
            }
            AppliedAlready::No => None,
        };
        let reason = match self.failures.first().map(|failure| &failure.reason) {
            Some(Reason::Hunk { .. } | Reason::Leftover) => {
                "make the patch against the file as it is now, or allow fuzz to leave out lines of context"
            }
            Some(Reason::Anchor { .. }) => {
                "make the patch with lines of context ('git diff' without -U0), or allow fuzz"
            }
            Some(Reason::Work { .. } | Reason::Memory { .. } | Reason::Effort) => "apply it in several parts",
            Some(Reason::BinaryUnknown | Reason::BinaryIds) => "make the patch with 'git diff --binary'",
            _ => return already.map(str::to_owned).into_iter().collect(),
        };
        already.into_iter().chain([reason]).map(str::to_owned).collect()
    }
}
