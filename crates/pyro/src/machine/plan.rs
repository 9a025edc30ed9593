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

impl Plan {
    /// The engine's instructions for one guest.
    pub(super) fn spec(&self, id: &GuestId, memory: Memory, rw: &Arc<File>) -> GuestSpec {
        let disk = |source, read_only| Disk { source, read_only, durability: Durability::Throwaway };
        GuestSpec {
            id: id.to_string(),
            kernel: self.installed.kernel.clone(),
            initrd: self.installed.initrd.clone(),
            // The agent's own words: which disk is which.
            cmdline: vec!["pyro.base=/dev/vda".to_owned(), "pyro.rw=/dev/vdb".to_owned()],
            vcpus: self.size.vcpus.get(),
            mem_mib: self.size.mem.get(),
            memory,
            disks: vec![
                disk(DiskSource::Path(self.installed.rootfs.clone()), true),
                disk(DiskSource::File(Arc::clone(rw)), false),
            ],
            agent: None,
            runtime_dir: self.scratch.clone(),
        }
    }
}
