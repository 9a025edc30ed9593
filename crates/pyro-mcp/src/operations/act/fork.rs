//! Workspaces that begin where another is.

use crate::operations::action::Action;
use crate::operations::action::Context;
use crate::operations::action::Outcome;
use crate::operations::error::OperationError;
use crate::operations::given;
use crate::operations::given::default;
use crate::operations::relay::relay;
use crate::operations::table::Hints;
use crate::operations::table::Operation;
use pyro::code;
use pyro::workspace::CHILDREN_MAX;
use pyro::workspace::Workspace;
use pyro::workspace::WorkspaceName;
use schemars::JsonSchema;
use serde::Deserialize;

pub(super) fn all() -> Vec<Operation> {
    vec![Operation::of::<Fork>()]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Fork {
    /// Workspace, by id or name.
    workspace_id: String,
    /// How many children, up to 256.
    #[serde(default = "default::one")]
    count: u16,
    /// Name them PREFIX-1, PREFIX-2 and so on.
    name_prefix: Option<String>,
    /// Start them; otherwise they stay stopped.
    #[serde(default = "default::yes")]
    start: bool,
}

impl Action for Fork {
    const NAME: &'static str = "workspace_fork";
    const TITLE: &'static str = "Fork a workspace";
    const DESCRIPTION: &'static str = "Make workspaces that begin where this one is, with its files and, if it runs, its memory \
        and processes; it goes on as before. Use it to try several ways at once. Example: {\"workspace_id\": \"fix\", \
        \"count\": 2, \"name_prefix\": \"try\"}.";
    const HINTS: Hints = Hints::ADDS;
    const OUTPUT: &'static [&'static str] = &["workspace_id:str count:int children:list"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        if self.count == 0 || usize::from(self.count) > CHILDREN_MAX {
            let text = format!("count must be between 1 and {CHILDREN_MAX}, not {}", self.count);
            return Err(OperationError::new(code::LIMIT_EXCEEDED, text).hint("name another number"));
        }
        let names = self.names()?;
        let workspace = with.find(&self.workspace_id)?;
        let _room = with.room_for(names.len() as u64)?;
        let children = workspace.fork(names).await?;
        for child in &children {
            with.label(child).await?;
        }
        if self.start {
            let started = relay(with.progress, |teller| {
                let children = &children;
                async move { Workspace::start_all(children, &mut |text| teller.notice(text)).await }
            });
            started.await?;
        }
        let mut records = Vec::new();
        for child in &children {
            records.push(child.record(false).await?);
        }
        Ok(workspace.describe_children(&records))
    }
}

impl Fork {
    fn names(&self) -> Result<Vec<Option<WorkspaceName>>, OperationError> {
        let name = |number| {
            let prefix = self.name_prefix.as_ref();
            prefix.map(|prefix| given::name(&format!("{prefix}-{number}"))).transpose()
        };
        (1..=self.count).map(name).collect()
    }
}
