//! What guests cost that do nothing, memory and processor time, and that they are still there.

use super::BenchError;
use super::lab::Lab;
use super::lab::end_all;
use super::metric;
use super::samples::Samples;
use crate::machine::Machine;
use pyro_engine::Usage;
use std::time::Duration;
use std::time::Instant;

/// Over how long processor time is counted. It is counted in hundredths of a second, so this is good to a third of a percent.
const WINDOW: Duration = Duration::from_secs(3);
const KIB_PER_MIB: f64 = 1024.0;
const PERCENT: f64 = 100.0;

pub(super) async fn measure(lab: &Lab, guests: u32, samples: &mut Samples) -> Result<(), BenchError> {
    let mut machines = Vec::new();
    for _ in 0..guests {
        let machine = lab.restore().await?;
        lab.ask(&machine.client).await?;
        machines.push(machine);
    }
    let before = usages(&machines)?;
    let began = Instant::now();
    // Not a wait for something to happen: that nothing does is what is measured.
    tokio::time::sleep(WINDOW).await;
    let window_ms = began.elapsed().as_secs_f64() * 1000.0;
    for (before, after) in before.iter().zip(usages(&machines)?) {
        samples.push(metric::IDLE_PSS, after.pss_kib as f64 / KIB_PER_MIB);
        let cpu_ms = after.cpu_ms.saturating_sub(before.cpu_ms);
        samples.push(metric::IDLE_CPU, cpu_ms as f64 / window_ms * PERCENT);
    }
    for machine in &machines {
        samples.push_time(metric::IDLE_ANSWER, lab.ask(&machine.client).await?);
    }
    end_all(machines).await;
    Ok(())
}

fn usages(machines: &[Machine]) -> Result<Vec<Usage>, BenchError> {
    let usage = |machine: &Machine| {
        let guest = machine.id.to_string();
        machine.guest.usage().map_err(|source| BenchError::Usage { guest, source })
    };
    machines.iter().map(usage).collect()
}
