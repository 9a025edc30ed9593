//! What an operation is made of: its arguments, what is said about it, and what it does. This file must not know any of them.

use super::Operations;
use super::error::OperationError;
use super::progress::Progress;
use super::table::Hints;
use pyro::image::ImageStore;
use pyro::workspace::Workspace;
use pyro::workspace::Workspaces;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What an operation gives back.
pub(super) type Outcome = Result<Value, OperationError>;

/// An operation; the type itself holds the arguments.
pub(super) trait Action: DeserializeOwned + JsonSchema + Send + 'static {
    /// Its name, which is also the tool's.
    const NAME: &'static str;
    /// A few words for people.
    const TITLE: &'static str;
    /// What it does and when to use it, for models.
    const DESCRIPTION: &'static str;
    /// What a client may assume of it.
    const HINTS: Hints;
    /// Fields of what it gives back, as [`super::schema::output`] reads them.
    const OUTPUT: &'static [&'static str];

    /// Does it.
    fn run(self, with: &Context<'_>) -> impl Future<Output = Outcome> + Send;
}

/// What an operation is done with.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) operations: &'a Operations,
    pub(super) progress: &'a dyn Progress,
}

impl Context<'_> {
    /// All workspaces.
    pub(super) fn workspaces(&self) -> Result<Workspaces, OperationError> {
        Ok(Workspaces::open(&self.operations.config)?)
    }

    /// The workspace of this id or name.
    pub(super) fn find(&self, given: &str) -> Result<Workspace, OperationError> {
        Ok(self.workspaces()?.find(given)?)
    }

    /// The environments.
    pub(super) fn store(&self) -> Result<ImageStore, OperationError> {
        Ok(ImageStore::new(self.operations.config.image_config())?)
    }
}
