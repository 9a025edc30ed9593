//! Patches as git and `diff -u` write them: read into a model, and applied to files that somebody else fetched.
//! Pure: this folder must not open files, follow links or write anything; what it decides is returned as a list of
//! [`Change`]s, all of them or none.
//!
//! ```text
//!   bytes ── Patch::parse ──► Patch ── paths_needed ──► (the caller fetches) ── apply ──► Applied: changes, reports
//! ```
//!
//! Names and contents are bytes and need not be UTF-8. A patch is hostile: each bound in [`Limits`] is checked before
//! anything is kept, and no path leaves the root that the patch is applied in.

mod apply;
mod base85;
mod binary;
mod content;
mod delta;
mod error;
mod failure;
mod files;
mod header;
mod hunk;
mod limits;
mod model;
mod name;
mod object;
mod parse;
mod place;
mod plain;
mod reader;
mod reverse;
mod split;
#[cfg(test)]
mod tests;
mod tree;
mod work;

pub use apply::ApplyOptions;
pub use apply::apply;
pub(crate) use base85::encode as encode_base85;
pub use error::PatchError;
pub use failure::AppliedAlready;
pub use failure::ApplyError;
pub use failure::Failure;
pub use failure::Reason;
pub use files::Action;
pub use files::Applied;
pub use files::Change;
pub use files::Current;
pub use files::CurrentKind;
pub use files::FileReport;
pub use files::Files;
pub use files::HunkReport;
pub use files::Needed;
pub use files::Status;
pub use files::WrittenKind;
pub use limits::Limits;
pub use model::BinaryData;
pub use model::Body;
pub use model::FilePatch;
pub use model::GitMode;
pub use model::Hunk;
pub use model::Line;
pub use model::LineKind;
pub use model::Operation;
pub use model::Patch;
pub(crate) use name::needs_tab;
pub(crate) use name::quote;
pub(crate) use object::blob_id;
pub use parse::ParseOptions;
