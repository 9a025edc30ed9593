//! Making a workspace: its folder, its disk, its guest, its files, its baseline. Whatever fails, nothing is left; whoever is
//! killed on the way leaves a folder that the next command removes. This file must not fetch anything into the guest itself.
//!
//! ```text
//!   environment, template -> folder (creating) + disk -> supervisor, guest -> seed -> baseline -> ready
//! ```

use super::control::connection;
use super::control::message::Request;
use super::document::Document;
use super::document::SCHEMA;
use super::document::Seed;
use super::document::Stage;
use super::document::StopReason;
use super::document::UnixSeconds;
use super::error::StoreError;
use super::error::WorkspaceError;
use super::event;
use super::folder::Folder;
use super::folder::FolderLock;
use super::handle::Workspace;
use super::handle::Workspaces;
use super::id::LabelKey;
use super::id::LabelValue;
use super::id::SnapshotName;
use super::id::WorkspaceId;
use super::id::WorkspaceName;
use super::layers::Chain;
use super::life::start_supervisor;
use super::port::PortSpec;
use super::secrets::NewSecret;
use super::snapshots;
use super::snapshots::NewSnapshot;
use super::snapshots::SnapshotDocument;
use super::transfer;
use crate::config::Config;
use crate::host_path::HostPath;
use crate::identity;
use crate::limits::TtlSeconds;
use crate::machine::MachineError;
use crate::machine::Plan;
use crate::machine::Size;
use crate::run::Phase;
use crate::run::RunObserver;
use crate::state;
use crate::template::Kind;
use crate::template::Template;
use crate::tree::GitSource;
use crate::work::Work;
use pyro_image::Cancel;
use pyro_image::ImageError;
use pyro_image::ImageStore;
use pyro_image::Installed;
use std::collections::BTreeMap;

/// Most labels of one workspace.
pub(super) const LABELS_MAX: usize = 64;

/// A workspace to be made.
#[derive(Clone, Debug)]
pub struct CreateSpec {
    /// The environment's name in the catalogue.
    pub environment: String,
    /// What its guest shall have.
    pub size: Size,
    /// Idle time after which it is stopped.
    pub ttl: TtlSeconds,
    /// Time after a stop when it may be deleted, in seconds; 0 for never.
    pub retention_seconds: u64,
    /// Its name.
    pub name: Option<WorkspaceName>,
    /// Its labels.
    pub labels: BTreeMap<LabelKey, LabelValue>,
    /// What its guest may reach; anything but `off` is refused in this release.
    pub network_policy: String,
    /// Where its files come from.
    pub seed: SeedSource,
    /// Ports of its guest to publish.
    pub publish: Vec<PortSpec>,
    /// What its commands may use and nobody else may see.
    pub secrets: Vec<NewSecret>,
    /// Keep its secrets on a disk, encrypted, so that they outlive a stop and the host's memory.
    pub persist_secrets: bool,
}

/// Where a workspace's files come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeedSource {
    /// Nowhere.
    Empty,
    /// A folder, or a tar archive, plain or compressed.
    Path(HostPath),
    /// A local git repository: a path or `git+file://` address, with `#REF` behind it for a branch, tag or commit.
    Git(String),
    /// The same, of which the parts are known.
    Repository(GitSource),
}

impl CreateSpec {
    /// An empty workspace of `environment`, with the size and times that `pyro create` uses by itself, and no name.
    pub fn new(environment: impl Into<String>) -> Self {
        Self {
            environment: environment.into(),
            size: Size::default(),
            ttl: TtlSeconds::default(),
            retention_seconds: 0,
            name: None,
            labels: BTreeMap::new(),
            network_policy: "off".to_owned(),
            seed: SeedSource::Empty,
            publish: Vec::new(),
            secrets: Vec::new(),
            persist_secrets: false,
        }
    }
}

