//! Stopping, starting and resetting workspaces.

use super::fields;
use crate::operations::action::Action;
use crate::operations::action::Context;
use crate::operations::action::Outcome;
use crate::operations::given;
use crate::operations::given::default;
use crate::operations::relay::relay;
use crate::operations::table::Hints;
use crate::operations::table::Operation;
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

pub(super) fn all() -> Vec<Operation> {
    vec![Operation::of::<Stop>(), Operation::of::<Start>(), Operation::of::<Reset>()]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Stop {
    /// Workspace, by id or name.
    workspace_id: String,
    /// Keep memory and processes too, for workspace_start to go on from.
    #[serde(default)]
    keep_memory: bool,
    /// Seconds the guest has to end by itself.
    #[serde(default = "default::stop_seconds")]
    timeout_seconds: u64,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Start {
    /// Workspace, by id or name.
    workspace_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Reset {
    /// Workspace, by id or name.
    workspace_id: String,
    /// Snapshot to go back to; "baseline" is how the workspace began.
    #[serde(default = "default::baseline")]
    snapshot: String,
}

impl Action for Stop {
    const NAME: &'static str = "workspace_stop";
    const TITLE: &'static str = "Stop a workspace";
    const DESCRIPTION: &'static str = "Stop a workspace's guest; its data stays. workspace_start brings it back, and \
        workspace_disk_* looks into it meanwhile.";
    const HINTS: Hints = Hints::SETS;
    const OUTPUT: &'static [&'static str] = &[fields::WORKSPACE, "warning:str?"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let seconds = with.operations.rules().wait_seconds(self.timeout_seconds)?;
        let workspace = with.find(&self.workspace_id)?;
        let warning = workspace.stop(self.keep_memory, Duration::from_secs(seconds)).await?;
        let mut record = workspace.record(false).await?;
        record["warning"] = warning.into();
        Ok(record)
    }
}

impl Action for Start {
    const NAME: &'static str = "workspace_start";
    const TITLE: &'static str = "Start a workspace";
    const DESCRIPTION: &'static str = "Start a stopped workspace, from its kept memory if there is any. One that runs stays \
        as it is.";
    const HINTS: Hints = Hints::SETS;
    const OUTPUT: &'static [&'static str] = &[fields::WORKSPACE];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let workspace = with.find(&self.workspace_id)?;
        let started = relay(with.progress, |teller| {
            let workspace = &workspace;
            async move { workspace.start(&mut |text| teller.notice(text)).await }
        });
        started.await?;
        Ok(workspace.record(false).await?)
    }
}

impl Action for Reset {
    const NAME: &'static str = "workspace_reset";
    const TITLE: &'static str = "Reset a workspace";
    const DESCRIPTION: &'static str = "Go back to a snapshot: the whole disk, and memory and processes if the snapshot has \
        them. What was done since then is lost. Example: {\"workspace_id\": \"fix\", \"snapshot\": \"before-upgrade\"}.";
    const HINTS: Hints = Hints::REPLACES;
    const OUTPUT: &'static [&'static str] = &[fields::WORKSPACE, "workspace_reset:obj"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let workspace = with.find(&self.workspace_id)?;
        let snapshot = workspace.reset(&given::name(&self.snapshot)?).await?;
        Ok(workspace.reset_record(&snapshot).await?)
    }
}
