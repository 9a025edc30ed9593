//! `pyro workspace delete`.

use super::all;
use super::block_on;
use super::failed;
use super::label;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use pyro::Coded as _;
use pyro::code::chain;
use pyro::workspace::LabelKey;
use pyro::workspace::LabelValue;
use pyro::workspace::Workspaces;
use serde_json::Value;
use serde_json::json;

/// Delete workspaces with everything in them, running or not, broken or not. Nothing brings them back.
#[derive(Debug, clap::Args)]
pub struct Delete {
    /// Workspaces, by id or name.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    workspaces: Vec<String>,

    /// All workspaces, or all with the given labels.
    #[arg(long)]
    all: bool,

    /// With --all: only those with this label; may be given several times.
    #[arg(long = "label", value_name = "KEY=VALUE", requires = "all", value_parser = label)]
    labels: Vec<(LabelKey, LabelValue)>,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Delete {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        let all = all(engine, exit::FAILED)?;
        let several = self.all || self.workspaces.len() > 1;
        let given = if self.all { self.everything(&all)? } else { self.workspaces };
        if !several && let [only] = given.as_slice() {
            return one(&all, only, self.json);
        }
        let (mut deleted, mut failures) = (Vec::new(), Vec::new());
        for given in &given {
            match delete(&all, given)? {
                Ok(id) => deleted.push(id),
                Err(failure) => failures.push(failure),
            }
        }
        let code = if failures.is_empty() { exit::OK } else { exit::FAILED };
        if self.json {
            output::json(
                &json!({ "deleted_workspace_ids": deleted, "count": deleted.len(), "failures": failures }),
            );
            return Ok(code);
        }
        for id in &deleted {
            output::line(&format!("Deleted workspace: {id}"));
        }
        for failure in &failures {
            let text = |name: &str| failure[name].as_str().unwrap_or_default().to_owned();
            output::error_line(&format!("[error] {} ({})", text("error"), text("code")));
        }
        Ok(code)
    }

    fn everything(&self, all: &Workspaces) -> Result<Vec<String>, Failure> {
        let listed = all.list().map_err(|error| failed(&error))?;
        let wanted = listed.iter().filter(|listed| listed.has_labels(&self.labels));
        Ok(wanted.map(|listed| listed.folder.id().to_string()).collect())
    }
}

fn one(all: &Workspaces, given: &str, json: bool) -> Result<i32, Failure> {
    let workspace = all.find(given).map_err(|error| failed(&error))?;
    super::done(workspace.delete())?;
    if json {
        output::json(&workspace.describe_deleted());
    } else {
        output::line(&format!("Deleted workspace: {}", workspace.id()));
    }
    Ok(exit::OK)
}

fn delete(all: &Workspaces, given: &str) -> Result<Result<String, Value>, Failure> {
    let failure = |code: &str, text: String| json!({ "workspace": given, "code": code, "error": text });
    let workspace = match all.find(given) {
        Ok(workspace) => workspace,
        Err(error) => return Ok(Err(failure(error.code(), chain(&error)))),
    };
    let deleted = block_on(workspace.delete())?;
    Ok(deleted.map(|()| workspace.id().to_string()).map_err(|error| failure(error.code(), chain(&error))))
}
