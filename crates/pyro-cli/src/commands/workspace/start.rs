//! `pyro workspace start` and `pyro workspace resume`.

use super::done;
use super::find;
use super::notice;
use super::render;
use crate::exit;
use crate::failure::Failure;
use crate::output;

/// Start a stopped workspace: from its kept memory if there is any, else from its disk. One that runs stays as it is.
#[derive(Debug, clap::Args)]
pub struct Start {
    /// Workspace, by id or name.
    workspace: String,

    /// Wait until the guest is up, which is what happens without this too.
    #[arg(long)]
    wait: bool,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Go on with a workspace that was paused. One that was stopped without its memory is refused.
#[derive(Debug, clap::Args)]
pub struct Resume {
    /// Workspace, by id or name.
    workspace: String,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Start {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        bring_up(engine, &self.workspace, self.json, false)
    }
}

impl Resume {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        bring_up(engine, &self.workspace, self.json, true)
    }
}

fn bring_up(engine: &str, given: &str, json: bool, resume: bool) -> Result<i32, Failure> {
    let workspace = find(engine, given, exit::FAILED)?;
    let record = done(async {
        if resume {
            workspace.resume(&mut notice).await?;
        } else {
            workspace.start(&mut notice).await?;
        }
        workspace.record(false).await
    })?;
    if json {
        output::json(&record);
    } else {
        render::summary("Started workspace", &record);
    }
    Ok(exit::OK)
}
