//! Coming back to commands that run in a workspace, or have run.

use super::exec::never_ran;
use crate::operations::action::Action;
use crate::operations::action::Context;
use crate::operations::action::Outcome;
use crate::operations::error::OperationError;
use crate::operations::given::default;
use crate::operations::output;
use crate::operations::output::Kept;
use crate::operations::table::Hints;
use crate::operations::table::Operation;
use pyro::workspace::Offsets;
use pyro::workspace::Workspace;
use pyro::workspace::history::Ended;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use serde_json::json;
use std::time::Duration;

pub(super) fn all() -> Vec<Operation> {
    vec![Operation::of::<List>(), Operation::of::<Logs>(), Operation::of::<Signal>(), Operation::of::<Wait>()]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct List {
    /// Workspace, by id or name.
    workspace_id: String,
    /// Only the last so many.
    #[serde(default = "default::jobs_last")]
    last: usize,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Logs {
    /// Workspace, by id or name.
    workspace_id: String,
    /// Number of the job: the job_id of a detached command, or the sequence of any other.
    job_id: u64,
    /// First byte of standard output that is wanted.
    #[serde(default)]
    stdout_offset: u64,
    /// First byte of standard error that is wanted.
    #[serde(default)]
    stderr_offset: u64,
    /// Most bytes of each output.
    max_output_bytes: Option<usize>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Signal {
    /// Workspace, by id or name.
    workspace_id: String,
    /// Number of the job.
    job_id: u64,
    /// Signal, by name or number.
    #[serde(default = "default::term")]
    signal: String,
    /// To every process that the command has started.
    #[serde(default)]
    tree: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wait {
    /// Workspace, by id or name.
    workspace_id: String,
    /// Number of the job.
    job_id: u64,
    /// Seconds after which waiting ends, and the job goes on; then wait_timed_out is true and state is "running".
    #[serde(default = "default::timeout_seconds")]
    timeout_seconds: u64,
}

impl Action for List {
    const NAME: &'static str = "workspace_job_list";
    const TITLE: &'static str = "List jobs";
    const DESCRIPTION: &'static str = "List the commands of a workspace, the oldest first: what runs and what has run, with \
        states and exit codes.";
    const HINTS: Hints = Hints::READS;
    const OUTPUT: &'static [&'static str] = &["workspace_id:str count:int total_count:int jobs:list"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let workspace = with.find(&self.workspace_id)?;
        let jobs = workspace.jobs().await?;
        let shown = &jobs[jobs.len().saturating_sub(self.last)..];
        let mut document = workspace.describe_jobs(shown);
        document["total_count"] = json!(jobs.len());
        Ok(document)
    }
}

impl Action for Logs {
    const NAME: &'static str = "workspace_job_logs";
    const TITLE: &'static str = "Read a job's output";
    const DESCRIPTION: &'static str = "Read what a command has printed so far, from an offset on, whether or not it still \
        runs. Go on with stdout_next_offset and stderr_next_offset. Example: {\"workspace_id\": \"fix\", \"job_id\": 3, \
        \"stdout_offset\": 32768}.";
    const HINTS: Hints = Hints::READS;
    const OUTPUT: &'static [&'static str] = &[
        "workspace_id:str job_id:int state:str exit_code:int? stdout:str stderr:str stdout_offset:int stderr_offset:int \
         stdout_next_offset:int stderr_next_offset:int stdout_truncated:bool stderr_truncated:bool ~stdout_base64:str \
         ~stderr_base64:str",
    ];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let workspace = with.find(&self.workspace_id)?;
        let bytes_max = self.max_output_bytes.unwrap_or(with.operations.rules().output_bytes);
        let from = Offsets { stdout: self.stdout_offset, stderr: self.stderr_offset };
        let (ended, kept) = follow(with, &workspace, self.job_id, from, bytes_max, false).await?;
        Ok(workspace.describe_job_output(self.job_id, from, ended.as_ref(), &kept.stdout, &kept.stderr))
    }
}

impl Action for Signal {
    const NAME: &'static str = "workspace_job_signal";
    const TITLE: &'static str = "Signal a job";
    const DESCRIPTION: &'static str = "Send a signal to a command that runs: TERM asks it to end, KILL ends it, INT is \
        Ctrl-C.";
    const HINTS: Hints = Hints::DESTROYS;
    const OUTPUT: &'static [&'static str] = &["workspace_id:str job_id:int signal:int"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let signal = signal(&self.signal)?;
        let workspace = with.find(&self.workspace_id)?;
        workspace.signal(self.job_id, signal, self.tree).await?;
        Ok(workspace.describe_job_signal(self.job_id, signal))
    }
}

/// A signal's number.
pub(super) fn signal(text: &str) -> Result<i32, OperationError> {
    pyro::signal::number(text).map_err(|error| OperationError::arguments(format!("signal '{text}': {error}")))
}

impl Action for Wait {
    const NAME: &'static str = "workspace_job_wait";
    const TITLE: &'static str = "Wait for a job";
    const DESCRIPTION: &'static str = "Wait for a detached command's end and tell how it ended; workspace_job_logs reads what \
        it printed.";
    const HINTS: Hints = Hints::READS;
    const OUTPUT: &'static [&'static str] = &[
        "workspace_id:str job_id:int state:str wait_timed_out:bool exit_code:int? ~signal:int? ~duration_ms:int \
         ~detached_processes:int",
    ];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let seconds = with.operations.rules().wait_seconds(self.timeout_seconds)?;
        let workspace = with.find(&self.workspace_id)?;
        // Beyond all there will ever be: nothing is sent that nobody wants.
        let nothing = Offsets { stdout: u64::MAX, stderr: u64::MAX };
        let waited = follow(with, &workspace, self.job_id, nothing, 0, true);
        let ended = match tokio::time::timeout(Duration::from_secs(seconds), waited).await {
            Err(_) => None,
            Ok(followed) => followed?.0,
        };
        let Some(ended) = ended else {
            let (id, job) = (workspace.id(), self.job_id);
            return Ok(json!({
                "workspace_id": id, "job_id": job, "state": "running", "wait_timed_out": true, "exit_code": Value::Null,
            }));
        };
        never_ran(workspace.id().as_str(), &ended)?;
        let mut document = workspace.describe_job_end(self.job_id, &ended);
        document["state"] = json!("exited");
        document["wait_timed_out"] = json!(false);
        Ok(document)
    }
}

async fn follow(
    with: &Context<'_>,
    workspace: &Workspace,
    job: u64,
    from: Offsets,
    bytes_max: usize,
    wait: bool,
) -> Result<(Option<Ended>, Kept), OperationError> {
    let (ended, kept) = output::kept(with.progress, bytes_max, |mut io| async move {
        workspace.follow(job, from, wait, &mut io, false).await
    })
    .await;
    Ok((ended?, kept))
}
