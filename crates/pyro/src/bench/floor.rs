//! What the engine alone costs: its process, and bringing back the template's guest, with no agent spoken to and no command
//! run. The disk's copy is made beforehand and not counted.

use super::BenchError;
use super::lab::Lab;
use super::lab::new_id;
use super::metric;
use super::samples::Samples;
use pyro_engine::Disk;
use pyro_engine::DiskSource;
use pyro_engine::Durability;
use pyro_engine::Guest;
use pyro_engine::GuestSpec;
use pyro_engine::Memory;
use pyro_engine::SnapshotFiles;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

pub(super) async fn measure(lab: &Lab, samples: &mut Samples) -> Result<(), BenchError> {
    let [state, memory, disk] = crate::machine::snapshot_files(lab.template.folder());
    let spec = spec(lab, &disk)?;
    let began = Instant::now();
    let started = lab.plan.engine.start(spec.clone()).await.map_err(BenchError::Engine)?;
    samples.push_time(metric::FLOOR_SPAWN, began.elapsed());
    end(started).await;
    let files = SnapshotFiles { state, memory };
    let began = Instant::now();
    let restored = lab.plan.engine.restore(spec, &files).await.map_err(BenchError::Engine)?;
    samples.push_time(metric::FLOOR_RESTORE, began.elapsed());
    end(restored).await;
    Ok(())
}

async fn end(mut guest: Box<dyn Guest>) {
    guest.kill();
    guest.wait().await;
}

/// A guest of the template's shape. Nobody will speak to its agent.
fn spec(lab: &Lab, disk: &Path) -> Result<GuestSpec, BenchError> {
    let plan = &lab.plan;
    let copy = File::open(disk).and_then(|from| pyro_image::disk::copy_unnamed(&from, &plan.scratch));
    let copy = copy.map_err(|source| BenchError::Disk { path: disk.to_owned(), source })?;
    let disk = |source, read_only| Disk::raw(source, read_only, Durability::Throwaway);
    Ok(GuestSpec {
        id: new_id()?.to_string(),
        kernel: plan.installed.kernel.clone(),
        initrd: plan.installed.initrd.clone(),
        cmdline: Vec::new(),
        vcpus: plan.size.vcpus.get(),
        mem_mib: plan.size.mem.get(),
        memory: Memory::Anonymous,
        disks: vec![
            disk(DiskSource::Path(plan.installed.rootfs.clone()), true),
            disk(DiskSource::File(Arc::new(copy)), false),
        ],
        agent: None,
        runtime_dir: plan.scratch.clone(),
    })
}
