//! `pyro workspace stop` and `pyro workspace pause`.

use super::done;
use super::find;
use super::render;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use std::time::Duration;

/// Stop a workspace; its data stays.
///
/// The guest shuts down: its processes are ended, its disk is flushed and unmounted. One that takes longer than its time is
/// killed, which a warning says. Returns when nothing of it runs any more. A workspace that is stopped already stays so.
#[derive(Debug, clap::Args)]
pub struct Stop {
    /// Workspace, by id or name.
    workspace: String,

    /// Keep memory and processes on disk, for `start` to go on from.
    #[arg(long)]
    keep_memory: bool,

    /// Time the guest has to end by itself; of no use with --keep-memory.
    #[arg(long, value_name = "SECONDS", default_value = "10")]
    timeout_seconds: u32,

    /// Wait until it is stopped, which is what happens without this too.
    #[arg(long)]
    wait: bool,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Stop a workspace and keep its memory and processes on disk; `resume` or `start` goes on from there.
#[derive(Debug, clap::Args)]
pub struct Pause {
    /// Workspace, by id or name.
    workspace: String,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Stop {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        let workspace = find(engine, &self.workspace, exit::FAILED)?;
        let deadline = Duration::from_secs(self.timeout_seconds.into());
        let (warning, mut record) = done(async {
            let warning = workspace.stop(self.keep_memory, deadline).await?;
            Ok((warning, workspace.record(false).await?))
        })?;
        if self.json {
            record["warning"] = warning.into();
            output::json(&record);
        } else {
            if let Some(warning) = warning {
                let what = if self.keep_memory { "" } else { "the guest was killed: " };
                output::error_line(&format!("[warning] {what}{warning}"));
            }
            render::summary("Stopped workspace", &record);
        }
        Ok(exit::OK)
    }
}

impl Pause {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        Stop { workspace: self.workspace, keep_memory: true, timeout_seconds: 0, wait: true, json: self.json }
            .call(engine)
    }
}
