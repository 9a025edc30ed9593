//! Why bytes are no patch. This file must not know how patches are applied.

use super::limits::QUOTED_BYTES_MAX;
use crate::code;
use crate::code::Coded;

/// Why bytes are no patch, or none that may be applied. Lines are those of the patch, from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// There is no patch in the bytes.
    #[error("there is no patch in these {bytes} bytes")]
    Empty {
        /// How many there are.
        bytes: usize,
    },
    /// One of the [`super::Limits`] is passed.
    #[error("line {line}: the patch has more than {most} {what}")]
    TooLarge {
        /// What there is too much of, with its unit.
        what: &'static str,
        /// How much is allowed.
        most: usize,
        /// Where it was noticed.
        line: usize,
    },
    /// A path is absolute or has a `..` in it.
    #[error("line {line}: the path '{path}' leaves the folder that the patch is for")]
    PathEscapes {
        /// The path as the patch has it.
        path: String,
        /// Where.
        line: usize,
    },
    /// A path is none: empty, too long, or with a zero byte or an unreadable escape.
    #[error("line {line}: '{path}' is no path of a file")]
    Path {
        /// The path as the patch has it, or its beginning.
        path: String,
        /// Where.
        line: usize,
    },
    /// The file is a commit of another repository.
    #[error("line {line}: '{file}' is a submodule, which is not a file and cannot be patched")]
    Submodule {
        /// Its path.
        file: String,
        /// Where.
        line: usize,
    },
    /// The lines before a file's hunks cannot be understood.
    #[error("line {line}: the header of '{file}' {what}")]
    Header {
        /// The file, or the header's first line where it names none.
        file: String,
        /// Where.
        line: usize,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A hunk comes before any file's header.
    #[error("line {line}: a hunk without the header of a file")]
    HunkWithoutHeader {
        /// Where.
        line: usize,
    },
    /// A hunk cannot be understood.
    #[error("line {line}: hunk {hunk} of '{file}' {what}")]
    Hunk {
        /// The file.
        file: String,
        /// Which of its hunks, from 1.
        hunk: usize,
        /// Where.
        line: usize,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A binary content cannot be understood.
    #[error("line {line}: the binary content of '{file}' {what}")]
    Binary {
        /// The file.
        file: String,
        /// Where.
        line: usize,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl Coded for PatchError {
    fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => code::PATCH_TOO_LARGE,
            Self::PathEscapes { .. } => code::PATCH_PATH_ESCAPES,
            _ => code::PATCH_INVALID,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Empty { .. } => "a patch is what 'git diff' or 'diff -u' prints",
            Self::TooLarge { .. } => "apply it in several parts",
            Self::PathEscapes { .. } => "paths in a patch are relative to the folder it is applied in",
            Self::Submodule { .. } => "leave it out: 'git diff --ignore-submodules'",
            Self::Hunk { .. } => {
                "the counts in '@@ -a,b +c,d @@' must match the lines below them, and the last line must end with a newline"
            }
            Self::Binary { .. } => "make the patch with 'git diff --binary'",
            Self::Path { .. } | Self::Header { .. } | Self::HunkWithoutHeader { .. } => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
}

/// The beginning of bytes, for people.
pub(super) fn shown(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(QUOTED_BYTES_MAX)];
    let text = String::from_utf8_lossy(cut).into_owned();
    if cut.len() < bytes.len() { text + "..." } else { text }
}
