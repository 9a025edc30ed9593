//! The rounds: the engine alone, a boot and a start by restore in turn, as often as asked for.

use super::BenchError;
use super::Observer;
use super::floor;
use super::lab::Lab;
use super::lab::new_id;
use super::metric;
use super::options::Group;
use super::options::Options;
use super::samples::Samples;
use crate::machine::Machine;
use crate::template::Template;
use pyro_engine::Memory;
use std::time::Instant;

pub(super) async fn measure(
    lab: &Lab,
    options: &Options,
    samples: &mut Samples,
    observer: &mut dyn Observer,
) -> Result<(), BenchError> {
    let groups = [Group::Floor, Group::Boot, Group::Start];
    if !groups.iter().any(|group| options.wants(*group)) {
        return Ok(());
    }
    for round in 1..=options.runs {
        observer.progress(&format!("starts, round {round} of {}", options.runs));
        if options.wants(Group::Floor) {
            floor::measure(lab, samples).await?;
        }
        if options.wants(Group::Boot) {
            boot(lab, samples).await?;
        }
        if options.wants(Group::Start) {
            start(lab, samples).await?;
        }
    }
    Ok(())
}

async fn boot(lab: &Lab, samples: &mut Samples) -> Result<(), BenchError> {
    let machine = Machine::boot(&lab.config, &lab.store, &lab.plan, new_id()?, Memory::Anonymous).await?;
    let times = machine.times;
    let first = lab.ask(&machine.client).await?;
    machine.end().await;
    samples.push_time(metric::BOOT_PREPARE, times.prepare);
    samples.push_time(metric::BOOT_HELLO, times.boot);
    samples.push_time(metric::BOOT_AGENT_READY, times.attach);
    samples.push_time(metric::BOOT_FIRST_EXEC, first);
    Ok(())
}

/// What a user's start does, the check of the template included.
async fn start(lab: &Lab, samples: &mut Samples) -> Result<(), BenchError> {
    let began = Instant::now();
    let opened = Template::open(&lab.config, &lab.plan);
    let lost = || BenchError::TemplateLost { path: lab.template.folder().to_owned() };
    let template = opened.ok_or_else(lost)?;
    let checked = began.elapsed();
    let machine = template.start(&lab.config, &lab.plan, new_id()?).await?;
    let times = machine.times;
    let first = lab.ask(&machine.client).await?;
    let total = began.elapsed();
    machine.end().await;
    samples.push_time(metric::START_PREPARE, checked + times.prepare);
    samples.push_time(metric::START_HELLO, times.boot);
    samples.push_time(metric::START_AGENT_READY, times.attach);
    samples.push_time(metric::START_FIRST_EXEC, first);
    samples.push_time(metric::START_TOTAL, total);
    Ok(())
}
