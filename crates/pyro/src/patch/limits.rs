//! Every bound on a patch, in one place. Nothing here may be read from a patch.

/// How much a patch may be and make. Each is checked before memory is taken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole patch.
    pub patch_bytes_max: usize,
    /// Files it changes.
    pub files_max: usize,
    /// Hunks in all files together.
    pub hunks_max: usize,
    /// Lines in all hunks together.
    pub lines_max: usize,
    /// Bytes of one line.
    pub line_bytes_max: usize,
    /// Bytes of all binary contents together, after they were inflated and their deltas carried out.
    pub binary_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            patch_bytes_max: 64 * 1024 * 1024,
            files_max: 200_000,
            hunks_max: 1_000_000,
            lines_max: 4_000_000,
            line_bytes_max: 33 * 1024 * 1024,
            binary_bytes_max: 256 * 1024 * 1024,
        }
    }
}

/// Most bytes that all files which applying makes or keeps may have together.
pub(super) const MADE_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Most bytes of all paths together that must be known before a patch can be applied: a path of 4,096 bytes has up to 2,047
/// folders above it, each with a path of its own.
pub(super) const NEEDED_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Most comparisons of lines spent on finding the places of all hunks of a patch. Real patches need a few for each line
/// of theirs; a patch made of near-repetitions would need the product of two sizes.
pub(super) const COMPARISONS_MAX: u64 = 200_000_000;

/// Most failures that one refusal lists.
pub(super) const FAILURES_MAX: usize = 100;

/// Longest piece of a patch or a file that a message quotes, in bytes.
pub(super) const QUOTED_BYTES_MAX: usize = 160;
