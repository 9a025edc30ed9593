//! `pyro workspace service logs`.

use super::super::block_on;
use super::super::exec;
use super::super::find;
use super::super::parsed;
use super::state;
use crate::commands::run;
use crate::commands::run::capture;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use crate::signals;
use pyro::run::RunIo;
use pyro::workspace::ServiceLogs;
use pyro::workspace::ServiceName;
use pyro::workspace::Workspace;
use pyro::workspace::WorkspaceError;

/// Most bytes of each output in one JSON object: more than is ever kept.
const JSON_BYTES_MAX: usize = 64 << 20;

/// Print what a service has printed, standard output and standard error each where it belongs, running or not. The newest 8 to
/// 16 MiB of each are kept.
#[derive(Debug, clap::Args)]
pub struct Logs {
    /// Workspace, by id or name.
    workspace: String,

    /// Name of the service.
    #[arg(value_parser = parsed::<ServiceName>)]
    name: ServiceName,

    /// Only the last so many lines of each.
    #[arg(long, value_name = "N", default_value = "200")]
    tail_lines: u64,

    /// All that is kept.
    #[arg(long, conflicts_with = "tail_lines")]
    all: bool,

    /// Go on until the service ends.
    #[arg(long, short = 'f', conflicts_with = "json")]
    follow: bool,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Logs {
    pub(super) fn call(self, engine: &str) -> Result<i32, Failure> {
        let workspace = find(engine, &self.workspace, exit::FAILED)?;
        if self.json {
            return self.as_json(&workspace);
        }
        let logs = self.read(&workspace, run::stdio())?;
        output::error_line(&format!(
            "[workspace-service-logs] service_name={} state={} tail_lines={} truncated={}",
            self.name,
            state(&logs.record),
            self.lines().map_or("all".to_owned(), |lines| lines.to_string()),
            logs.truncated
        ));
        Ok(exit::OK)
    }

    fn lines(&self) -> Option<u64> {
        (!self.all).then_some(self.tail_lines)
    }

    fn as_json(&self, workspace: &Workspace) -> Result<i32, Failure> {
        let (io, stdout, stderr) = capture::io_up_to(JSON_BYTES_MAX);
        let logs = self.read(workspace, io)?;
        output::json(&logs.describe(self.lines(), &stdout.take(), &stderr.take()));
        Ok(exit::OK)
    }

    fn read(&self, workspace: &Workspace, mut io: RunIo) -> Result<ServiceLogs, Failure> {
        let logs = block_on(async {
            io.interrupts = signals::listen();
            workspace.service_logs(&self.name, self.lines(), self.follow, &mut io).await
        })?;
        logs.map_err(|error| match error {
            WorkspaceError::Interrupted { .. } => exec::failed(&error),
            _ => exec::failed_with(&error, exit::FAILED),
        })
    }
}
