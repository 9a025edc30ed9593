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

/// One block device. Which layers it consists of is nothing a guest can see, and no part of a snapshot: one that was taken over
/// some layers may be restored over others with the same content.
#[derive(Clone, Debug)]
pub struct Disk {
    /// Where its bytes are, from the bottom up. What a layer does not hold is looked for in the one below it; what the
    /// guest writes goes to the last one, and the others are only ever read.
    pub layers: Vec<Layer>,
    /// The guest may not write to it.
    pub read_only: bool,
    /// What a flush of the guest means.
    pub durability: Durability,
}

impl Disk {
    /// A disk that is a single raw image.
    pub fn raw(source: DiskSource, read_only: bool, durability: Durability) -> Self {
        Self { layers: vec![Layer { source, format: DiskFormat::Raw }], read_only, durability }
    }
}

/// A part of a disk's content, in a file of its own.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The file.
    pub source: DiskSource,
    /// How to read it: nothing is ever guessed from its content, which a guest may have written.
    pub format: DiskFormat,
}

/// How a layer's file holds its part of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskFormat {
    /// Byte for byte; only the bottom layer can be like this, because it hides whatever is below.
    Raw,
    /// QEMU's own, of version 3. It must name no other file: what lies below is said by the order of the layers alone.
    Qcow2,
}

/// Where a layer's file is.
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
