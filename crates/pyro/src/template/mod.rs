//! Templates: paused guests that every later start of their like is restored from. Content-addressed by everything they
//! depend on, so that whatever changes makes another template and the old one is merely unused.
//!
//! ```text
//!   absent -- lock, boot, warm, freeze into partial-* -- rename --> ready -- restore --> ... (any number of times)
//!     ^                |                                              |
//!     |                +-- killed: the next builder or collector removes what nobody holds
//!     +---- damaged, unusable, least recently used, or its environment is gone: removed when nobody holds it
//! ```
//!
//! **Invariant:** a template holds no command's output, no secret and no identity: it is frozen before any user command.
//! **Invariant:** a template that cannot be made or restored never makes a start fail; the guest is booted instead.

mod build;
mod collect;
mod document;
mod key;

pub use build::TemplateError;
pub use collect::Collected;
pub use collect::Shown;
pub use collect::collect;
pub use collect::list;
pub use key::Kind;
pub use key::TemplateKey;

use crate::config::Config;
use crate::identity::GuestId;
use crate::machine::Machine;
use crate::machine::MachineError;
use crate::machine::OwnDisk;
use crate::machine::Plan;
use crate::machine::Revival;
use crate::work::Work;
use document::Document;
use pyro_engine::Layer;
use pyro_image::ImageStore;
use rustix::fs::FlockOperation;
use rustix::fs::flock;
use std::fs::File;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

/// A template that is ready, and stays so while this value lives.
#[derive(Debug)]
pub struct Template {
    folder: PathBuf,
    document: Document,
    /// A shared lock on the folder, which its removal needs for itself. Guests started from it hold it too.
    lease: Arc<File>,
}

/// Makes the template of a guest of the default size for an installed environment, unless it is there.
///
/// Must be called on a thread that outlives the call: the guest dies with the thread that started it.
///
/// # Errors
/// Why there is none, as one line: nobody depends on a template.
pub fn prepare<'a>(
    config: &'a Config,
    store: &'a ImageStore,
    environment: &'a str,
) -> Work<'a, Result<(), String>> {
    Box::pin(async move {
        let line = |error: &dyn std::error::Error| crate::code::chain(error);
        let chosen = pyro_engine::choose(config.engine, &config.probe_cache(), &config.search_path).await;
        let engine = chosen.map_err(|error| line(&error))?.engine;
        let installed = store.open(environment).map_err(|error| line(&error))?;
        let scratch = crate::state::scratch_dir(config).map_err(|error| line(&error))?;
        let plan = Plan { engine, installed, size: crate::machine::Size::default(), scratch };
        Template::ensure(config, store, &plan).await.map(drop).map_err(|error| line(&error))
    })
}

/// Where templates are kept.
pub(crate) fn root(config: &Config) -> PathBuf {
    config.cache_dir.join("templates")
}

impl Template {
    /// The template for `plan`, if it is there and whole.
    pub fn open(config: &Config, plan: &Plan) -> Option<Self> {
        Self::open_kind(config, plan, Kind::Warm)
    }

    fn open_kind(config: &Config, plan: &Plan, kind: Kind) -> Option<Self> {
        let key = TemplateKey::of(plan, kind);
        Self::open_at(&root(config).join(key.as_str()), &key)
    }

    fn open_at(folder: &Path, key: &TemplateKey) -> Option<Self> {
        let lease = File::open(folder).ok()?;
        flock(&lease, FlockOperation::NonBlockingLockShared).ok()?;
        let document = Document::read(folder)?;
        if document.key != key.as_str() || !document.matches(folder) {
            return None;
        }
        document::touch(folder);
        Some(Self { folder: folder.to_owned(), document, lease: Arc::new(lease) })
    }

    /// The template for `plan`, built first if it is not there. Other processes that want the same one wait for it.
    ///
    /// # Errors
    /// [`TemplateError`], with nothing half-made in sight.
    pub fn ensure<'a>(
        config: &'a Config,
        store: &'a ImageStore,
        plan: &'a Plan,
    ) -> Work<'a, Result<Self, TemplateError>> {
        Box::pin(async move { Self::ensure_kind(config, store, plan, Kind::Warm).await })
    }

    /// [`Self::ensure`] for a template of this kind.
    ///
    /// # Errors
    /// [`TemplateError`], with nothing half-made in sight.
    pub async fn ensure_kind(
        config: &Config,
        store: &ImageStore,
        plan: &Plan,
        kind: Kind,
    ) -> Result<Self, TemplateError> {
        collect::sweep(config);
        match Self::open_kind(config, plan, kind) {
            Some(template) => Ok(template),
            None => build::build(config, store, plan, kind).await,
        }
    }

    /// Starts a guest from it onto layers. Of a template with a disk, the layers must hold what [`Self::disk`] holds.
    ///
    /// # Errors
    /// [`MachineError`], with nothing left behind.
    pub async fn start_on(
        &self,
        config: &Config,
        plan: &Plan,
        kind: Kind,
        id: GuestId,
        layers: Vec<Layer>,
        machine_id: &str,
    ) -> Result<Machine, MachineError> {
        let revival = Revival {
            snapshot: &self.document.snapshot,
            folder: &self.folder,
            own: OwnDisk::Layers(layers),
            open_disk: kind == Kind::Bare,
            keep_jobs: false,
            machine_id: Some(machine_id),
        };
        let mut machine = Machine::revive(config, plan, revival, id).await?;
        machine.hold(Arc::clone(&self.lease));
        Ok(machine)
    }

    /// The disk its guest had when it was frozen.
    pub fn disk(&self) -> PathBuf {
        let [_, _, disk] = crate::machine::snapshot_files(&self.folder);
        disk
    }

    /// Its key.
    pub fn key(&self) -> &str {
        &self.document.key
    }

    /// Starts a guest from it. The template stays while the guest lives, which may yet be snapshotted: what it did not write
    /// is in the template's memory file.
    ///
    /// # Errors
    /// [`MachineError`], with nothing left behind.
    pub async fn start(&self, config: &Config, plan: &Plan, id: GuestId) -> Result<Machine, MachineError> {
        let mut machine = Machine::restore(config, plan, &self.document.snapshot, &self.folder, id).await?;
        machine.hold(Arc::clone(&self.lease));
        Ok(machine)
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes it, because it turned out not to work.
    pub fn discard(self) {
        let Self { folder, lease, .. } = self;
        drop(lease);
        // If somebody else still holds it, the next start will find out for itself.
        let _ = remove(&folder);
    }
}

/// Removes a folder of the templates' root if nobody holds it; whether it did.
fn remove(folder: &Path) -> io::Result<bool> {
    let lock = match File::open(folder) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(false);
    }
    std::fs::remove_dir_all(folder)?;
    Ok(true)
}
