//! Making a workspace of a pack: built in a folder of its own, and a workspace only when all of the pack was read and found
//! right. This file must not trust what it reads.

use super::error::PackError;
use super::manifest::Manifest;
use super::manifest::Of;
use super::read::Pack;
use crate::config::Config;
use crate::identity;
use crate::work::Work;
use crate::workspace::advance::Advance;
use crate::workspace::advance::Counted;
use crate::workspace::disk::blocking;
use crate::workspace::document::Document;
use crate::workspace::document::Stage;
use crate::workspace::document::StopReason;
use crate::workspace::document::UnixSeconds;
use crate::workspace::error::StoreError;
use crate::workspace::error::WorkspaceError;
use crate::workspace::event;
use crate::workspace::folder::Folder;
use crate::workspace::folder::private_folder;
use crate::workspace::handle::Workspace;
use crate::workspace::handle::Workspaces;
use crate::workspace::id::WorkspaceId;
use crate::workspace::id::WorkspaceName;
use crate::workspace::layers::LayerName;
use crate::workspace::snapshots::NewSnapshot;
use pyro_engine::DiskFormat;
use pyro_image::ImageError;
use pyro_image::ImageStore;
use pyro_image::disk::Qcow2;
use std::collections::BTreeMap;
use std::fs::File;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;

/// A pack to be made a workspace.
#[derive(Clone, Debug)]
pub struct UnpackSpec {
    /// The pack.
    pub input: PathBuf,
    /// The workspace's name; the pack's own is not taken over.
    pub name: Option<WorkspaceName>,
    /// Most bytes it may take.
    pub bytes_max: u64,
    /// Take over memory and processes, too: whoever made the pack is then trusted like whoever made a program. Without it
    /// the workspace, and each snapshot, begins from its disk.
    pub memory: bool,
}

/// What came of a pack.
#[derive(Clone, Debug)]
pub struct Unpacked {
    /// The workspace, which is stopped.
    pub workspace: Workspace,
    /// There was memory in the pack, and it was left out.
    pub memory_left_out: bool,
}

impl Workspaces {
    /// Makes a stopped workspace of a pack.
    ///
    /// # Errors
    /// [`PackError`], with nothing left.
    pub fn unpack(&self, spec: UnpackSpec, told: Advance) -> Work<'_, Result<Unpacked, WorkspaceError>> {
        Box::pin(async move {
            let path = spec.input.clone();
            let bytes_max = spec.bytes_max;
            let opened = blocking(move || {
                let file = File::open(&path).map_err(|source| WorkspaceError::Input { path, source })?;
                let (pack, manifest) = Pack::open(file)?;
                manifest.check(bytes_max)?;
                Ok((pack, manifest))
            });
            let (pack, mut manifest) = opened.await?;
            let memory_left_out = !spec.memory && manifest.leave_memory_out();
            if let Some(engine) = &manifest.engine
                && *engine != fingerprint(&self.config).await?
            {
                return Err(PackError::Engine.into());
            }
            let all = self.clone();
            let folder = blocking(move || all.build(pack, &manifest, spec.name, told)).await?;
            event::note(&self.config, folder.id(), "workspace_unpacked", None);
            Ok(Unpacked { workspace: self.at(folder), memory_left_out })
        })
    }

    fn build(
        &self,
        pack: Pack<File>,
        manifest: &Manifest,
        name: Option<WorkspaceName>,
        told: Advance,
    ) -> Result<Folder, WorkspaceError> {
        check_environment(&self.config, &manifest.document)?;
        let document = document(manifest, name)?;
        let (folder, lock) = self.registry.add(&document)?;
        let counted = Counted::new(manifest.data_bytes(), told);
        match fill(&folder, pack, manifest, document, counted) {
            Ok(()) => Ok(folder),
            Err(error) => {
                let _ = folder.remove(&lock);
                Err(error)
            }
        }
    }
}

