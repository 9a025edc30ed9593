//! What a guest is made from: enough to start its like again, from nothing or from a snapshot. This file must not start
//! anything.

use crate::identity::GuestId;
use crate::limits::DiskMib;
use crate::limits::MemMib;
use crate::limits::VcpuCount;
use pyro_engine::Disk;
use pyro_engine::DiskSource;
use pyro_engine::Durability;
use pyro_engine::Engine;
use pyro_engine::GuestSpec;
use pyro_engine::Layer;
use pyro_engine::Memory;
use pyro_image::Installed;
use serde::Deserialize;
use serde::Serialize;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

/// What a guest shall have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Virtual processors.
    pub vcpus: VcpuCount,
    /// Memory.
    pub mem: MemMib,
    /// Its own disk.
    pub disk: DiskMib,
}

/// What a guest is made from.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The engine that runs it.
    pub engine: Arc<dyn Engine>,
    /// Its environment, leased.
    pub installed: Installed,
    /// What it shall have.
    pub size: Size,
    /// A private folder on the disk where its own disk shall be.
    pub scratch: PathBuf,
}

/// A guest's own disk.
#[derive(Clone, Debug)]
pub enum OwnDisk {
    /// One file, usually without a name, that goes with the guest.
    Throwaway(Arc<File>),
    /// Layers that stay; the last is written to.
    Layers(Vec<Layer>),
}

impl OwnDisk {
    fn to_disk(&self) -> Disk {
        match self {
            Self::Throwaway(file) => {
                Disk::raw(DiskSource::File(Arc::clone(file)), false, Durability::Throwaway)
            }
            Self::Layers(layers) => {
                Disk { layers: layers.clone(), read_only: false, durability: Durability::Flushed }
            }
        }
    }
}

/// Where the agent looks for its own disk.
pub(crate) const OWN_DISK: &str = "/dev/vdb";

impl Plan {
    /// The engine's instructions for one guest. A guest that is booted `without_disk` leaves its own disk alone until it is
    /// told to open it; it may be another one by then.
    pub(super) fn spec(&self, id: &GuestId, memory: Memory, own: &OwnDisk, without_disk: bool) -> GuestSpec {
        let base = DiskSource::Path(self.installed.rootfs.clone());
        // The agent's own words: which disk is which.
        let mut cmdline = vec!["pyro.base=/dev/vda".to_owned()];
        if !without_disk {
            cmdline.push(format!("pyro.rw={OWN_DISK}"));
        }
        GuestSpec {
            id: id.to_string(),
            kernel: self.installed.kernel.clone(),
            initrd: self.installed.initrd.clone(),
            cmdline,
            vcpus: self.size.vcpus.get(),
            mem_mib: self.size.mem.get(),
            memory,
            disks: vec![Disk::raw(base, true, Durability::Throwaway), own.to_disk()],
            agent: None,
            runtime_dir: self.scratch.clone(),
        }
    }
}
