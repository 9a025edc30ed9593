//! Services: commands that stay, by name.

use super::fields;
use super::workspace::PortGiven;
use crate::operations::action::Action;
use crate::operations::action::Context;
use crate::operations::action::Outcome;
use crate::operations::error::OperationError;
use crate::operations::given;
use crate::operations::given::default;
use crate::operations::output;
use crate::operations::table::Hints;
use crate::operations::table::Operation;
use pyro::workspace::Probe;
use pyro::workspace::RestartPolicy;
use pyro::workspace::ServiceRecord;
use pyro::workspace::ServiceSpec;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) fn all() -> Vec<Operation> {
    vec![
        Operation::of::<Start>(),
        Operation::of::<List>(),
        Operation::of::<Status>(),
        Operation::of::<Logs>(),
        Operation::of::<Stop>(),
        Operation::of::<Restart>(),
    ]
}

/// How one knows that a service is ready. All of it is tried in the guest.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Readiness {
    /// There is something at this path.
    File { path: String },
    /// Something accepts connections at HOST:PORT.
    Tcp { address: String },
    /// A GET is answered with 2xx or 3xx.
    Http { url: String },
    /// A shell string ends with 0.
    Command { command: String },
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Start {
    /// Workspace, by id or name.
    workspace_id: String,
    /// Name of the service.
    service_name: String,
    /// Shell string, run by /bin/sh -lc; it must stay in the foreground.
    command: String,
    /// Working directory in the guest.
    #[serde(default = "default::workspace")]
    cwd: String,
    /// When it is ready, as one object: {"type": "http", "url": "http://127.0.0.1:8000/"}, or "file" with path, "tcp" with
    /// address, "command" with command. At most one of this and the ready_ arguments.
    readiness: Option<Readiness>,
    /// It is ready when there is something at this path of the guest.
    ready_file: Option<String>,
    /// It is ready when something accepts connections at HOST:PORT in the guest.
    ready_tcp: Option<String>,
    /// It is ready when a GET of this URL, in the guest, is answered with 2xx or 3xx.
    ready_http: Option<String>,
    /// It is ready when this shell string ends with 0.
    ready_command: Option<String>,
    /// Seconds it may take to be ready.
    #[serde(default = "default::timeout_seconds")]
    ready_timeout_seconds: u64,
    /// Milliseconds from one look to the next.
    #[serde(default = "default::ready_interval_ms")]
    ready_interval_ms: u64,
    /// Milliseconds from one look to the next whether it still is ready.
    health_interval_ms: Option<u64>,
    /// "on-failure" starts it again when it fails after it was ready.
    #[serde(default = "default::no")]
    restart: String,
    /// Secrets that it gets as variables: {"SECRET": "VARIABLE"}.
    #[serde(default)]
    secret_env: Option<BTreeMap<String, String>>,
    /// Environment variables.
    #[serde(default)]
    env: Option<BTreeMap<String, String>>,
    /// User in the guest, USER[:GROUP]; root when absent.
    user: Option<String>,
    /// Ports of the guest to publish at 127.0.0.1 of the host while it is ready.
    #[serde(default)]
    published_ports: Option<Vec<PortGiven>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct List {
    /// Workspace, by id or name.
    workspace_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Status {
    /// Workspace, by id or name.
    workspace_id: String,
    /// Name of the service.
    service_name: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Logs {
    /// Workspace, by id or name.
    workspace_id: String,
    /// Name of the service.
    service_name: String,
    /// Only the last so many lines of each output.
    #[serde(default = "default::tail_lines")]
    tail_lines: u64,
    /// All that is kept, whatever tail_lines.
    #[serde(default)]
    all: bool,
    /// Most bytes of each output.
    max_output_bytes: Option<usize>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Stop {
    /// Workspace, by id or name.
    workspace_id: String,
    /// Name of the service.
    service_name: String,
    /// Seconds it may take to end by itself after TERM; then it gets KILL.
    #[serde(default = "default::stop_seconds")]
    timeout_seconds: u64,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Restart {
    /// Workspace, by id or name.
    workspace_id: String,
    /// Name of the service.
    service_name: String,
    /// Seconds it may take to end by itself after TERM; then it gets KILL.
    #[serde(default = "default::stop_seconds")]
    timeout_seconds: u64,
}

impl Action for Start {
    const NAME: &'static str = "service_start";
    const TITLE: &'static str = "Start a service";
    const DESCRIPTION: &'static str = "Start a command that stays, such as a server or a database, under a name, and wait \
        until it is ready; state is then running, or failed with a reason. published_ports makes a port of it reachable on \
        the host. Example: {\"workspace_id\": \"fix\", \"service_name\": \"web\", \"command\": \"python3 -m http.server \
        8000\", \"ready_http\": \"http://127.0.0.1:8000/\", \"published_ports\": [{\"guest_port\": 8000}]}.";
    const HINTS: Hints = Hints::ADDS;
    const OUTPUT: &'static [&'static str] = &[fields::SERVICE, "error:str?"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let name = given::name(&self.service_name)?;
        let workspace = with.find(&self.workspace_id)?;
        let spec = self.spec(with)?;
        Ok(told(&workspace.start_service(&name, spec, true).await?))
    }
}

impl Start {
    fn spec(self, with: &Context<'_>) -> Result<ServiceSpec, OperationError> {
        let rules = with.operations.rules();
        let ready_timeout = rules.timeout(self.ready_timeout_seconds)?.duration();
        let probe = self.probe()?;
        let mut spec = ServiceSpec::new(&given::command(self.command)?)
            .cwd(self.cwd.into())
            .env(given::variables(self.env.unwrap_or_default())?)
            .user(self.user);
        if self.health_interval_ms.is_some() && probe.is_none() {
            return Err(OperationError::arguments("health_interval_ms needs a readiness to look for"));
        }
        spec.probe = probe;
        spec.ready_timeout = ready_timeout;
        spec.ready_interval = milliseconds("ready_interval_ms", self.ready_interval_ms, 10)?;
        spec.health_interval =
            self.health_interval_ms.map(|ms| milliseconds("health_interval_ms", ms, 100)).transpose()?;
        spec.restart = match self.restart.as_str() {
            "no" => RestartPolicy::No,
            "on-failure" => RestartPolicy::OnFailure,
            other => {
                return Err(OperationError::arguments(format!(
                    "restart '{other}' is neither no nor on-failure"
                )));
            }
        };
        let ports = self.published_ports.unwrap_or_default();
        spec.publish = ports.iter().map(PortGiven::spec).collect::<Result<_, _>>()?;
        spec.secret_env = given::secret_env(self.secret_env)?;
        Ok(spec)
    }

    /// The one readiness that was asked for.
    fn probe(&self) -> Result<Option<Probe>, OperationError> {
        let file = |path: &String| Ok(Probe::File { path: path.as_str().into() });
        let tcp = |address: &String| Ok(Probe::Tcp { address: given::parsed("readiness", address)? });
        let http = |url: &String| Ok(Probe::Http { url: given::parsed("readiness", url)? });
        let command = |command: &String| Ok(Probe::Command { command: command.clone() });
        let object = |readiness: &Readiness| match readiness {
            Readiness::File { path } => file(path),
            Readiness::Tcp { address } => tcp(address),
            Readiness::Http { url } => http(url),
            Readiness::Command { command: text } => command(text),
        };
        let asked: Vec<Result<Probe, OperationError>> = [
            self.readiness.as_ref().map(object),
            self.ready_file.as_ref().map(file),
            self.ready_tcp.as_ref().map(tcp),
            self.ready_http.as_ref().map(http),
            self.ready_command.as_ref().map(command),
        ]
        .into_iter()
        .flatten()
        .collect();
        if asked.len() > 1 {
            return Err(OperationError::arguments(
                "a service has one readiness at most, and several are given",
            ));
        }
        asked.into_iter().next().transpose()
    }
}

fn milliseconds(what: &str, given: u64, least: u64) -> Result<Duration, OperationError> {
    const MOST: u64 = 3_600_000;
    if !(least..=MOST).contains(&given) {
        let text = format!("{what} must be between {least} and {MOST}, not {given}");
        return Err(OperationError::new(pyro::code::LIMIT_EXCEEDED, text).hint("name another number"));
    }
    Ok(Duration::from_millis(given))
}

/// A service's record; of one that failed with the code and what to do, as the command line has it.
fn told(service: &ServiceRecord) -> Value {
    let mut record = service.describe();
    if let Some(failure) = service.failure() {
        record["error"] = failure.message.into();
        record["code"] = failure.code.into();
        record["hint"] = failure.hint.into();
    }
    record
}

impl Action for List {
    const NAME: &'static str = "service_list";
    const TITLE: &'static str = "List services";
    const DESCRIPTION: &'static str = "List the services of a workspace, running or not.";
    const HINTS: Hints = Hints::READS;
    const OUTPUT: &'static [&'static str] = &["workspace_id:str count:int running_count:int services:list"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let workspace = with.find(&self.workspace_id)?;
        let services = workspace.services().await?;
        Ok(workspace.describe_services(&services))
    }
}

impl Action for Status {
    const NAME: &'static str = "service_status";
    const TITLE: &'static str = "Show a service";
    const DESCRIPTION: &'static str = "Show how a service is, and why it does not run if so.";
    const HINTS: Hints = Hints::READS;
    const OUTPUT: &'static [&'static str] = &[fields::SERVICE, "error:str?"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let name = given::name(&self.service_name)?;
        Ok(with.find(&self.workspace_id)?.service(&name).await?.describe())
    }
}

impl Action for Logs {
    const NAME: &'static str = "service_logs";
    const TITLE: &'static str = "Read a service's output";
    const DESCRIPTION: &'static str =
        "Read what a service has printed, running or not: the last lines of each output.";
    const HINTS: Hints = Hints::READS;
    const OUTPUT: &'static [&'static str] =
        &[fields::SERVICE, "error:str? stdout:str stderr:str tail_lines:int? truncated:bool"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let name = given::name(&self.service_name)?;
        let workspace = with.find(&self.workspace_id)?;
        let bytes_max = self.max_output_bytes.unwrap_or(with.operations.rules().output_bytes);
        let lines = (!self.all).then_some(self.tail_lines);
        let read = output::kept(with.progress, bytes_max, |mut io| async move {
            workspace.service_logs(&name, lines, false, &mut io).await
        });
        let (logs, kept) = read.await;
        Ok(logs?.describe(lines, &kept.stdout, &kept.stderr))
    }
}

impl Action for Stop {
    const NAME: &'static str = "service_stop";
    const TITLE: &'static str = "Stop a service";
    const DESCRIPTION: &'static str = "End a service with everything it started, and close its ports.";
    const HINTS: Hints = Hints::REPLACES;
    const OUTPUT: &'static [&'static str] = &[fields::SERVICE, "error:str?"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let name = given::name(&self.service_name)?;
        let seconds = with.operations.rules().wait_seconds(self.timeout_seconds)?;
        let workspace = with.find(&self.workspace_id)?;
        Ok(workspace.stop_service(&name, Duration::from_secs(seconds)).await?.describe())
    }
}

impl Action for Restart {
    const NAME: &'static str = "service_restart";
    const TITLE: &'static str = "Restart a service";
    const DESCRIPTION: &'static str =
        "End a service if it runs, and start it again with the command and options it was started with.";
    const HINTS: Hints = Hints::DESTROYS;
    const OUTPUT: &'static [&'static str] = &[fields::SERVICE, "error:str?"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let name = given::name(&self.service_name)?;
        let seconds = with.operations.rules().wait_seconds(self.timeout_seconds)?;
        let workspace = with.find(&self.workspace_id)?;
        let service = workspace.restart_service(&name, Duration::from_secs(seconds), true).await?;
        Ok(told(&service))
    }
}