impl Workspaces {
    /// Makes a workspace and starts its guest.
    ///
    /// Must be called on a thread that outlives the call: a template may have to be made, and its guest dies with its thread.
    ///
    /// # Errors
    /// [`WorkspaceError`], with nothing left.
    pub fn create<'a>(
        &'a self,
        mut spec: CreateSpec,
        observer: &'a mut dyn RunObserver,
    ) -> Work<'a, Result<Workspace, WorkspaceError>> {
        Box::pin(async move {
            let secrets = std::mem::take(&mut spec.secrets);
            if spec.network_policy != "off" {
                return Err(WorkspaceError::NetworkUnavailable { policy: spec.network_policy });
            }
            if spec.labels.len() > LABELS_MAX {
                return Err(WorkspaceError::TooManyLabels { most: LABELS_MAX });
            }
            let source = transfer::open(&self.config, &spec.seed)?;
            let (workspace, lock) = self.begin(&spec, observer).await?;
            let made = async {
                observer.phase(&Phase::Start { vm_id: workspace.id().guest() });
                // The supervisor of a workspace that is not finished ends with this process, and the workspace with it.
                let _supervised = start_supervisor(&self.config, &workspace.folder, lock, &mut |text| {
                    observer.notice(text);
                })
                .await?;
                for port in &spec.publish {
                    workspace.publish_port(port).await?;
                }
                if !secrets.is_empty() {
                    workspace.set_secrets(secrets).await?;
                }
                workspace.fill(source, observer).await
            }
            .await;
            if let Err(error) = made {
                let _ = workspace.delete().await;
                return Err(error);
            }
            event::note(&self.config, workspace.id(), "workspace_created", None);
            Ok(workspace)
        })
    }

    /// Makes a workspace without files and does not start it; [`Workspace::start`] does. No guest is booted for it but the one
    /// of a template that is not there yet.
    ///
    /// Must be called on a thread that outlives the call, as [`Workspaces::create`].
    ///
    /// # Errors
    /// [`WorkspaceError`], with nothing left.
    pub fn create_stopped<'a>(
        &'a self,
        environment: impl Into<String>,
        size: Size,
        ttl: TtlSeconds,
        labels: BTreeMap<LabelKey, LabelValue>,
        observer: &'a mut dyn RunObserver,
    ) -> Work<'a, Result<Workspace, WorkspaceError>> {
        let spec = CreateSpec { size, ttl, labels, ..CreateSpec::new(environment) };
        Box::pin(async move {
            let (workspace, _lock) = self.begin(&spec, observer).await?;
            let mut document = workspace.folder.load()?;
            document.stage = Stage::Ready;
            document.stopped = Some((StopReason::NeverStarted, UnixSeconds::now()));
            workspace.folder.save(&document)?;
            event::note(&self.config, workspace.id(), "workspace_created", None);
            Ok(workspace)
        })
    }

    /// A workspace that is not finished, with a disk; nothing when that fails.
    async fn begin(
        &self,
        spec: &CreateSpec,
        observer: &mut dyn RunObserver,
    ) -> Result<(Workspace, FolderLock), WorkspaceError> {
        observer.phase(&Phase::Create);
        let store = ImageStore::new(self.config.image_config())?;
        let version = store.inspect(&spec.environment)?.version;
        let chosen =
            pyro_engine::choose(self.config.engine, &self.config.probe_cache(), &self.config.search_path)
                .await?;
        if let Some(notice) = &chosen.notice {
            observer.notice(notice);
        }
        let installed = ensure_installed(&store, &spec.environment, observer).await?;
        let scratch = state::scratch_dir(&self.config).map_err(MachineError::State)?;
        let plan = Plan { engine: chosen.engine, installed, size: spec.size, scratch };
        let id = WorkspaceId::random().map_err(StoreError::Random)?;
        let mut document = first_document(spec, id, version, plan.installed.digest.to_string())?;
        let (folder, lock) = self.registry.add(&document)?;
        let made = make_disk(&self.config, &store, &plan, &folder, &mut document, observer).await;
        if let Err(error) = made {
            let _ = folder.remove(&lock);
            return Err(error);
        }
        Ok((self.at(folder), lock))
    }
}

impl Workspace {
    /// Seeds the workspace, keeps its baseline, and lets it be used.
    async fn fill(
        &self,
        source: Option<transfer::Source>,
        observer: &mut dyn RunObserver,
    ) -> Result<(), WorkspaceError> {
        if let Some(source) = source {
            let seed = transfer::seed(self, source, observer).await?;
            connection::call::<serde_json::Value>(&self.config, &self.folder, Request::Seeded { seed })
                .await?;
            let baseline = Request::Snapshot { name: SnapshotName::baseline(), memory: false };
            connection::call::<SnapshotDocument>(&self.config, &self.folder, baseline).await?;
        }
        connection::call::<serde_json::Value>(&self.config, &self.folder, Request::Finish).await.map(drop)
    }
}

