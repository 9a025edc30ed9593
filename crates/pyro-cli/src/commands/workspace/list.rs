//! `pyro workspace list`.

use super::all;
use super::failed;
use super::label;
use super::render;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use pyro::Coded as _;
use pyro::code::chain;
use pyro::workspace::LabelKey;
use pyro::workspace::LabelValue;
use pyro::workspace::Listed;
use pyro::workspace::Workspaces;
use serde_json::Value;
use serde_json::json;

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
        let listed = all.list().map_err(|error| failed(&error))?;
        let with_labels = listed.iter().filter(|listed| has_labels(listed, &self.labels));
        let records = with_labels.map(|listed| record(&all, listed));
        let is_wanted =
            |record: &Value| self.state.as_ref().is_none_or(|state| record["state"] == state.as_str());
        let records: Vec<Value> = records.filter(is_wanted).collect();
        if self.json {
            output::json(&json!({ "count": records.len(), "workspaces": records }));
            return Ok(exit::OK);
        }
        if records.is_empty() {
            output::line("No workspaces.");
        }
        records.iter().for_each(render::list_line);
        Ok(exit::OK)
    }
}

/// Whether a workspace has all of these labels; a broken one has none.
pub(super) fn has_labels(listed: &Listed, labels: &[(LabelKey, LabelValue)]) -> bool {
    labels.iter().all(|(key, value)| {
        listed.document.as_ref().is_ok_and(|document| document.labels.get(key) == Some(value))
    })
}

fn record(all: &Workspaces, listed: &Listed) -> Value {
    match &listed.document {
        Ok(document) => {
            let workspace = all.open_listed(listed);
            workspace.describe(document, workspace.is_held())
        }
        Err(error) => json!({
            "workspace_id": listed.folder.id(),
            "state": "broken",
            "error": chain(error),
            "code": error.code(),
        }),
    }
}
