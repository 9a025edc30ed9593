//! Forks of one running guest with touched memory into several, all of which answer and are there at once.

use super::BenchError;
use super::Observer;
use super::lab::Lab;
use super::lab::end_all;
use super::metric;
use super::report::cpus;
use super::samples::Samples;
use crate::fork::ForkPoint;
use crate::machine::Machine;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const KIB_PER_MIB: f64 = 1024.0;

pub(super) async fn measure(
    lab: &Arc<Lab>,
    counts: &[u32],
    samples: &mut Samples,
    observer: &mut dyn Observer,
) -> Result<(), BenchError> {
    let mut parent = lab.restore_touched().await?;
    let mut result = Ok(());
    for count in counts {
        observer.progress(&format!("forks into {count}"));
        result = once(lab, &mut parent, *count, samples).await;
        if result.is_err() {
            break;
        }
    }
    parent.end().await;
    result
}

async fn once(
    lab: &Arc<Lab>,
    parent: &mut Machine,
    count: u32,
    samples: &mut Samples,
) -> Result<(), BenchError> {
    let Some([pause, total, child, pss]) = metric::of_fork(count) else { return Ok(()) };
    let began = Instant::now();
    let point = ForkPoint::of(&lab.config, parent).await;
    let point = point.map_err(|source| BenchError::Fork { children: count, source })?;
    samples.push_time(pause, point.report.pause);
    let children = answering(lab, Arc::new(point), count).await?;
    samples.push_time(total, began.elapsed());
    for (machine, took) in &children {
        samples.push_time(child, *took);
        let guest = machine.id.to_string();
        let usage = machine.guest.usage().map_err(|source| BenchError::Usage { guest, source })?;
        samples.push(pss, usage.pss_kib as f64 / KIB_PER_MIB);
    }
    end_all(children.into_iter().map(|(machine, _)| machine).collect()).await;
    Ok(())
}

/// The children, each with the time from its own start to its first answer. As many start at once as there are processors:
/// more would only wait for each other. When one fails the others are dropped, which ends them.
async fn answering(
    lab: &Arc<Lab>,
    point: Arc<ForkPoint>,
    count: u32,
) -> Result<Vec<(Machine, Duration)>, BenchError> {
    let turns = Arc::new(Semaphore::new(cpus()));
    let mut starts = JoinSet::new();
    for _ in 0..count {
        let (lab, point, turns) = (Arc::clone(lab), Arc::clone(&point), Arc::clone(&turns));
        starts.spawn(async move {
            // The semaphore is never closed; without a turn the start would merely come early.
            let _turn = turns.acquire().await;
            let began = Instant::now();
            let started = point.start(&lab.config).await;
            let machine = started.map_err(|source| BenchError::Fork { children: count, source })?;
            lab.ask(&machine.client).await?;
            Ok::<_, BenchError>((machine, began.elapsed()))
        });
    }
    let mut children = Vec::new();
    while let Some(ended) = starts.join_next().await {
        children.push(ended.map_err(BenchError::Task)??);
    }
    Ok(children)
}

#[cfg(test)]
mod tests {
    use super::super::options::Options;
    use super::metric;

    #[test]
    fn every_fork_that_is_done_by_default_has_its_figures() {
        for count in Options::of("debian:12").forks {
            assert!(metric::of_fork(count).is_some(), "{count}");
        }
    }
}
