//! `pyro workspace pack` and `pyro workspace unpack`.

use super::all;
use super::block_on;
use super::failed;
use super::find;
use super::parsed;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use crate::progress::Transfer;
use pyro::workspace::PackSpec;
use pyro::workspace::UnpackSpec;
use pyro::workspace::WorkspaceError;
use pyro::workspace::WorkspaceName;
use std::path::PathBuf;

/// Pack a workspace into one compressed file that can be unpacked elsewhere.
#[derive(Debug, clap::Args)]
pub struct Pack {
    /// Id or name of the workspace.
    workspace: String,
    /// Where to; there must be nothing.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Leave out all snapshots but the baseline.
    #[arg(long)]
    exclude_snapshots: bool,
    /// Pack memory and processes too: only the same engine on the same kind of processor can go on from them.
    #[arg(long)]
    memory: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

impl Pack {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        let workspace = find(engine, &self.workspace, exit::FAILED)?;
        let spec = PackSpec { output: self.output, snapshots: !self.exclude_snapshots, memory: self.memory };
        let bar = Transfer::new("packing", self.json);
        let report = block_on(workspace.pack(spec, bar.advance()))?;
        drop(bar);
        let report = report.map_err(|error| failed(&error))?;
        if self.json {
            output::json(&report.describe());
        } else {
            output::line(&format!(
                "[workspace-pack] workspace_id={} output_path={} layers={} snapshots={} memory={} data_bytes={} bytes_written={}",
                report.workspace_id,
                report.output_path.display(),
                report.layers,
                report.snapshots,
                if report.memory { "yes" } else { "no" },
                report.data_bytes,
                report.bytes_written
            ));
        }
        Ok(exit::OK)
    }
}

/// Make a stopped workspace of a packed one.
#[derive(Debug, clap::Args)]
pub struct Unpack {
    /// The file.
    file: PathBuf,
    /// Name of the new workspace.
    #[arg(long, value_parser = parsed::<WorkspaceName>)]
    name: Option<WorkspaceName>,
    /// Most bytes that it may take.
    #[arg(long, value_name = "BYTES", default_value_t = 256 << 30)]
    max_bytes: u64,
    /// Take over packed memory and processes too: only from a source that you trust as you would trust a program. Without it the
    /// workspace and its snapshots begin from their disks.
    #[arg(long)]
    memory: bool,
    /// Print nothing but the id.
    #[arg(long, conflicts_with = "json")]
    id_only: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

impl Unpack {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        let workspaces = all(engine, exit::FAILED)?;
        let spec =
            UnpackSpec { input: self.file, name: self.name, bytes_max: self.max_bytes, memory: self.memory };
        let bar = Transfer::new("unpacking", self.json);
        let record = block_on(async {
            let unpacked = workspaces.unpack(spec, bar.advance()).await?;
            Ok((unpacked.workspace.record(false).await?, unpacked.memory_left_out))
        })?;
        drop(bar);
        let (record, memory_left_out) = record.map_err(|error: WorkspaceError| failed(&error))?;
        if memory_left_out {
            output::error_line(
                "[warning] the packed memory was left out, and the disk begins anew: --memory takes it over",
            );
        }
        if self.json {
            output::json(&record);
        } else if self.id_only {
            output::line(record["workspace_id"].as_str().unwrap_or_default());
        } else {
            super::render::summary("Unpacked workspace", &record);
        }
        Ok(exit::OK)
    }
}
