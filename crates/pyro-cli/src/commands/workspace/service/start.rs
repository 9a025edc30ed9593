//! `pyro workspace service start`.

use super::super::done;
use super::super::find;
use super::super::parsed;
use super::super::secret::secret_env;
use super::told;
use crate::commands::run;
use crate::exit;
use crate::failure::Failure;
use pyro::Command;
use pyro::secret::SecretName;
use pyro::workspace::HttpUrl;
use pyro::workspace::PortSpec;
use pyro::workspace::Probe;
use pyro::workspace::RestartPolicy;
use pyro::workspace::ServiceName;
use pyro::workspace::ServiceSpec;
use pyro::workspace::TcpTarget;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::time::Duration;

/// Start a service and wait until it is ready.
///
/// Without any --ready-... it is ready once it has run for a second. One that ends before, is not ready in time, or whose
/// port cannot be published has failed: its processes are ended, and this ends with 1. An interrupt, or the end of this
/// program however it comes, leaves the service running. The name of a service that has ended can be used again; its logs then
/// begin anew.
#[derive(Debug, clap::Args)]
pub struct Start {
    /// Workspace, by id or name.
    workspace: String,

    /// Name of the service.
    #[arg(value_parser = parsed::<ServiceName>)]
    name: ServiceName,

    /// Working directory in the guest; a relative path begins at /workspace [default: /workspace].
    #[arg(long, value_name = "DIR")]
    cwd: Option<OsString>,

    /// It is ready when there is something at this path of the guest; a relative path begins at the working directory.
    #[arg(long, value_name = "PATH", group = "ready")]
    ready_file: Option<OsString>,

    /// It is ready when something in the guest accepts connections there.
    #[arg(long, value_name = "HOST:PORT", group = "ready", value_parser = parsed::<TcpTarget>)]
    ready_tcp: Option<TcpTarget>,

    /// It is ready when a GET of this, in the guest, is answered with 2xx or 3xx within 2 seconds.
    #[arg(long, value_name = "URL", group = "ready", value_parser = parsed::<HttpUrl>)]
    ready_http: Option<HttpUrl>,

    /// It is ready when this shell string, run in the guest as the service is, ends with 0 within 10 seconds.
    #[arg(long, value_name = "COMMAND", group = "ready")]
    ready_command: Option<String>,

    /// Time it may take to be ready.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = clap::value_parser!(u64).range(1..=86400))]
    ready_timeout_seconds: u64,

    /// Time from one look whether it is ready to the next.
    #[arg(long, value_name = "MILLISECONDS", default_value = "500", value_parser = clap::value_parser!(u64).range(10..=60000))]
    ready_interval_ms: u64,

    /// Look so often whether it still is ready once it was; `healthy` then says so. Needs one of --ready-...
    #[arg(long, value_name = "MILLISECONDS", requires = "ready", value_parser = clap::value_parser!(u64).range(100..=3600000))]
    health_interval_ms: Option<u64>,

    /// What becomes of it when it ends by itself after it was ready: `on-failure` starts it again unless its exit code was 0,
    /// after half a second at first and twice as long each time, up to 30 seconds.
    #[arg(long, value_name = "WHEN", default_value = "no", value_parser = ["no", "on-failure"])]
    restart: String,

    /// Publish a port of the guest at 127.0.0.1 while the service is ready; may be given several times. A free port of this
    /// host is chosen unless one is named, from 1025 on.
    #[arg(long, value_name = "GUEST|HOST:GUEST", value_parser = parsed::<PortSpec>)]
    publish: Vec<PortSpec>,

    /// Give the service a secret of the workspace as a variable, named like the secret unless VARIABLE is given; may be given
    /// several times.
    #[arg(long = "secret-env", value_name = "SECRET[=VARIABLE]", value_parser = secret_env)]
    secret_env: Vec<(SecretName, String)>,

    /// Set an environment variable in the guest; may be given several times.
    #[arg(long = "env", short = 'e', value_name = "NAME=VALUE", value_parser = clap::builder::OsStringValueParser::new())]
    env: Vec<OsString>,

    /// User in the guest, by name or number, with an optional group: USER[:GROUP] [default: root].
    #[arg(long, short = 'u', value_name = "USER")]
    user: Option<String>,

    /// Do not wait until it is ready.
    #[arg(long)]
    no_wait: bool,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,

    /// The command: one word for the shell, or a program and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Start {
    pub(super) fn call(self, engine: &str) -> Result<i32, Failure> {
        let workspace = find(engine, &self.workspace, exit::FAILED)?;
        let (name, wait, json) = (self.name.clone(), !self.no_wait, self.json);
        let spec = self.spec()?;
        let service = done(workspace.start_service(&name, spec, wait))?;
        Ok(told(&service, "start", json))
    }

    fn spec(self) -> Result<ServiceSpec, Failure> {
        let command = Command::from_words(self.command).map_err(|error| {
            Failure::plain("usage", error.to_string(), "write the command after --", exit::USAGE)
        })?;
        let mut spec = ServiceSpec::new(&command).env(run::variables(self.env)?).user(self.user);
        if let Some(cwd) = self.cwd {
            spec = spec.cwd(cwd);
        }
        let file = self.ready_file.map(|path| Probe::File { path: path.into_vec().into() });
        let tcp = self.ready_tcp.map(|address| Probe::Tcp { address });
        let http = self.ready_http.map(|url| Probe::Http { url });
        let command = self.ready_command.map(|command| Probe::Command { command });
        spec.probe = file.or(tcp).or(http).or(command);
        spec.ready_timeout = Duration::from_secs(self.ready_timeout_seconds);
        spec.ready_interval = Duration::from_millis(self.ready_interval_ms);
        spec.health_interval = self.health_interval_ms.map(Duration::from_millis);
        if self.restart == "on-failure" {
            spec.restart = RestartPolicy::OnFailure;
        }
        spec.publish = self.publish;
        spec.secret_env = self.secret_env;
        Ok(spec)
    }
}
