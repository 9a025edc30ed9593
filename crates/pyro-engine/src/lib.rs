//! Starts, pauses, snapshots, restores and ends microVMs behind one trait.
//!
//! This crate knows engines and nothing above them: it must not know environments, workspaces or commands, read the
//! environment or the home directory, or print.

pub mod choose;
pub mod engine;
pub mod host;
pub mod memory;
pub mod probe;
mod process;
pub mod qemu;
pub mod spec;
pub mod stall;

pub use choose::ChooseError;
pub use choose::Chosen;
pub use choose::EngineChoice;
pub use choose::choose;
pub use engine::Engine;
pub use engine::EngineError;
pub use engine::EngineExit;
pub use engine::Guest;
pub use engine::Usage;
pub use host::HostEngine;
pub use qemu::QemuEngine;
pub use spec::Acceleration;
pub use spec::Disk;
pub use spec::DiskFormat;
pub use spec::DiskSource;
pub use spec::Durability;
pub use spec::EngineKind;
pub use spec::GuestSpec;
pub use spec::Layer;
pub use spec::Memory;
pub use spec::SnapshotFiles;
pub use stall::Stall;
