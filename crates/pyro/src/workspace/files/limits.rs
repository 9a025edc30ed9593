//! Every bound on work with files, in one place. Nothing here may come from a guest.

use std::time::Duration;

/// Entries of one page of a list when the caller names no number, and at most.
pub const LIST_ENTRIES_DEFAULT: usize = 10_000;
pub(super) const LIST_ENTRIES_MAX: usize = 1_000_000;

/// Entries a guest is asked for at most, whatever is picked from them.
pub(super) const SCAN_ENTRIES_MAX: u64 = 50_000_000;

/// Warnings that a document repeats.
pub(super) const WARNINGS_MAX: usize = 100;

/// Bytes of one read when the caller names no number, and at most.
pub const READ_BYTES_DEFAULT: u64 = 64 * 1024;
/// See [`READ_BYTES_DEFAULT`].
pub const READ_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Bytes that are looked through for the beginning of a range of lines.
pub(super) const LINES_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// Longest wait for the next bytes of a file: some of the kernel's own files give none until something happens.
pub(super) const READ_STALL: Duration = Duration::from_secs(60);

/// Matching lines when the caller names no number, and at most.
pub const MATCHES_DEFAULT: u32 = 1000;
pub(super) const MATCHES_MAX: u32 = 100_000;

/// Lines around each match that a search may give, and matches that it may give them for.
pub(super) const CONTEXT_LINES_MAX: u32 = 100;
pub(super) const CONTEXT_MATCHES_MAX: u32 = 200;
pub(super) const CONTEXT_BYTES_MAX: u64 = 64 * 1024;

/// Seconds that a search may take when the caller names no number.
pub const SEARCH_SECONDS_DEFAULT: u32 = 60;

/// Longest pattern; the guest has the same bound.
pub(super) const PATTERN_BYTES_MAX: usize = 16 * 1024;

/// Bytes of all globs of one request together.
pub(super) const GLOB_BYTES_MAX: usize = 64 * 1024;

/// Bytes of all files together that a patch is applied to.
pub(super) const PATCHED_BYTES_MAX: u64 = 256 * 1024 * 1024;
