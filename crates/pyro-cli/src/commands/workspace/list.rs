//! `pyro workspace list`.

use super::all;
use super::failed;
use super::label;
use super::render;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use pyro::workspace::LabelKey;
use pyro::workspace::LabelValue;

/// List all workspaces, the last used first. One whose document is broken is listed with what is wrong with it.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Only those with this label; may be given several times.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(LabelKey, LabelValue)>,

    /// Only those in this state: started, stopped, suspended, creating, busy or broken.
    #[arg(long, value_name = "STATE", value_parser = ["started", "stopped", "suspended", "creating", "busy", "broken"])]
    state: Option<String>,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl List {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        let all = all(engine, exit::FAILED)?;
        let list = all.describe_list(&self.labels, self.state.as_deref()).map_err(|error| failed(&error))?;
        if self.json {
            output::json(&list);
            return Ok(exit::OK);
        }
        let records = list["workspaces"].as_array().map(Vec::as_slice).unwrap_or_default();
        if records.is_empty() {
            output::line("No workspaces.");
        }
        records.iter().for_each(render::list_line);
        Ok(exit::OK)
    }
}
