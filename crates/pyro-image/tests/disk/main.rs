//! The readers of disks, held against what mkfs, debugfs, e2fsck and QEMU make of the same files. Nothing here needs root
//! or a mount.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod build;
mod compare;
mod ext4;
mod hostile;
mod journal;
mod layers;
mod merged;
mod support;
