//! The operations: each has a name, arguments with a schema, and gives back the document that the command line prints with
//! `--json`. One file in `act/` for each noun. Nothing here may know who calls.
//!
//! ```text
//!   name, JSON arguments --> table --> rules (roots, limits) --> library --> JSON document, or code + message + hint
//! ```

mod act;
mod action;
mod error;
mod given;
mod host_path;
mod output;
mod progress;
mod relay;
mod repository;
mod room;
mod root;
mod rules;
mod schema;
mod table;

pub use error::OperationError;
pub use progress::Progress;
pub use progress::Silent;
pub use progress::Step;
pub use progress::Stream;
pub use root::Root;
pub use rules::HostPaths;
pub use rules::Rules;
pub use table::Hints;
pub use table::Operation;
pub use table::table;

use action::Context;
use pyro::Config;
use pyro::Work;
use pyro::code;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// All operations on the workspaces of one configuration, under one set of rules. Clones are cheap and share their limits.
#[derive(Clone, Debug)]
pub struct Operations {
    config: Config,
    rules: Rules,
    /// Workspaces that are being made and are not listed yet.
    making: Arc<AtomicU64>,
}

impl Operations {
    /// Operations of this configuration; `program` is the `pyro` program, which runs as the supervisor of each workspace.
    pub fn new(config: Config, program: PathBuf, rules: Rules) -> Self {
        Self { config: Config { supervisor: program, ..config }, rules, making: Arc::default() }
    }

    /// The same under other rules.
    #[must_use]
    pub fn with_rules(&self, rules: Rules) -> Self {
        Self { rules, ..self.clone() }
    }

    /// The rules.
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The configuration.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Does what `name` says. Dropping the call cancels it: a command that it runs is ended with everything it has started.
    ///
    /// Must be called on a thread that outlives the call, because a guest may have to be started that dies with its thread.
    ///
    /// # Errors
    /// [`OperationError`], with the codes of the command line.
    pub fn call<'a>(
        &'a self,
        name: &'a str,
        arguments: Value,
        progress: &'a dyn Progress,
    ) -> Work<'a, Result<Value, OperationError>> {
        Box::pin(async move {
            let Some(operation) = table().iter().find(|operation| operation.name == name) else {
                return Err(OperationError::new(code::TOOL_UNKNOWN, format!("there is no tool '{name}'"))
                    .hint("list the tools to see what there is"));
            };
            let arguments =
                if arguments.is_null() { Value::Object(serde_json::Map::new()) } else { arguments };
            let context = Context { operations: self, progress };
            (operation.run)(&context, arguments).await
        })
    }
}
