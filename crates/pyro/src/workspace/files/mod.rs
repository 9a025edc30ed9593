//! Files of a running workspace: listing, reading, writing, searching, moving, removing, patching. Each is a method of
//! [`super::Workspace`] and answers with the document that every surface shows. The work itself is done in the guest, by
//! tools; this folder must not trust what they say beyond what the codec checks, nor hold more of it than its bounds allow.
//!
//! ```text
//!   GuestPath (what a user said, cleaned) ──► one tool run ──► document
//!   patch ──► fetch (one Send) ──► crate::patch::apply, pure ──► commit (one staged Receive, or nothing)
//! ```

mod across;
mod attributes;
mod change;
mod commit;
mod error;
mod fetch;
mod limits;
mod lines;
mod list;
mod look;
mod patch;
mod path;
mod read;
mod search;
mod show;
mod write;

pub use attributes::Attributes;
pub use error::FilesError;
pub use limits::LIST_ENTRIES_DEFAULT;
pub use limits::MATCHES_DEFAULT;
pub use limits::READ_BYTES_DEFAULT;
pub use limits::READ_BYTES_MAX;
pub use limits::SEARCH_SECONDS_DEFAULT;
pub use list::ListOptions;
pub use patch::PatchOptions;
pub use path::GuestPath;
pub use path::GuestPathError;
pub use read::FileContent;
pub use read::Range;
pub use read::ReadOptions;
pub use read::Reading;
pub use search::SearchOptions;
pub use write::WriteOptions;
