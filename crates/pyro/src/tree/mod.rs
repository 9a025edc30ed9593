//! File trees on the host: what is read from folders and archives to go into a guest, and what comes out of one and is made
//! into folders and archives. All of it speaks [`pyro_proto::tree::Record`]s.
//!
//! ```text
//!   folder   ── walk ── send ──┐                     ┌── extract ──► folder, file or link
//!   .tar.*   ───── tar_in ─────┼──► records (bytes) ─┤
//!   git      ── git ── walk ───┘                     └── tar_out ──► .tar, .tar.gz, .tar.zst
//!
//!   folder ── manifest ── plan (against a scan of the guest, and what was pushed before) ──► what to send and delete
//!   folder ── watch ──► batches of changed paths
//! ```
//!
//! Everything here blocks: it is meant for threads of its own, with back-pressure by bounded channels. It must not print, know
//! workspaces, or follow a symbolic link below a root: links are data.

mod cache;
mod decompress;
mod document;
mod encode;
mod extract;
mod extract_error;
#[cfg(test)]
mod fixture;
mod git;
mod intake;
mod links;
mod manifest;
mod member;
mod pax;
mod place;
mod plan;
mod pushed;
mod rules;
mod send;
mod source;
mod tar_error;
mod tar_header;
mod tar_in;
mod tar_out;
mod temporary;
mod walk;
mod warnings;
mod watch;

pub use cache::HashCache;
pub use document::DocumentError;
pub use encode::Encoder;
pub use encode::Sink;
pub use encode::Stop;
pub use extract::ExtractOptions;
pub use extract::Extracted;
pub use extract::Extractor;
pub use extract_error::ExtractError;
pub use git::GitError;
pub use git::GitProgram;
pub use git::GitSeed;
pub use git::GitSource;
pub use intake::IntakeLimits;
pub use links::Links;
pub use manifest::HostEntry;
pub use manifest::HostManifest;
pub use manifest::ManifestError;
pub use member::Refusal;
pub use plan::PushPlan;
pub use plan::plan;
pub use pushed::PushedManifest;
pub use pyro_proto::tree::Entry;
pub use pyro_proto::tree::EntryKind;
pub use pyro_proto::tree::Timestamp;
pub use pyro_proto::tree::TreePath;
pub use rules::Rules;
pub use send::SendError;
pub use send::Sent;
pub use send::send;
pub use send::send_and_note;
pub use send::send_entries;
pub use source::Source;
pub use tar_error::At;
pub use tar_error::TarError;
pub use tar_in::TarReport;
pub use tar_in::read_tar;
pub use tar_out::Compression;
pub use tar_out::TarLimits;
pub use tar_out::TarOutError;
pub use tar_out::TarWriter;
pub use tar_out::TarWritten;
pub use walk::WalkError;
pub use walk::WalkOptions;
pub use walk::Walker;
pub use warnings::WARNINGS_MAX;
pub use warnings::Warnings;
pub use watch::Batch;
pub use watch::Skip;
pub use watch::Stopper;
pub use watch::Watch;
pub use watch::WatchError;
pub use watch::WatchOptions;
