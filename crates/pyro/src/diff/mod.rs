//! What changed between two trees, in the format of `git diff` that `git apply` accepts, and its `--stat`. Pure: this
//! folder must not read files or clocks; the caller brings each pair of contents that may differ.
//!
//! ```text
//!   pairs ── renames ──► entries ── render (header, text, binary) ──► Diff: patch, files ── stat
//! ```
//!
//! Work is bounded whatever the contents are: what is too large to compare is replaced as a whole, or named only.

mod entry;
mod lines;
mod names;
mod options;
mod renames;
mod render;
mod stat;
mod summary;
#[cfg(test)]
mod tests;

pub use entry::Content;
pub use entry::Pair;
pub use entry::Side;
pub use entry::SideKind;
pub use options::DiffOptions;
pub use render::diff;
pub use summary::Diff;
pub use summary::DiffStatus;
pub use summary::FileDiff;
pub use summary::Shown;