/// The workspace to be: with an identity of its own, unless a guest's memory knows another.
fn document(manifest: &Manifest, name: Option<WorkspaceName>) -> Result<Document, WorkspaceError> {
    let now = UnixSeconds::now();
    let packed = &manifest.document;
    let machine_id = match &packed.suspended {
        Some(_) => packed.machine_id.clone(),
        None => identity::machine_id().map_err(StoreError::Random)?,
    };
    Ok(Document {
        workspace_id: WorkspaceId::random().map_err(StoreError::Random)?,
        name,
        created_at: now,
        last_activity_at: now,
        stage: Stage::Creating,
        stopped: Some((StopReason::NeverStarted, now)),
        machine_id,
        command_count: 0,
        last_command: None,
        forked_from: None,
        fresh_from: None,
        // What a file says shall open nothing on this host.
        published_ports: Vec::new(),
        ..packed.clone()
    })
}

fn fill(
    folder: &Folder,
    mut pack: Pack<File>,
    manifest: &Manifest,
    mut document: Document,
    mut counted: Counted,
) -> Result<(), WorkspaceError> {
    let disk_bytes = u64::from(document.size.disk.get()) << 20;
    let mut pending = BTreeMap::new();
    for snapshot in &manifest.snapshots {
        pending.insert(snapshot.name.clone(), (NewSnapshot::begin(folder, &snapshot.name)?, snapshot));
    }
    if document.suspended.is_some() {
        private_folder(&folder.suspended()).map_err(PackError::file("making a folder for the memory"))?;
    }
    for part in &manifest.parts {
        let path = match &part.of {
            Of::Layer(name) => folder.layers().path(name),
            Of::Memory(..) if !manifest.has_memory() => {
                pack.part(part, None, &mut counted)?;
                continue;
            }
            Of::Memory(None, file) => folder.suspended().join(file.name()),
            Of::Memory(Some(snapshot), file) => match pending.get(snapshot) {
                Some((new, _)) => new.folder().join(file.name()),
                None => return Err(PackError::invalid("there is memory of no snapshot").into()),
            },
        };
        let file = create(&path).map_err(PackError::file(format!("making {}", part.of)))?;
        pack.part(part, Some(&file), &mut counted)?;
        if let Of::Layer(name) = &part.of {
            check_layer(name, &file, disk_bytes)?;
        }
    }
    pack.finish()?;
    for (_, (new, snapshot)) in pending {
        new.keep(snapshot)?;
    }
    // The last layer may be a snapshot's too, and that must not change.
    let added = folder.layers().add(&manifest.document.chain, disk_bytes);
    document.chain = added.map_err(PackError::file("adding a layer to the disk"))?.0;
    document.stage = Stage::Ready;
    folder.save(&document)?;
    Ok(())
}

fn create(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// An overlay must be one that was made here: it names no other file, and has no feature that would.
fn check_layer(name: &LayerName, file: &File, disk_bytes: u64) -> Result<(), PackError> {
    if name.format() == DiskFormat::Raw {
        return Ok(());
    }
    let refused = |what: String| PackError::invalid(format!("the layer {}: {what}", name.as_str()));
    let file = file.try_clone().map_err(PackError::file("reading a layer"))?;
    let overlay = Qcow2::open(file).map_err(|error| refused(crate::code::chain(&error)))?;
    if overlay.size_bytes() != disk_bytes {
        return Err(refused("its disk has another size".to_owned()));
    }
    Ok(())
}

fn check_environment(config: &Config, document: &Document) -> Result<(), WorkspaceError> {
    let missing = || PackError::Environment {
        environment: document.environment.clone(),
        digest: document.rootfs_digest.clone(),
    };
    let store = ImageStore::new(config.image_config())?;
    match store.open_digest(&document.environment, &document.rootfs_digest) {
        Ok(_) => Ok(()),
        Err(ImageError::NotInstalled { .. }) => Err(missing().into()),
        Err(error) if error.code() == crate::code::ENVIRONMENT_UNKNOWN => Err(missing().into()),
        Err(error) => Err(error.into()),
    }
}

/// What memory of this host's guests depends on.
pub(super) async fn fingerprint(config: &Config) -> Result<String, WorkspaceError> {
    let chosen = pyro_engine::choose(config.engine, &config.probe_cache(), &config.search_path).await?;
    Ok(chosen.engine.fingerprint())
}
