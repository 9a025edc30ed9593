//! Snapshots of a running guest with touched memory, and guests started from them.

use super::BenchError;
use super::lab::Lab;
use super::lab::new_id;
use super::metric;
use super::samples::Samples;
use crate::machine::Machine;
use crate::state;
use std::time::Instant;

pub(super) async fn measure(lab: &Lab, runs: u32, samples: &mut Samples) -> Result<(), BenchError> {
    let mut machine = lab.restore_touched().await?;
    let mut result = Ok(());
    for _ in 0..runs {
        result = once(lab, &mut machine, samples).await;
        if result.is_err() {
            break;
        }
    }
    machine.end().await;
    result
}

async fn once(lab: &Lab, machine: &mut Machine, samples: &mut Samples) -> Result<(), BenchError> {
    let folder = state::scratch(&lab.config, "bench")?;
    let (snapshot, report) = machine.snapshot(folder.path()).await?;
    samples.push_time(metric::SNAPSHOT_PAUSE, report.pause);
    samples.push_time(metric::SNAPSHOT_TOTAL, report.total);
    let began = Instant::now();
    let twin = Machine::restore(&lab.config, &lab.plan, &snapshot, folder.path(), new_id()?).await?;
    lab.ask(&twin.client).await?;
    samples.push_time(metric::SNAPSHOT_RESTORE, began.elapsed());
    twin.end().await;
    Ok(())
}
