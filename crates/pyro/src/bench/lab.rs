//! What every measurement stands on: an engine, an installed environment, its template, and guests started from it. This file
//! must not keep a figure.

use super::BenchError;
use super::Observer;
use crate::config::Config;
use crate::guest::ExecStreams;
use crate::guest::GuestClient;
use crate::identity::GuestId;
use crate::machine::Machine;
use crate::machine::MachineError;
use crate::machine::Plan;
use crate::machine::Size;
use crate::state;
use crate::template::Template;
use pyro_image::ImageStore;
use pyro_proto::exec::Ending;
use pyro_proto::exec::ExecSpec;
use std::time::Duration;
use std::time::Instant;

/// How long a command in a guest may take, in milliseconds: the slowest writes 300 MiB under emulation.
const COMMAND_TIMEOUT_MS: u64 = 120_000;
/// The first command of a guest, best first: what an agent would ask, and what every guest has.
const QUESTIONS: [&[&str]; 2] = [&["git", "--version"], &["true"]];
/// Makes 300 MiB of the guest's memory hold something. A file on tmpfs is memory; zeros would be holes.
const TOUCH: &str = "yes pyro | head -c 314572800 > /dev/shm/pyro-bench";

/// What every measurement stands on.
#[derive(Debug)]
pub(super) struct Lab {
    pub(super) config: Config,
    pub(super) store: ImageStore,
    pub(super) plan: Plan,
    pub(super) template: Template,
    /// The first command of every guest.
    pub(super) question: &'static [&'static str],
}

impl Lab {
    /// Makes everything ready, and starts one guest that does not count, so that the first figure is like the others.
    pub(super) async fn open(
        config: &Config,
        environment: &str,
        observer: &mut dyn Observer,
    ) -> Result<Self, BenchError> {
        let store = ImageStore::new(config.image_config())?;
        let installed = store.open(environment)?;
        let chosen = pyro_engine::choose(config.engine, &config.probe_cache(), &config.search_path).await?;
        if let Some(notice) = &chosen.notice {
            observer.notice(notice);
        }
        let scratch = state::scratch_dir(config)?;
        let plan = Plan { engine: chosen.engine, installed, size: Size::default(), scratch };
        if Template::open(config, &plan).is_none() {
            observer.progress("making the template");
        }
        let template = Template::ensure(config, &store, &plan).await;
        let environment = environment.to_owned();
        let template = template.map_err(|source| BenchError::Template { environment, source })?;
        observer.progress("one start that does not count");
        let mut lab = Self { config: config.clone(), store, plan, template, question: QUESTIONS[1] };
        let machine = lab.restore().await?;
        if let Some(question) = first_answered(&machine.client).await {
            lab.question = question;
        }
        machine.end().await;
        Ok(lab)
    }

    /// A guest started from the template.
    pub(super) async fn restore(&self) -> Result<Machine, BenchError> {
        Ok(self.template.start(&self.config, &self.plan, new_id()?).await?)
    }

    /// A guest started from the template, 300 MiB of whose memory hold something.
    pub(super) async fn restore_touched(&self) -> Result<Machine, BenchError> {
        let machine = self.restore().await?;
        run(&machine.client, &["/bin/sh", "-c", TOUCH]).await?;
        Ok(machine)
    }

    /// Asks a guest the first question; how long the answer took.
    pub(super) async fn ask(&self, client: &GuestClient) -> Result<Duration, BenchError> {
        run(client, self.question).await
    }
}

/// A name for a guest.
pub(super) fn new_id() -> Result<GuestId, BenchError> {
    Ok(GuestId::random().map_err(MachineError::Random)?)
}

/// Runs a command to its end; how long it took. Its output is small, and thrown away.
pub(super) async fn run(client: &GuestClient, argv: &[&str]) -> Result<Duration, BenchError> {
    let command = || argv.join(" ");
    let spec = ExecSpec {
        argv: argv.iter().map(|word| (*word).into()).collect(),
        timeout_ms: Some(COMMAND_TIMEOUT_MS),
        ..ExecSpec::default()
    };
    let failed = |source| BenchError::Command { command: command(), source };
    let began = Instant::now();
    let mut exec = client.exec(spec, ExecStreams::default()).map_err(failed)?;
    exec.started().await.map_err(failed)?;
    let exit = exec.exited().await.map_err(failed)?;
    let took = began.elapsed();
    match exit.ending {
        Ending::Code(0) => Ok(took),
        _ => Err(BenchError::CommandFailed { command: command() }),
    }
}

async fn first_answered(client: &GuestClient) -> Option<&'static [&'static str]> {
    for question in QUESTIONS {
        if run(client, question).await.is_ok() {
            return Some(question);
        }
    }
    None
}

/// Ends guests: all are killed before the first is waited for, so that they go at the same time.
pub(super) async fn end_all(mut machines: Vec<Machine>) {
    for machine in &mut machines {
        machine.guest.kill();
    }
    for machine in machines {
        machine.end().await;
    }
}
