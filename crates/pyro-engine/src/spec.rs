//! What an engine is asked to start: plain data, no behaviour.

use serde::Deserialize;
use serde::Serialize;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

/// Which engine runs a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineKind {
    /// QEMU, with KVM or with its software emulation.
    Qemu,
    /// Firecracker, with KVM.
    Firecracker,
    /// No guest at all: the agent as a process on the host. Never chosen by itself.
    Host,
}

/// What executes the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Acceleration {
    /// The processor, through KVM: an isolation boundary.
    Kvm,
    /// Software emulation: not an isolation boundary by itself; the process is what is contained.
    Emulated,
    /// The host itself: no isolation.
    None,
}

/// A guest to be.
#[derive(Clone, Debug)]
pub struct GuestSpec {
    /// Names the guest in messages; 12 hexadecimal digits.
    pub id: String,
    /// An uncompressed ELF kernel.
    pub kernel: PathBuf,
    /// An initrd whose `/init` is the agent.
    pub initrd: PathBuf,
    /// Words for the kernel command line beyond what the engine itself needs.
    pub cmdline: Vec<String>,
    /// Virtual processors.
    pub vcpus: u8,
    /// Memory in MiB.
    pub mem_mib: u32,
    /// Where the memory lives.
    pub memory: Memory,
    /// Block devices, in order: the first is `/dev/vda`.
    pub disks: Vec<Disk>,
    /// The agent's executable, for the host engine alone.
    pub agent: Option<Arc<File>>,
    /// A private folder that exists: sockets of engines that need them, and the host engine's scratch folder.
    pub runtime_dir: PathBuf,
}

/// Where a guest's memory lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Anonymous: gone with the engine's process.
    Anonymous,
    /// This file, shared: a snapshot there needs to save the device state alone, and ends the guest's running for good. The
    /// engine creates and sizes it.
    SharedFile(PathBuf),
}

/// One block device.
#[derive(Clone, Debug)]
pub struct Disk {
    /// Where its bytes are.
    pub source: DiskSource,
    /// The guest may not write to it.
    pub read_only: bool,
    /// What a flush of the guest means.
    pub durability: Durability,
}

/// Where a disk's bytes are; always a raw image.
#[derive(Clone, Debug)]
pub enum DiskSource {
    /// A file by its path.
    Path(PathBuf),
    /// An open file, which may have no name any more: nothing of it can be left behind.
    File(Arc<File>),
}

/// What a guest's flush of a disk means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Nothing: the disk is thrown away with the guest.
    Throwaway,
    /// What was flushed survives a crash of the host.
    Flushed,
}

/// The two files a snapshot of memory consists of. Disks are the caller's business.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotFiles {
    /// Device state.
    pub state: PathBuf,
    /// Guest memory; mapped copy-on-write by every guest restored from it, so it must never change afterwards.
    pub memory: PathBuf,
}
