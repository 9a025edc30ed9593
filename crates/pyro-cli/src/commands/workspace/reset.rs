//! `pyro workspace reset`.

use super::done;
use super::find;
use super::parsed;
use super::render;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use pyro::workspace::SnapshotName;

/// Go back to a snapshot: the whole disk, and memory and processes if the snapshot has them. A running workspace is then
/// running again. If that fails, everything is as it was.
#[derive(Debug, clap::Args)]
pub struct Reset {
    /// Workspace, by id or name.
    workspace: String,

    /// Which snapshot.
    #[arg(long, value_name = "NAME", default_value = "baseline", value_parser = parsed::<SnapshotName>)]
    snapshot: SnapshotName,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Reset {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        let workspace = find(engine, &self.workspace, exit::FAILED)?;
        let mut record = done(async {
            let snapshot = workspace.reset(&self.snapshot).await?;
            workspace.reset_record(&snapshot).await
        })?;
        if self.json {
            output::json(&record);
            return Ok(exit::OK);
        }
        render::summary("Reset workspace", &record);
        let reset = record["workspace_reset"].take();
        let text = |name| render::text(&reset, name);
        output::line(&format!("Reset source: {} ({})", text("snapshot_name"), text("kind")));
        output::line(&format!(
            "Reset restore: destination={} entry_count={} bytes_written={}",
            text("destination"),
            text("entry_count"),
            text("bytes_written")
        ));
        Ok(exit::OK)
    }
}
