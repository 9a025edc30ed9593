//! `pyro workspace snapshot`.

use super::done;
use super::failed;
use super::find;
use super::parsed;
use super::render::text;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use clap::Subcommand;
use pyro::workspace::SnapshotName;
use serde_json::Value;
use serde_json::json;

/// Keep, show and forget snapshots.
#[derive(Debug, Subcommand)]
pub enum Snapshot {
    /// Keep the whole disk under a name, at once and at no cost until it changes.
    Create(Create),
    /// List the snapshots: the baseline first, then the newest.
    List(List),
    /// Show one snapshot.
    Show(Show),
    /// Forget a snapshot.
    Delete(Delete),
}

/// Keep the whole disk under a name, at once and at no cost until it changes. The workspace may be running or stopped.
///
/// How many files are in it is not counted, which would take the longer the more there are: its `entry_count` is null here and in
/// `snapshot list`, and a number in `snapshot show`.
#[derive(Debug, clap::Args)]
pub struct Create {
    /// Workspace, by id or name.
    workspace: String,

    /// Name of the snapshot.
    #[arg(value_parser = parsed::<SnapshotName>)]
    name: SnapshotName,

    /// Keep memory and processes too; a reset then brings them back.
    #[arg(long)]
    memory: bool,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// List the snapshots: the baseline first, then the newest.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Workspace, by id or name.
    workspace: String,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Show one snapshot: what is in it, and what it takes of the host's disk.
#[derive(Debug, clap::Args)]
pub struct Show {
    /// Workspace, by id or name.
    workspace: String,

    /// Name of the snapshot.
    #[arg(value_parser = parsed::<SnapshotName>)]
    name: SnapshotName,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Forget a snapshot. What only it needed of the disk is freed; the baseline cannot be deleted.
#[derive(Debug, clap::Args)]
pub struct Delete {
    /// Workspace, by id or name.
    workspace: String,

    /// Name of the snapshot.
    #[arg(value_parser = parsed::<SnapshotName>)]
    name: SnapshotName,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Snapshot {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        match self {
            Self::Create(command) => command.call(engine),
            Self::List(command) => command.call(engine),
            Self::Show(command) => command.call(engine),
            Self::Delete(command) => command.call(engine),
        }
    }
}

impl Create {
    fn call(self, engine: &str) -> Result<i32, Failure> {
        let workspace = find(engine, &self.workspace, exit::FAILED)?;
        let snapshot = done(workspace.snapshot(self.name, self.memory))?;
        if self.json {
            output::json(&workspace.describe_snapshot_taken(&snapshot));
        } else {
            let shown = workspace.describe_snapshot(&snapshot);
            output::line(&format!(
                "[workspace-snapshot-create] snapshot_name={} kind={} entry_count={} bytes_written={}",
                text(&shown, "snapshot_name"),
                text(&shown, "kind"),
                text(&shown, "entry_count"),
                text(&shown, "bytes_written")
            ));
        }
        Ok(exit::OK)
    }
}

impl List {
    fn call(self, engine: &str) -> Result<i32, Failure> {
        let workspace = find(engine, &self.workspace, exit::FAILED)?;
        let snapshots = workspace.snapshots().map_err(|error| failed(&error))?;
        if self.json {
            output::json(&workspace.describe_snapshots(&snapshots));
        } else {
            snapshots.iter().for_each(|snapshot| line(&workspace.describe_snapshot(snapshot)));
        }
        Ok(exit::OK)
    }
}

impl Show {
    fn call(self, engine: &str) -> Result<i32, Failure> {
        let workspace = find(engine, &self.workspace, exit::FAILED)?;
        let shown = done(workspace.snapshot_details(&self.name))?;
        if self.json {
            output::json(&json!({ "workspace_id": workspace.id(), "snapshot": shown }));
        } else {
            line(&shown);
        }
        Ok(exit::OK)
    }
}

impl Delete {
    fn call(self, engine: &str) -> Result<i32, Failure> {
        let workspace = find(engine, &self.workspace, exit::FAILED)?;
        done(workspace.delete_snapshot(&self.name))?;
        if self.json {
            output::json(&workspace.describe_snapshot_deleted(&self.name));
        } else {
            output::line(&format!("Deleted workspace snapshot: {}", self.name));
        }
        Ok(exit::OK)
    }
}

fn line(shown: &Value) {
    output::line(&format!(
        "{} [{}] entry_count={} bytes_written={} deletable={} memory={}",
        text(shown, "snapshot_name"),
        text(shown, "kind"),
        text(shown, "entry_count"),
        text(shown, "bytes_written"),
        if shown["deletable"] == true { "yes" } else { "no" },
        if shown["memory"] == true { "yes" } else { "no" },
    ));
}
