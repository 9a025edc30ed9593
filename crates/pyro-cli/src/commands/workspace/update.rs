//! `pyro workspace update`.

use super::done;
use super::find;
use super::label;
use super::parsed;
use super::render;
use crate::commands::run::bounded;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use pyro::limits::TtlSeconds;
use pyro::workspace::LabelKey;
use pyro::workspace::LabelValue;
use pyro::workspace::WorkspaceName;

/// Change a workspace's name, labels and times, running or not. It is an error when nothing would change.
#[derive(Debug, clap::Args)]
pub struct Update {
    /// Workspace, by id or name.
    workspace: String,

    /// Name from now on.
    #[arg(long, value_name = "NAME", conflicts_with = "clear_name", value_parser = parsed::<WorkspaceName>)]
    name: Option<WorkspaceName>,

    /// Have no name.
    #[arg(long)]
    clear_name: bool,

    /// Label to set; may be given several times.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(LabelKey, LabelValue)>,

    /// Label to remove; may be given several times.
    #[arg(long = "clear-label", value_name = "KEY", value_parser = parsed::<LabelKey>)]
    clear_labels: Vec<LabelKey>,

    /// Time without use after which it is stopped, its data kept; 0 for never.
    #[arg(long, value_name = "SECONDS", value_parser = bounded(TtlSeconds::new))]
    ttl_seconds: Option<TtlSeconds>,

    /// Time after a stop when `pyro gc` may delete it; 0 for never.
    #[arg(long, value_name = "SECONDS")]
    retention_seconds: Option<u64>,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Update {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        let workspace = find(engine, &self.workspace, exit::FAILED)?;
        let update = pyro::workspace::Update {
            name: self.name,
            clear_name: self.clear_name,
            labels: self.labels.into_iter().collect(),
            clear_labels: self.clear_labels,
            ttl_seconds: self.ttl_seconds.map(TtlSeconds::get),
            retention_seconds: self.retention_seconds,
        };
        let record = done(async {
            workspace.update(&update).await?;
            workspace.record(false).await
        })?;
        if self.json {
            output::json(&record);
        } else {
            render::summary("Workspace", &record);
        }
        Ok(exit::OK)
    }
}
