//! `pyro gc`.

use crate::commands::workspace::block_on;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use crate::settings;
use pyro::Coded;
use pyro::Config;
use pyro::code;
use pyro::image::ImageStore;
use pyro::state;
use pyro::template;
use pyro::template::Collected;
use pyro::workspace::Workspaces;
use serde_json::json;

/// Remove everything that nothing needs any more: what killed processes left, templates and environments that are outdated,
/// broken or unfinished, and workspaces that have been stopped for longer than they were to be kept. Never what is in use or
/// what a workspace needs, and nothing else that could not be made again.
#[derive(Debug, clap::Args)]
pub struct Gc {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Removes the templates that nothing needs.
fn collect_templates(config: &Config, store: &ImageStore) -> Result<Collected, Failure> {
    template::collect(config, store).map_err(|error| {
        let message = format!("removing templates: {error}");
        Failure::plain(code::IMAGE_IO, message, "check the cache folder's owner", exit::FAILED)
    })
}

impl Gc {
    pub(crate) fn call(&self, engine: &str) -> Result<i32, Failure> {
        let config = settings::config(engine, exit::FAILED)?;
        let failed = |error: &dyn Coded| Failure::new(error, exit::FAILED);
        let store = ImageStore::new(config.image_config()).map_err(|error| failed(&error))?;
        let scratch = state::sweep(&config);
        let all = Workspaces::open(&config).map_err(|error| failed(&error))?;
        let workspaces = block_on(all.collect())?.map_err(|error| failed(&error))?;
        let needed = all.needed_environments().map_err(|error| failed(&error))?;
        let pruned = store.prune(&|digest| needed.contains(digest)).map_err(|error| failed(&error))?;
        let templates = collect_templates(&config, &store)?;
        if self.json {
            output::json(&json!({
                "deleted_scratch_count": scratch,
                "deleted_workspace_ids": workspaces.deleted,
                "deleted_workspace_leftovers": workspaces.leftovers,
                "broken_workspaces": workspaces.broken.iter().map(|(id, error)| {
                    json!({ "workspace_id": id, "error": error })
                }).collect::<Vec<_>>(),
                "deleted_environment_dirs": pruned.deleted_environment_dirs,
                "deleted_other": pruned.deleted_other,
                "deleted_template_dirs": templates.deleted_template_dirs,
                "freed_template_bytes": templates.freed_bytes,
            }));
            return Ok(exit::OK);
        }
        let dirs =
            [&pruned.deleted_environment_dirs, &pruned.deleted_other, &templates.deleted_template_dirs];
        let count = scratch + workspaces.leftovers + dirs.iter().map(|dirs| dirs.len()).sum::<usize>();
        output::line(&format!("Deleted {count} leftovers."));
        for dir in dirs.into_iter().flatten() {
            output::line(&format!("- {}", dir.display()));
        }
        for id in &workspaces.deleted {
            output::line(&format!("Deleted workspace: {id}"));
        }
        for (id, error) in &workspaces.broken {
            output::error_line(&format!("[warning] workspace {id} is broken: {error}"));
        }
        Ok(exit::OK)
    }
}
