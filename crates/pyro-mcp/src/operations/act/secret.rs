//! Secrets of workspaces. A value is never given back.

use super::workspace::SecretGiven;
use super::workspace::secrets;
use crate::operations::action::Action;
use crate::operations::action::Context;
use crate::operations::action::Outcome;
use crate::operations::error::OperationError;
use crate::operations::given;
use crate::operations::table::Hints;
use crate::operations::table::Operation;
use schemars::JsonSchema;
use serde::Deserialize;

pub(super) fn all() -> Vec<Operation> {
    vec![Operation::of::<List>(), Operation::of::<Set>(), Operation::of::<Remove>()]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct List {
    /// Workspace, by id or name.
    workspace_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Set {
    /// Workspace, by id or name.
    workspace_id: String,
    /// The secrets, each with a name and a value or a file_path of the host.
    secrets: Vec<SecretGiven>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Remove {
    /// Workspace, by id or name.
    workspace_id: String,
    /// Name of the secret.
    secret_name: String,
}

impl Action for List {
    const NAME: &'static str = "secret_list";
    const TITLE: &'static str = "List secrets";
    const DESCRIPTION: &'static str =
        "List the names of a workspace's secrets; their values are never shown.";
    const HINTS: Hints = Hints::READS;
    const OUTPUT: &'static [&'static str] = &["workspace_id:str count:int secrets:list"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let workspace = with.find(&self.workspace_id)?;
        let secrets = workspace.secrets().await?;
        Ok(workspace.describe_secrets(&secrets))
    }
}

impl Action for Set {
    const NAME: &'static str = "secret_set";
    const TITLE: &'static str = "Set secrets";
    const DESCRIPTION: &'static str = "Keep values that commands may use through secret_env and nobody may see; what a program \
        prints of them is redacted. Example: {\"workspace_id\": \"fix\", \"secrets\": [{\"name\": \"TOKEN\", \"file_path\": \
        \"token.txt\"}]}.";
    const HINTS: Hints = Hints::REPLACES;
    const OUTPUT: &'static [&'static str] = &["workspace_id:str secrets:list set:bool"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        if self.secrets.is_empty() {
            return Err(OperationError::arguments("secrets: there is none"));
        }
        let secrets = secrets(with, self.secrets)?;
        let names: Vec<String> = secrets.iter().map(|secret| secret.name.to_string()).collect();
        let workspace = with.find(&self.workspace_id)?;
        workspace.set_secrets(secrets).await?;
        Ok(workspace.describe_secrets_set(&names))
    }
}

impl Action for Remove {
    const NAME: &'static str = "secret_remove";
    const TITLE: &'static str = "Forget a secret";
    const DESCRIPTION: &'static str = "Forget a secret of a workspace.";
    const HINTS: Hints = Hints::DESTROYS;
    const OUTPUT: &'static [&'static str] = &["workspace_id:str secret_name:str removed:bool"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let name = given::name(&self.secret_name)?;
        let workspace = with.find(&self.workspace_id)?;
        workspace.remove_secret(&name).await?;
        Ok(workspace.describe_secret_removed(&name))
    }
}
