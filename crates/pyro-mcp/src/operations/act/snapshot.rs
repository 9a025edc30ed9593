//! Snapshots of workspaces.

use crate::operations::action::Action;
use crate::operations::action::Context;
use crate::operations::action::Outcome;
use crate::operations::given;
use crate::operations::table::Hints;
use crate::operations::table::Operation;
use schemars::JsonSchema;
use serde::Deserialize;

pub(super) fn all() -> Vec<Operation> {
    vec![Operation::of::<Create>(), Operation::of::<List>(), Operation::of::<Delete>()]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Create {
    /// Workspace, by id or name.
    workspace_id: String,
    /// Name of the snapshot.
    snapshot_name: String,
    /// Keep memory and processes too; workspace_reset then brings them back.
    #[serde(default)]
    memory: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct List {
    /// Workspace, by id or name.
    workspace_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Delete {
    /// Workspace, by id or name.
    workspace_id: String,
    /// Name of the snapshot.
    snapshot_name: String,
}

impl Action for Create {
    const NAME: &'static str = "snapshot_create";
    const TITLE: &'static str = "Take a snapshot";
    const DESCRIPTION: &'static str = "Keep the whole disk of a workspace under a name, at once and at no cost until it \
        changes. Take one before anything risky; workspace_reset goes back to it. Example: {\"workspace_id\": \"fix\", \
        \"snapshot_name\": \"before-upgrade\"}.";
    const HINTS: Hints = Hints::ADDS;
    const OUTPUT: &'static [&'static str] = &["workspace_id:str snapshot:obj execution_mode:str"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let name = given::name(&self.snapshot_name)?;
        let workspace = with.find(&self.workspace_id)?;
        let snapshot = workspace.snapshot(name, self.memory).await?;
        Ok(workspace.describe_snapshot_taken(&snapshot))
    }
}

impl Action for List {
    const NAME: &'static str = "snapshot_list";
    const TITLE: &'static str = "List snapshots";
    const DESCRIPTION: &'static str =
        "List the snapshots of a workspace: the baseline first, then the newest.";
    const HINTS: Hints = Hints::READS;
    const OUTPUT: &'static [&'static str] = &["workspace_id:str count:int snapshots:list"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let workspace = with.find(&self.workspace_id)?;
        let snapshots = workspace.snapshots()?;
        Ok(workspace.describe_snapshots(&snapshots))
    }
}

impl Action for Delete {
    const NAME: &'static str = "snapshot_delete";
    const TITLE: &'static str = "Forget a snapshot";
    const DESCRIPTION: &'static str =
        "Forget a snapshot; what only it needed of the disk is freed. The baseline stays.";
    const HINTS: Hints = Hints::DESTROYS;
    const OUTPUT: &'static [&'static str] = &["workspace_id:str snapshot_name:str deleted:bool"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let name = given::name(&self.snapshot_name)?;
        let workspace = with.find(&self.workspace_id)?;
        workspace.delete_snapshot(&name).await?;
        Ok(workspace.describe_snapshot_deleted(&name))
    }
}
