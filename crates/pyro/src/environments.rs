//! Environments as every surface shows them: one JSON document for each operation. This file must not install or remove
//! anything but what pruning is about.

use crate::code;
use crate::code::Coded;
use crate::config::Config;
use crate::template;
use crate::workspace::StoreError;
use crate::workspace::Workspaces;
use pyro_image::ImageError;
use pyro_image::ImageStore;
use pyro_image::PullReport;
use serde_json::Value;
use serde_json::json;
use std::io;

/// Why nothing could be pruned.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// What workspaces need cannot be told.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An environment cannot be removed.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A template cannot be removed.
    #[error("removing templates")]
    Templates(#[source] io::Error),
}

impl Coded for PruneError {
    fn code(&self) -> &'static str {
        match self {
            Self::Store(error) => error.code(),
            Self::Image(error) => error.code(),
            Self::Templates(_) => code::IMAGE_IO,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Store(error) => error.hints(),
            Self::Image(error) => error.hints(),
            Self::Templates(_) => vec!["check the cache folder's owner".to_owned()],
        }
    }
}

/// All environments of the catalogue: `{catalog_version, environments[]}`.
pub fn list(store: &ImageStore) -> Value {
    let environments = store.list();
    let version = environments.iter().find_map(|entry| entry.catalog_version.clone()).unwrap_or_default();
    json!({ "catalog_version": version, "environments": environments })
}

/// One environment with its templates.
///
/// # Errors
/// The catalogue has none of this name.
pub fn inspect(config: &Config, store: &ImageStore, name: &str) -> Result<Value, ImageError> {
    let mut document = json!(store.inspect(name)?);
    document["templates"] = json!(template::list(config, name));
    Ok(document)
}

/// An environment that was installed, with what was done; `template_ms` is what making its template took.
pub fn pulled(report: &PullReport, template_ms: Option<u64>) -> Value {
    let mut document = json!(report.environment);
    document["reused"] = json!(report.reused);
    document["phases"] = json!(report.phases);
    document["template_ms"] = json!(template_ms);
    document
}

/// Removes what no environment of the catalogue and no workspace needs, and says what that was.
///
/// # Errors
/// [`PruneError`].
pub fn prune(config: &Config, store: &ImageStore) -> Result<Value, PruneError> {
    let needed = Workspaces::open(config)?.needed_environments()?;
    let report = store.prune(&|digest| needed.contains(digest))?;
    let templates = template::collect(config, store).map_err(PruneError::Templates)?;
    let mut document = json!(report);
    document["deleted_template_dirs"] = json!(templates.deleted_template_dirs);
    Ok(document)
}