async fn ensure_installed(
    store: &ImageStore,
    name: &str,
    observer: &mut dyn RunObserver,
) -> Result<Installed, WorkspaceError> {
    match store.open(name) {
        Err(ImageError::NotInstalled { .. }) => {}
        opened => return Ok(opened?),
    }
    let failed = |source| WorkspaceError::Caller { operation: "installing the environment", source };
    let (cancel, progress) = (Cancel::new().map_err(failed)?, observer.pull_progress());
    let _asked = cancel.on_drop();
    let (store, name) = (store.clone(), name.to_owned());
    let pull = tokio::task::spawn_blocking(move || store.ensure(&name, progress.as_ref(), &cancel));
    Ok(pull.await.map_err(|error| failed(std::io::Error::other(error)))??)
}

fn first_document(
    spec: &CreateSpec,
    id: WorkspaceId,
    environment_version: String,
    rootfs_digest: String,
) -> Result<Document, WorkspaceError> {
    let now = UnixSeconds::now();
    Ok(Document {
        schema: SCHEMA,
        workspace_id: id,
        name: spec.name.clone(),
        labels: spec.labels.clone(),
        environment: spec.environment.clone(),
        environment_version,
        rootfs_digest,
        size: spec.size,
        ttl_seconds: spec.ttl.get(),
        retention_seconds: spec.retention_seconds,
        created_at: now,
        last_activity_at: now,
        stage: Stage::Creating,
        stopped: None,
        network_policy: spec.network_policy.clone(),
        chain: Chain::none(),
        suspended: None,
        machine_id: identity::machine_id().map_err(StoreError::Random)?,
        workspace_seed: Seed::empty(),
        command_count: 0,
        last_command: None,
        reset_count: 0,
        last_reset_at: None,
        forked_from: None,
        fresh_from: None,
        published_ports: Vec::new(),
        secrets: BTreeMap::new(),
        persist_secrets: spec.persist_secrets,
        metadata: BTreeMap::new(),
    })
}

/// Makes the disk: a copy of the template's, or of the pristine one where there is no template, and a layer to write to. The
/// lowest is the baseline of a workspace without files.
async fn make_disk(
    config: &Config,
    store: &ImageStore,
    plan: &Plan,
    folder: &Folder,
    document: &mut Document,
    observer: &mut dyn RunObserver,
) -> Result<(), WorkspaceError> {
    let failed = |operation| {
        let workspace = document.workspace_id.to_string();
        move |source| WorkspaceError::Disk { operation, workspace, source }
    };
    let layers = folder.layers();
    if Template::open(config, plan).is_none() {
        observer.phase(&Phase::Template);
    }
    let lowest = match Template::ensure_kind(config, store, plan, Kind::Warm).await {
        Ok(template) => {
            document.fresh_from = Some(template.key().to_owned());
            layers.begin(&template.disk()).map_err(failed("making the disk"))?
        }
        Err(error) => {
            observer.notice(&format!("starting without a template: {}", crate::code::chain(&error)));
            let pristine = store.rw_template(plan.size.disk.get().into())?;
            layers.begin(pristine.path()).map_err(failed("making the disk"))?
        }
    };
    let size_bytes = u64::from(plan.size.disk.get()) << 20;
    document.chain = layers.add(&lowest, size_bytes).map_err(failed("adding a layer to the disk"))?.0;
    let baseline = NewSnapshot::begin(folder, &SnapshotName::baseline())?;
    let mut snapshot = SnapshotDocument::new(SnapshotName::baseline(), lowest, None, 0);
    snapshot.entry_count = Some(0);
    baseline.keep(&snapshot)?;
    folder.save(document)?;
    Ok(())
}

/// Takes the baseline of a workspace without files away, to make room for one with them.
pub(super) fn drop_empty_baseline(folder: &Folder) -> Result<(), StoreError> {
    snapshots::remove(folder, &SnapshotName::baseline())
}
