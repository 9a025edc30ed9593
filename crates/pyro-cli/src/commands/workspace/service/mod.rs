//! `pyro workspace service`: one file per command but those that only show or end one.

mod logs;
mod start;

use super::done;
use super::find;
use super::parsed;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use clap::Subcommand;
use pyro::workspace::ServiceName;
use pyro::workspace::ServiceRecord;
use pyro::workspace::ServiceState;
use std::time::Duration;

/// Run commands that stay, by name.
///
/// A running service counts as use of its workspace, as every command does. It ends with its guest; what is known of it and
/// what it printed stays until the workspace is deleted.
#[derive(Debug, Subcommand)]
pub enum Service {
    /// Start a service and wait until it is ready.
    Start(Box<start::Start>),
    /// List the services of a workspace, running or not.
    List(List),
    /// Show how a service is.
    Status(Status),
    /// Print what a service has printed.
    Logs(logs::Logs),
    /// End a service.
    Stop(Stop),
    /// End a service if it runs, and start it again as it was.
    Restart(Restart),
}

/// List the services of a workspace, running or not.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Workspace, by id or name.
    workspace: String,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Show how a service is.
#[derive(Debug, clap::Args)]
pub struct Status {
    /// Workspace, by id or name.
    workspace: String,

    /// Name of the service.
    #[arg(value_parser = parsed::<ServiceName>)]
    name: ServiceName,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// End a service with everything it started, and close its ports. One that has ended already stays as it is.
#[derive(Debug, clap::Args)]
pub struct Stop {
    /// Workspace, by id or name.
    workspace: String,

    /// Name of the service.
    #[arg(value_parser = parsed::<ServiceName>)]
    name: ServiceName,

    /// Time it may take to end by itself after TERM; then it gets KILL.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = clap::value_parser!(u64).range(0..=3600))]
    timeout_seconds: u64,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// End a service if it runs, and start it again with the command and the options it was started with. What it printed before
/// stays in its logs.
#[derive(Debug, clap::Args)]
pub struct Restart {
    /// Workspace, by id or name.
    workspace: String,

    /// Name of the service.
    #[arg(value_parser = parsed::<ServiceName>)]
    name: ServiceName,

    /// Time it may take to end by itself after TERM; then it gets KILL.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = clap::value_parser!(u64).range(0..=3600))]
    timeout_seconds: u64,

    /// Do not wait until it is ready.
    #[arg(long)]
    no_wait: bool,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Service {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        match self {
            Self::Start(command) => command.call(engine),
            Self::List(command) => command.call(engine),
            Self::Status(command) => command.call(engine),
            Self::Logs(command) => command.call(engine),
            Self::Stop(command) => command.call(engine),
            Self::Restart(command) => command.call(engine),
        }
    }
}

impl List {
    fn call(self, engine: &str) -> Result<i32, Failure> {
        let workspace = find(engine, &self.workspace, exit::FAILED)?;
        let services = done(workspace.services())?;
        if self.json {
            output::json(&workspace.describe_services(&services));
            return Ok(exit::OK);
        }
        if services.is_empty() {
            output::line("No services.");
        }
        for service in &services {
            output::line(&format!(
                "{} [{}] cwd={} published={}",
                service.service_name,
                state(service),
                service.cwd,
                ports(service)
            ));
        }
        Ok(exit::OK)
    }
}

impl Status {
    fn call(self, engine: &str) -> Result<i32, Failure> {
        let workspace = find(engine, &self.workspace, exit::FAILED)?;
        let service = done(workspace.service(&self.name))?;
        show(&service, "status", self.json, false);
        Ok(exit::OK)
    }
}

impl Stop {
    fn call(self, engine: &str) -> Result<i32, Failure> {
        let workspace = find(engine, &self.workspace, exit::FAILED)?;
        let service = done(workspace.stop_service(&self.name, Duration::from_secs(self.timeout_seconds)))?;
        show(&service, "stop", self.json, true);
        Ok(exit::OK)
    }
}

impl Restart {
    fn call(self, engine: &str) -> Result<i32, Failure> {
        let workspace = find(engine, &self.workspace, exit::FAILED)?;
        let grace = Duration::from_secs(self.timeout_seconds);
        let service = done(workspace.restart_service(&self.name, grace, !self.no_wait))?;
        Ok(told(&service, "restart", self.json))
    }
}

/// A service's state as a word.
fn state(service: &ServiceRecord) -> &'static str {
    match service.state {
        ServiceState::Starting => "starting",
        ServiceState::Running => "running",
        ServiceState::Exited => "exited",
        ServiceState::Stopped => "stopped",
        ServiceState::Failed => "failed",
    }
}

/// Published ports with commas between; a hyphen for none.
fn ports(service: &ServiceRecord) -> String {
    let all: Vec<String> = service.published_ports.iter().map(ToString::to_string).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(",") }
}

/// What became of a service, as data, or as a line for people: on standard output when it is what was asked for.
fn show(service: &ServiceRecord, verb: &str, json: bool, aside: bool) {
    if json {
        return output::json(&service.describe());
    }
    let mut line = format!(
        "[workspace-service-{verb}] service_name={} state={} cwd={} published_ports={}",
        service.service_name,
        state(service),
        service.cwd,
        ports(service)
    );
    let number = |value: Option<i32>| value.map(|value| value.to_string());
    let healthy = service.healthy.map(|healthy| healthy.to_string());
    let restarts = (service.restart_count > 0).then(|| service.restart_count.to_string());
    for (name, value) in [
        ("exit_code", number(service.exit_code)),
        ("signal", number(service.signal)),
        ("stop_reason", service.stop_reason.clone()),
        ("healthy", healthy),
        ("restart_count", restarts),
    ] {
        line.extend(value.map(|value| format!(" {name}={value}")));
    }
    if aside { output::error_line(&line) } else { output::line(&line) }
}

/// What became of a start: with 1 if it failed.
fn told(service: &ServiceRecord, verb: &str, json: bool) -> i32 {
    let Some(failure) = service.failure() else {
        show(service, verb, json, true);
        return exit::OK;
    };
    let failure = Failure::plain(failure.code, failure.message, failure.hint, exit::FAILED);
    if json {
        let mut record = service.describe();
        // The cause that the record names, if any, is in the message.
        record.as_object_mut().into_iter().for_each(|map| {
            map.extend(failure.document().as_object().cloned().unwrap_or_default());
        });
        output::json(&record);
    } else {
        show(service, verb, false, true);
        let _ = failure.report(false);
    }
    exit::FAILED
}
