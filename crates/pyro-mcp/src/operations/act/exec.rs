//! Running commands in workspaces, and what they printed.

use crate::operations::action::Action;
use crate::operations::action::Context;
use crate::operations::action::Outcome;
use crate::operations::error::OperationError;
use crate::operations::given;
use crate::operations::given::default;
use crate::operations::output;
use crate::operations::table::Hints;
use crate::operations::table::Operation;
use pyro::workspace::ExecSpec;
use pyro::workspace::history::Ended;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

pub(super) fn all() -> Vec<Operation> {
    vec![Operation::of::<Exec>(), Operation::of::<Logs>()]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Exec {
    /// Workspace, by id or name.
    workspace_id: String,
    /// Shell string, run by /bin/sh -lc.
    command: String,
    /// Seconds after which it is ended with everything it started (exit code 124); 0 for no limit.
    #[serde(default = "default::timeout_seconds")]
    timeout_seconds: u64,
    /// Secrets that the command gets as variables: {"SECRET": "VARIABLE"}.
    #[serde(default)]
    secret_env: Option<BTreeMap<String, String>>,
    /// Working directory in the guest; /workspace when absent.
    cwd: Option<String>,
    /// Environment variables.
    #[serde(default)]
    env: Option<BTreeMap<String, String>>,
    /// User in the guest, USER[:GROUP]; root when absent.
    user: Option<String>,
    /// Start it and do not wait: it gives back a job_id for workspace_job_*.
    #[serde(default)]
    detach: bool,
    /// Most bytes of each output that are given back.
    max_output_bytes: Option<usize>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Logs {
    /// Workspace, by id or name.
    workspace_id: String,
    /// Only the last so many commands.
    #[serde(default = "default::logs_last")]
    last: usize,
    /// Most bytes of each output of each command.
    #[serde(default = "default::logs_bytes")]
    max_output_bytes: usize,
}

impl Action for Exec {
    const NAME: &'static str = "workspace_exec";
    const TITLE: &'static str = "Run a command";
    const DESCRIPTION: &'static str = "Run a shell command in a workspace, in /workspace, and wait for its end. exit_code, \
        stdout and stderr tell what happened; a command that fails is no error of the tool. Output beyond the limit is \
        counted: workspace_job_logs with job_id = sequence reads on from stdout_next_offset. For servers use service_start; \
        for long work set detach. Example: {\"workspace_id\": \"fix\", \"command\": \"make test 2>&1 | tail -50\"}.";
    const HINTS: Hints = Hints::DESTROYS;
    const OUTPUT: &'static [&'static str] = &[
        "workspace_id:str command:str ~environment:str ~environment_version:str ~stdout:str ~stderr:str ~exit_code:int \
         ~duration_ms:int ~execution_mode:str ~sequence:int ~cwd:str ~timed_out:bool ~signal:int? ~stdout_bytes:int \
         ~stderr_bytes:int ~stdout_truncated:bool ~stderr_truncated:bool ~stdout_next_offset:int ~stderr_next_offset:int \
         ~job_id:int ~state:str",
    ];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let rules = with.operations.rules();
        let workspace = with.find(&self.workspace_id)?;
        let bytes_max = self.max_output_bytes.unwrap_or(rules.output_bytes);
        let detach = self.detach;
        let spec = self.spec(with)?;
        let command = spec.command.display();
        if detach {
            let job = workspace.exec_detached(spec).await?;
            return Ok(workspace.describe_detached(job, &command));
        }
        let (report, kept) = output::kept(with.progress, bytes_max, |io| workspace.exec(spec, io)).await;
        let report = report?;
        never_ran(workspace.id().as_str(), &report.ended)?;
        Ok(workspace.describe_exec(&command, &report, &kept.stdout, &kept.stderr)?)
    }
}

impl Exec {
    fn spec(self, with: &Context<'_>) -> Result<ExecSpec, OperationError> {
        let rules = with.operations.rules();
        let timeout = match (self.timeout_seconds, rules.timeout_seconds_max) {
            (0, None) => None,
            // One that is bounded has no commands without a limit.
            (0, Some(most)) => Some(rules.timeout(most.into())?),
            (seconds, _) => Some(rules.timeout(seconds)?),
        };
        Ok(ExecSpec {
            command: given::command(self.command)?,
            timeout,
            env: given::variables(self.env.unwrap_or_default())?,
            cwd: self.cwd.map(Into::into),
            user: self.user,
            stdin: false,
            secret_env: given::secret_env(self.secret_env)?,
        })
    }
}

/// A command that never ran, or whose end nobody saw, is a failure.
pub(super) fn never_ran(workspace: &str, ended: &Ended) -> Result<(), OperationError> {
    let Some((code, text)) = &ended.error else { return Ok(()) };
    let message = format!("command {} of the workspace {workspace}: {text}", ended.sequence);
    Err(OperationError::new(code, message).hint("workspace_status says how the workspace is"))
}

impl Action for Logs {
    const NAME: &'static str = "workspace_logs";
    const TITLE: &'static str = "Show past commands";
    const DESCRIPTION: &'static str = "Show the commands of a workspace since it was made or last reset, and what they \
        printed, running or not. total_count says how many there are.";
    const HINTS: Hints = Hints::READS;
    const OUTPUT: &'static [&'static str] = &["workspace_id:str count:int total_count:int entries:list"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        Ok(with.find(&self.workspace_id)?.logs(self.max_output_bytes, Some(self.last))?)
    }
}
