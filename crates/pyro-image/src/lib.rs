//! Environments: what a guest is made of. The catalogue, the Debian bootstrap, the kernel, the initrd and the disks.
//!
//! This room turns a name such as `debian:12` into files an engine can start from, and keeps those files honest: built aside
//! and renamed, locked between processes, their digests recorded and checked. It must not know running guests, print, or read
//! the environment or the home directory: everything it needs comes in a [`Config`].
//!
//! ```text
//!   catalogue --pull--> partial-* --rename--> environments/<name>-<version>-<digest>  --open--> Installed (a lease)
//!                          |                                                               |
//!                 killed: removed by the next                                     prune leaves what is leased
//!                 pull of the same name, or prune
//! ```
//!
//! **Invariant:** whoever works on or with a folder of the store holds a lock on it that dies with the process, the children of
//! a build included; a folder nobody holds is therefore free to be removed.

pub mod agent;
mod atomic;
mod bootstrap;
mod cancel;
mod catalogue;
mod child;
mod config;
mod cpio;
mod deathsig;
mod digest;
pub mod disk;
mod environment;
mod error;
mod hints;
mod image;
mod initrd;
mod install;
mod kernel;
mod layout;
mod lock;
mod manifest;
mod mirror;
mod namespace;
mod program;
mod progress;
mod prune;
mod pull;
mod rootfs;
mod sources;
mod space;
mod store;

pub use cancel::Cancel;
pub use cancel::CancelOnDrop;
pub use catalogue::Catalogue;
pub use config::Config;
pub use deathsig::die_with_thread;
pub use environment::Environment;
pub use error::ImageError;
pub use install::Installed;
pub use mirror::Mirror;
pub use progress::NoProgress;
pub use progress::Phase;
pub use progress::PhaseTime;
pub use progress::Progress;
pub use prune::PruneReport;
pub use pull::PullReport;
pub use store::ImageStore;
