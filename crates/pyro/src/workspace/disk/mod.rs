//! A workspace's files, read on the host from its layers and its environment: of one that is stopped, of one that runs while
//! its disk is held, and of snapshots. What a guest has written is hostile; it is read by `pyro_image`'s readers alone, and
//! never mounted. This folder must not write to a layer.
//!
//! ```text
//!   stopped:   lock --------------------------> read --> unlock
//!   running:   Hold ... the disk stands still -> read --> let go      as short as can be: the guest's writers wait
//!   snapshot:  ------------------------------> read                   its layers never change
//! ```

mod access;
mod changes;
mod details;
mod diff;
mod error;
mod export;
mod image;
mod list;
mod packages;
mod records;
mod report;
mod system;
pub(super) mod view;

pub(super) use access::Access;
pub use diff::DiffSpec;
pub(super) use diff::blocking;
pub use error::FilesError;
pub use image::DiskExport;
pub use image::DiskExportSpec;
pub(super) use image::Output;
pub use list::DiskEntry;
pub use list::DiskList;
pub use list::DiskRead;
pub use list::ReadSpec;
pub use packages::PackageChange;
pub use report::DiffEntry;
pub use report::DiffReport;
pub use report::Totals;
