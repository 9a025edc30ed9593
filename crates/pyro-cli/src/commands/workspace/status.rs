//! `pyro workspace status`.

use super::done;
use super::find;
use super::render;
use crate::exit;
use crate::failure::Failure;
use crate::output;

/// Show how a workspace is. A running guest is asked too; one that does not answer leaves that part out.
#[derive(Debug, clap::Args)]
pub struct Status {
    /// Workspace, by id or name.
    workspace: String,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        let workspace = find(engine, &self.workspace, exit::FAILED)?;
        let record = done(workspace.record(true))?;
        if self.json {
            output::json(&record);
        } else {
            render::summary("Workspace", &record);
            if record["blocked"].is_object() {
                output::error_line(
                    "[warning] the host's disk is full, and the guest waits for room; it goes on by itself",
                );
            }
            if record["guest"]["disk_full"] == true {
                output::error_line("[warning] the guest's disk is full");
            }
        }
        Ok(exit::OK)
    }
}
