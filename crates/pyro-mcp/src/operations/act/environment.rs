//! Environments: what guests start from.

use super::fields;
use crate::operations::action::Action;
use crate::operations::action::Context;
use crate::operations::action::Outcome;
use crate::operations::error::OperationError;
use crate::operations::given::default;
use crate::operations::relay::relay;
use crate::operations::table::Hints;
use crate::operations::table::Operation;
use pyro::code;
use pyro::environments;
use pyro::image::Cancel;
use pyro::image::ImageStore;
use pyro::image::PullReport;
use pyro::run::RunObserver as _;
use pyro::template;
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Instant;

pub(super) fn all() -> Vec<Operation> {
    vec![
        Operation::of::<List>(),
        Operation::of::<Inspect>(),
        Operation::of::<Pull>(),
        Operation::of::<Prune>(),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct List {}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Inspect {
    /// Environment, as vm_list_environments names it.
    environment: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Pull {
    /// Environment, as vm_list_environments names it.
    environment: String,
    /// Make the template that the first run would otherwise make.
    #[serde(default = "default::yes")]
    template: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Prune {}

impl Action for List {
    const NAME: &'static str = "vm_list_environments";
    const TITLE: &'static str = "List environments";
    const DESCRIPTION: &'static str = "List the environments that workspaces and VMs can be made of, what is in each, and which \
        are installed. One that is not is installed when it is first used, which takes minutes.";
    const HINTS: Hints = Hints::READS;
    const OUTPUT: &'static [&'static str] = &["catalog_version:str environments:list"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        Ok(environments::list(&with.store()?))
    }
}

impl Action for Inspect {
    const NAME: &'static str = "environment_inspect";
    const TITLE: &'static str = "Show an environment";
    const DESCRIPTION: &'static str =
        "Show everything known about an environment: packages, files, templates.";
    const HINTS: Hints = Hints::READS;
    const OUTPUT: &'static [&'static str] = &[fields::ENVIRONMENT, "templates:list"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        Ok(environments::inspect(with.operations.config(), &with.store()?, &self.environment)?)
    }
}

impl Action for Pull {
    const NAME: &'static str = "environment_pull";
    const TITLE: &'static str = "Install an environment";
    const DESCRIPTION: &'static str = "Install an environment, or check the one that is installed, so that later starts are \
        quick. It may take minutes; progress is told.";
    const HINTS: Hints = Hints::SETS;
    const OUTPUT: &'static [&'static str] =
        &[fields::ENVIRONMENT, "reused:bool phases:list template_ms:int?"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let (store, config) = (with.store()?, with.operations.config());
        relay(with.progress, |teller| async move {
            let report = pull(&store, &self.environment, teller.pull_progress()).await?;
            let mut template_ms = None;
            if self.template {
                teller.step("making a template, so that later starts are quick");
                let began = Instant::now();
                match template::prepare(config, &store, &self.environment).await {
                    Ok(()) => template_ms = u64::try_from(began.elapsed().as_millis()).ok(),
                    Err(reason) => teller.notice(&format!("no template was made: {reason}")),
                }
            }
            Ok(environments::pulled(&report, template_ms))
        })
        .await
    }
}

/// Installs on a thread of its own, which stops when whoever waits goes away.
async fn pull(
    store: &ImageStore,
    name: &str,
    progress: std::sync::Arc<dyn pyro::image::Progress + Send + Sync>,
) -> Result<PullReport, OperationError> {
    let failed = |error: String| OperationError::new(code::HOST_FAILED, error).hint("try again");
    let cancel = Cancel::new().map_err(|error| failed(format!("preparing to be cancelled: {error}")))?;
    let _asked = cancel.on_drop();
    let (store, name) = (store.clone(), name.to_owned());
    let pulled = tokio::task::spawn_blocking(move || store.pull(&name, progress.as_ref(), &cancel)).await;
    Ok(pulled.map_err(|error| failed(format!("installing the environment: {error}")))??)
}

impl Action for Prune {
    const NAME: &'static str = "environment_prune";
    const TITLE: &'static str = "Remove unneeded environments";
    const DESCRIPTION: &'static str = "Remove unfinished, outdated and broken environments and templates from the cache; never \
        what a workspace needs.";
    const HINTS: Hints = Hints::REPLACES;
    const OUTPUT: &'static [&'static str] =
        &["deleted_environment_dirs:list count:int deleted_template_dirs:list"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        Ok(environments::prune(with.operations.config(), &with.store()?)?)
    }
}
