//! Commands in a guest that is kept, beside the channel they travel on. They are asked for in turn, one at a time.

use super::BenchError;
use super::lab::Lab;
use super::lab::run;
use super::metric;
use super::metric::Metric;
use super::samples::Samples;
use crate::guest::GuestClient;
use pyro_proto::message::RequestBody;
use std::time::Duration;
use std::time::Instant;

/// A command takes a small part of what a start takes, so there are more of them.
const REPEATS: u32 = 4;

const COMMANDS: [(Metric, &[&str]); 3] = [
    (metric::EXEC_WARM_TRUE, &["true"]),
    (metric::EXEC_WARM_SHELL, &["/bin/sh", "-c", "true"]),
    (metric::EXEC_WARM_GIT, &["git", "--version"]),
];

pub(super) async fn measure(lab: &Lab, runs: u32, samples: &mut Samples) -> Result<(), BenchError> {
    let machine = lab.restore().await?;
    let result = measure_in(&machine.client, runs, samples).await;
    machine.end().await;
    result
}

async fn measure_in(client: &GuestClient, runs: u32, samples: &mut Samples) -> Result<(), BenchError> {
    let mut commands = Vec::new();
    ping(client).await?;
    for (metric, argv) in COMMANDS {
        // The first time does not count; what the guest does not have is left out.
        if run(client, argv).await.is_ok() {
            commands.push((metric, argv));
        }
    }
    for _ in 0..runs.saturating_mul(REPEATS) {
        samples.push_time(metric::CHANNEL_ROUND_TRIP, ping(client).await?);
        for (metric, argv) in &commands {
            samples.push_time(*metric, run(client, argv).await?);
        }
    }
    Ok(())
}

async fn ping(client: &GuestClient) -> Result<Duration, BenchError> {
    let began = Instant::now();
    client.call(RequestBody::Ping).await.map_err(BenchError::Ping)?;
    Ok(began.elapsed())
}
