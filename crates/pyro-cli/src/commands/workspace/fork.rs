//! `pyro workspace fork`.

use super::done;
use super::find;
use super::notice;
use super::render::text;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use pyro::workspace::CHILDREN_MAX;
use pyro::workspace::Workspace as Handle;
use pyro::workspace::WorkspaceError;
use pyro::workspace::WorkspaceName;
use serde_json::Value;

/// Make workspaces that begin where this one is, which goes on as before.
///
/// Children of a running workspace begin with its memory and processes too. Each has an identity of its own. They share what
/// nobody changes, and live on when their parent is deleted.
#[derive(Debug, clap::Args)]
pub struct Fork {
    /// Workspace, by id or name.
    workspace: String,

    /// How many.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=CHILDREN_MAX as i64))]
    count: u16,

    /// Name them PREFIX-1, PREFIX-2 and so on.
    #[arg(long, value_name = "PREFIX")]
    name_prefix: Option<String>,

    /// Leave them stopped.
    #[arg(long)]
    no_start: bool,

    /// Print nothing but their ids.
    #[arg(long, conflicts_with = "json")]
    id_only: bool,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Fork {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        let names = self.names()?;
        let workspace = find(engine, &self.workspace, exit::FAILED)?;
        let children = done(async {
            let children = workspace.fork(names).await?;
            if !self.no_start {
                Handle::start_all(&children, &mut notice).await?;
            }
            let mut records = Vec::new();
            for child in &children {
                records.push(child.record(false).await?);
            }
            Ok::<_, WorkspaceError>(records)
        })?;
        if self.json {
            output::json(&workspace.describe_children(&children));
            return Ok(exit::OK);
        }
        for child in &children {
            output::line(&if self.id_only { text(child, "workspace_id") } else { line(child) });
        }
        Ok(exit::OK)
    }

    fn names(&self) -> Result<Vec<Option<WorkspaceName>>, Failure> {
        let name = |number: u16| {
            let Some(prefix) = &self.name_prefix else { return Ok(None) };
            let name = format!("{prefix}-{number}").parse::<WorkspaceName>();
            name.map(Some).map_err(|error| {
                Failure::plain("name_invalid", error.to_string(), "choose another prefix", exit::USAGE)
            })
        };
        (1..=self.count).map(name).collect()
    }
}

fn line(child: &Value) -> String {
    let text = |name| text(child, name);
    format!(
        "[workspace-fork] workspace_id={} name={} state={} forked_from={}",
        text("workspace_id"),
        text("name"),
        text("state"),
        text("forked_from")
    )
}
