//! From a document to a guest that runs: from its kept memory, from a template, or by booting. This file must not serve
//! anybody.
//!
//! ```text
//!   suspended?          memory and disk as they were          (failed: from the disk, and say so)
//!   never started yet?  the template its disk was copied from
//!   else                the template without a disk, onto the layers       (failed: boot on the layers)
//! ```

use super::Report;
use super::recover::recover;
use super::sessions;
use super::sessions::Loaded;
use crate::code::chain;
use crate::config::Config;
use crate::machine::Machine;
use crate::machine::MachineError;
use crate::machine::OwnDisk;
use crate::machine::Plan;
use crate::machine::Revival;
use crate::run::StartedBy;
use crate::state;
use crate::template::Kind;
use crate::template::Template;
use crate::workspace::disk::view::installed;
use crate::workspace::document::Document;
use crate::workspace::error::WorkspaceError;
use crate::workspace::folder::Folder;
use crate::workspace::history::History;
use crate::workspace::layers::Chain;
use pyro_engine::Layer;
use pyro_image::ImageStore;

/// A guest that runs, and what it was made from.
pub(super) struct Up {
    pub(super) store: ImageStore,
    pub(super) plan: Plan,
    pub(super) machine: Machine,
    pub(super) started_by: StartedBy,
    /// What runs in it already.
    pub(super) sessions: Loaded,
}

/// Starts the guest of a workspace.
pub(super) async fn bring_up(
    config: &Config,
    folder: &Folder,
    document: &mut Document,
    report: &mut Report,
) -> Result<Up, WorkspaceError> {
    let store = ImageStore::new(config.image_config())?;
    let plan = plan(config, &store, document).await?;
    let suspended = resume(config, folder, &plan, document, report).await?;
    let (machine, started_by, sessions) = match suspended {
        Some((machine, sessions)) => (machine, StartedBy::Restore, sessions),
        None => {
            let (machine, started_by) = start(config, &store, folder, &plan, document, report).await?;
            (machine, started_by, Loaded::default())
        }
    };
    Ok(Up { store, plan, machine, started_by, sessions })
}

/// What the workspace's guest is made from.
async fn plan(config: &Config, store: &ImageStore, document: &Document) -> Result<Plan, WorkspaceError> {
    let chosen = pyro_engine::choose(config.engine, &config.probe_cache(), &config.search_path).await?;
    let installed = installed(store, document)?;
    let scratch = state::scratch_dir(config).map_err(MachineError::State)?;
    Ok(Plan { engine: chosen.engine, installed, size: document.size, scratch })
}

/// Brings kept memory back, if there is any. That it is there is forgotten first: once the guest has run on, its memory as it
/// was and its disk as it is do not belong together.
async fn resume(
    config: &Config,
    folder: &Folder,
    plan: &Plan,
    document: &mut Document,
    report: &mut Report,
) -> Result<Option<(Machine, Loaded)>, WorkspaceError> {
    let Some(snapshot) = document.suspended.take() else { return Ok(None) };
    folder.save(document)?;
    let kept = folder.suspended();
    let sessions = sessions::load(folder, &snapshot);
    let revival = Revival {
        snapshot: &snapshot,
        folder: &kept,
        own: OwnDisk::Layers(open(folder, &document.chain)?),
        open_disk: false,
        machine_id: Some(&document.machine_id),
        keep_jobs: true,
    };
    let revived = Machine::revive(config, plan, revival, document.workspace_id.guest()).await;
    // The engine has the memory file open; nobody else needs its name.
    let _ = std::fs::remove_dir_all(&kept);
    match revived {
        Ok(machine) => Ok(Some((machine, sessions))),
        Err(error) => {
            report.notice(format!(
                "the kept memory could not be restored, starting from the disk: {}",
                chain(&error)
            ));
            Ok(None)
        }
    }
}

async fn start(
    config: &Config,
    store: &ImageStore,
    folder: &Folder,
    plan: &Plan,
    document: &mut Document,
    report: &mut Report,
) -> Result<(Machine, StartedBy), WorkspaceError> {
    let fresh = document.fresh_from.take();
    if let Some(key) = fresh {
        // From its first moment on the guest writes to the disk, and the template knows nothing of that.
        folder.save(document)?;
        let template = Template::open(config, plan).filter(|template| template.key() == key);
        if let Some(template) = template {
            let layers = open(folder, &document.chain)?;
            let id = document.workspace_id.guest();
            match template.start_on(config, plan, Kind::Warm, id, layers, &document.machine_id).await {
                Ok(machine) => return Ok((machine, StartedBy::Restore)),
                Err(error) => report.notice(format!("the template did not work: {}", chain(&error))),
            }
        }
    }
    from_disk(config, store, folder, plan, document, &document.chain, &mut |text| report.notice(text)).await
}

/// Starts a guest on a disk, however that was left: what a push had put in place of what it never finished is taken back,
/// because the guest was killed or the snapshot was taken in the middle of it.
pub(super) async fn from_disk(
    config: &Config,
    store: &ImageStore,
    folder: &Folder,
    plan: &Plan,
    document: &Document,
    layers: &Chain,
    notice: &mut (dyn FnMut(String) + Send),
) -> Result<(Machine, StartedBy), WorkspaceError> {
    let (machine, started_by) = start_from(config, store, folder, plan, document, layers, notice).await?;
    if let Err(reason) = recover(&machine.client).await {
        notice(format!("what a push had begun could not be taken back: {reason}"));
    }
    Ok((machine, started_by))
}

async fn start_from(
    config: &Config,
    store: &ImageStore,
    folder: &Folder,
    plan: &Plan,
    document: &Document,
    layers: &Chain,
    notice: &mut (dyn FnMut(String) + Send),
) -> Result<(Machine, StartedBy), WorkspaceError> {
    let id = document.workspace_id.guest();
    match Template::ensure_kind(config, store, plan, Kind::Bare).await {
        Ok(template) => {
            let disk = open(folder, layers)?;
            match template.start_on(config, plan, Kind::Bare, id.clone(), disk, &document.machine_id).await {
                Ok(machine) => return Ok((machine, StartedBy::Restore)),
                Err(error) => {
                    notice(format!(
                        "the template did not work and is made again next time: {}",
                        chain(&error)
                    ));
                    template.discard();
                }
            }
        }
        Err(error) => notice(format!("starting without a template: {}", chain(&error))),
    }
    let machine = Machine::boot_on(config, plan, id, open(folder, layers)?).await?;
    Ok((machine, StartedBy::Boot))
}

pub(super) fn open(folder: &Folder, chain: &Chain) -> Result<Vec<Layer>, WorkspaceError> {
    folder.layers().open(chain).map_err(|source| WorkspaceError::Disk {
        operation: "opening the disk",
        workspace: folder.id().to_string(),
        source,
    })
}

/// The number of the first command of this guest: after all there have been, those that were cut short included.
pub(super) fn next_job(history: &History, document: &Document) -> u64 {
    let last = history.entries().ok().and_then(|entries| Some(entries.last()?.started.sequence));
    last.unwrap_or(0).max(document.command_count) + 1
}
