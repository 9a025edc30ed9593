//! A workspace as one portable file: its document, its snapshots and its layers, compressed and with a digest of every part.
//! A pack that is read comes from anywhere: every length is bounded, every name is parsed, every layer's header is checked,
//! and nothing of it is used before all of it was. This folder must not start anything.
//!
//! ```text
//!   "PYROPACK" | schema u32 | zstd of:
//!     length u32 | manifest, JSON
//!     for each part the manifest names:  (offset u64 | length u64 | bytes)*  u64::MAX | size u64  SHA-256 of all of that
//!     SHA-256 of everything so far
//! ```
//!
//! All integers are little-endian. Holes of a layer are not in the pack. Names are in the manifest alone, and are those of
//! layers and snapshots: there are no paths.

mod error;
mod manifest;
mod read;
mod unpack;
mod write;

pub use error::PackError;
pub use read::check_pack;
pub use unpack::UnpackSpec;
pub use unpack::Unpacked;
pub use write::PackReport;
pub use write::PackSpec;

/// Begins every pack.
const MAGIC: &[u8; 8] = b"PYROPACK";
/// The version of a pack's shape.
const SCHEMA: u32 = 1;
/// In the place of an offset: the part is over.
const PART_END: u64 = u64::MAX;
/// Content goes through memory in pieces of this size.
const PIECE_BYTES: usize = 256 << 10;
