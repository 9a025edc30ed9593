//! qcow2, as far as an overlay of ours needs it: version 3, clusters with subclusters, nothing optional. Which layer lies
//! under an overlay is not written in it, because a path inside a file that an emulator writes is a path a guest may get to
//! choose. This file must not know how the format is written or read; the files below do.
//!
//! ```text
//!   cluster 0     header
//!           1     refcount table: where the refcount blocks are
//!           2     the first refcount block: how often each cluster is used
//!           3 ..  L1: where the L2 tables are; an L2 entry is a cluster's place and two bits for each of its 32 subclusters
//! ```

mod create;
mod header;
mod reader;

pub use create::create_overlay;
pub use reader::Place;
pub use reader::Qcow2;
pub use reader::Qcow2Error;

/// The cluster size of the overlays we make, as a power of two: 64 KiB.
const CLUSTER_BITS: u32 = 16;
const CLUSTER_BYTES: u64 = 1 << CLUSTER_BITS;
/// An extended L2 entry speaks of this many parts of its cluster, 2 KiB each.
const SUBCLUSTERS: u64 = 32;
const SUBCLUSTER_BYTES: u64 = CLUSTER_BYTES / SUBCLUSTERS;
/// `QFI\xfb`.
const MAGIC: u32 = 0x5146_49fb;
const VERSION: u32 = 3;
/// An L2 entry has 16 bytes: extended L2 entries.
const INCOMPATIBLE_EXTENDED_L2: u64 = 1 << 4;
/// Bytes of the version 3 header without anything that came later.
const HEADER_BYTES: u32 = 104;
/// Bytes of an entry of the L1 table, and of an extended L2 entry.
const L1_ENTRY_BYTES: u64 = 8;
const L2_ENTRY_BYTES: u64 = 16;
/// Bytes of the disk that one L2 table speaks of: 256 MiB.
const L2_SPAN_BYTES: u64 = CLUSTER_BYTES / L2_ENTRY_BYTES * CLUSTER_BYTES;
/// The largest disk: more than a template of ours may have, and less than makes any sum overflow.
const SIZE_BYTES_MAX: u64 = 16 << 40;
