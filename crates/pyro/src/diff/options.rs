//! How changes are shown, and every bound on the work and the size of that. Nothing here may be read from a tree.

use std::time::Instant;

/// How changes are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiffOptions {
    /// Lines of context around each change; `git apply` wants at least one.
    pub context_lines: usize,
    /// Whether moved files are found.
    pub renames: bool,
    /// Whether binary contents are in the patch; otherwise it says only that they differ.
    pub binary: bool,
    /// Most bytes of a file on either side that are compared as text.
    pub text_bytes_max: usize,
    /// Most bytes of a binary file on both sides together that go into the patch.
    pub binary_bytes_max: usize,
    /// The same for all binary files of the patch.
    pub binary_total_bytes_max: usize,
    /// Most lines of a file on both sides together that are compared one by one.
    pub lines_max: usize,
    /// Most bytes of the whole patch; files that would pass it are named only.
    pub patch_bytes_max: usize,
    /// Most lines looked at while finding files that moved and changed.
    pub rename_lines_max: u64,
    /// When comparing line by line gives up for coarser answers, which are right all the same. Whoever does not trust the
    /// contents should set it: the worst of them cost some ten seconds each.
    pub deadline: Option<Instant>,
}

/// What these allow, [`crate::patch::Limits`] allow too.
impl Default for DiffOptions {
    fn default() -> Self {
        Self {
            context_lines: 3,
            renames: true,
            binary: true,
            text_bytes_max: 32 * 1024 * 1024,
            binary_bytes_max: 16 * 1024 * 1024,
            binary_total_bytes_max: 256 * 1024 * 1024,
            lines_max: 400_000,
            patch_bytes_max: 64 * 1024 * 1024,
            rename_lines_max: 20_000_000,
            deadline: None,
        }
    }
}

/// Bytes from the beginning of a content in which git looks for a zero byte to know that it is binary.
pub(super) const BINARY_LOOK_BYTES: usize = 8000;

/// Digits that are left of an id where it need not be whole.
pub(super) const SHORT_ID_DIGITS: usize = 7;

/// Longest heading of a hunk, in bytes.
pub(super) const HEADING_BYTES_MAX: usize = 80;

/// Percent of a file that must be the same for it to have moved.
pub(super) const SIMILARITY_MIN: u64 = 50;

/// Largest file that is looked at for having moved and changed, in bytes.
pub(super) const RENAME_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of all files that went and are looked at so: what is remembered of them stays in memory for a while.
pub(super) const RENAME_TOTAL_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Most pairs of files that went and files that came; with more of them only those that moved unchanged are found.
pub(super) const RENAME_PAIRS_MAX: usize = 16_000_000;

/// Of files with the same content, how many are looked at for one with the right name.
pub(super) const SAME_LOOK_MAX: usize = 100;
