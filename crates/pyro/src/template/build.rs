//! Builds a template: boots a guest on a memory file, warms what every command needs, freezes it. Killed at any point it
//! leaves a `partial-` folder that nobody holds, which the next builder or collector removes.

use super::Kind;
use super::Template;
use super::TemplateKey;
use super::collect;
use super::document::Document;
use super::root;
use crate::config::Config;
use crate::guest::ExecStreams;
use crate::guest::GuestClient;
use crate::identity::GuestId;
use crate::machine::Machine;
use crate::machine::MachineError;
use crate::machine::Plan;
use crate::machine::SnapshotError;
use pyro_engine::EngineError;
use pyro_engine::Memory;
use pyro_image::ImageStore;
use pyro_proto::exec::ExecSpec;
use rustix::fs::FlockOperation;
use rustix::fs::flock;
use std::fs::DirBuilder;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;

/// Commands that bring into the guest's memory what most commands need. Those a guest does not have are passed over.
const WARM: [&[&str]; 4] = [
    &["/bin/sh", "-lc", "true"],
    &["git", "--version"],
    &["python3", "-c", "pass"],
    &["/bin/sh", "-lc", "true"],
];

/// How long one of them may take, in milliseconds.
const WARM_TIMEOUT_MS: u64 = 20_000;

/// Why there is no template. A start goes on without one.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// A file or folder could not be made or locked.
    #[error("{operation} {path}", path = .path.display())]
    File {
        /// What was being done.
        operation: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Its guest did not come up.
    #[error("starting the template's guest")]
    Machine(#[from] MachineError),
    /// Its guest could not be saved.
    #[error("saving the template's guest")]
    Snapshot(#[from] SnapshotError),
    /// Its memory could not be made sparse.
    #[error("making the template's memory sparse")]
    Memory(#[source] EngineError),
}

trait At<T> {
    fn at(self, operation: &'static str, path: &Path) -> Result<T, TemplateError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, operation: &'static str, path: &Path) -> Result<T, TemplateError> {
        self.map_err(|source| TemplateError::File { operation, path: path.to_owned(), source })
    }
}

pub(super) async fn build(
    config: &Config,
    store: &ImageStore,
    plan: &Plan,
    kind: Kind,
) -> Result<Template, TemplateError> {
    let key = TemplateKey::of(plan, kind);
    let root = root(config);
    private_folder(&root).at("making", &root)?;
    let _lock = builder_lock(&root, &key).await?;
    let folder = root.join(key.as_str());
    // Whoever held the lock before may have built it.
    if let Some(template) = Template::open_at(&folder, &key) {
        return Ok(template);
    }
    set_aside(&root, &folder)?;
    collect::make_room(config);
    let partial = Partial::make(&root, &key)?;
    let snapshot = boot_and_freeze(config, store, plan, kind, &partial.path).await?;
    let memory = crate::machine::snapshot_files(&partial.path)[1].clone();
    punch(memory).await?;
    Document::seal(&partial.path, plan, key.as_str(), snapshot).at("sealing", &partial.path)?;
    std::fs::rename(&partial.path, &folder).at("naming", &folder)?;
    Template::open_at(&folder, &key)
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
        .at("opening the new template", &folder)
}

/// Clears the name of a damaged template. Guests may still live from it; it then goes when they have ended.
fn set_aside(root: &Path, folder: &Path) -> Result<(), TemplateError> {
    let removed = super::remove(folder).at("removing the damaged template", folder)?;
    if removed || !folder.exists() {
        return Ok(());
    }
    let id = GuestId::random().map_err(MachineError::Random)?;
    let aside = root.join(format!("{}damaged-{id}", collect::PARTIAL));
    std::fs::rename(folder, aside).at("setting aside the damaged template", folder)
}

async fn boot_and_freeze(
    config: &Config,
    store: &ImageStore,
    plan: &Plan,
    kind: Kind,
    folder: &Path,
) -> Result<crate::machine::Snapshot, TemplateError> {
    let id = GuestId::random().map_err(MachineError::Random)?;
    let memory = Memory::SharedFile(crate::machine::snapshot_files(folder)[1].clone());
    let machine = match kind {
        Kind::Warm => Machine::boot(config, store, plan, id, memory).await?,
        Kind::Bare => Machine::boot_without_disk(config, store, plan, id, memory).await?,
    };
    for argv in WARM {
        warm(&machine.client, argv).await;
    }
    Ok(machine.freeze(folder).await?)
}

/// Runs a command for its side effects on the guest's caches. How it ends does not matter.
async fn warm(client: &GuestClient, argv: &[&str]) {
    let spec = ExecSpec {
        argv: argv.iter().map(|word| (*word).into()).collect(),
        cwd: Some("/".into()),
        timeout_ms: Some(WARM_TIMEOUT_MS),
        ..ExecSpec::default()
    };
    if let Ok(mut exec) = client.exec(spec, ExecStreams { stderr: true, ..ExecStreams::default() }) {
        let _ = exec.exited().await;
    }
}

/// Pages of zeros become holes: they cost neither disk nor page cache.
async fn punch(memory: PathBuf) -> Result<(), TemplateError> {
    let path = memory.clone();
    let punched = tokio::task::spawn_blocking(move || pyro_engine::memory::punch_zero_pages(&path)).await;
    let result = punched.unwrap_or_else(|error| Err(io::Error::other(error)));
    result.map(drop).at("making sparse", &memory)
}

/// A folder that is removed unless it was renamed, and that others may remove once its builder is gone.
struct Partial {
    path: PathBuf,
    _lease: File,
}

impl Partial {
    fn make(root: &Path, key: &TemplateKey) -> Result<Self, TemplateError> {
        let path = root.join(format!("{}{}", collect::PARTIAL, key.as_str()));
        loop {
            // The builder's lock is ours, so what is there was left by a builder that is gone.
            super::remove(&path).at("removing", &path)?;
            DirBuilder::new().mode(0o700).create(&path).at("making", &path)?;
            let Ok(lease) = File::open(&path) else { continue };
            flock(&lease, FlockOperation::LockShared).map_err(io::Error::from).at("locking", &path)?;
            // Before it was locked it looked abandoned, and somebody may have swept it away.
            if path.exists() {
                return Ok(Self { path, _lease: lease });
            }
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After the rename there is nothing of this name; before it, whatever is there is unfinished.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// One builder at a time for each key. The wait is a blocking `flock` on a thread of its own; the lock dies with the process.
async fn builder_lock(root: &Path, key: &TemplateKey) -> Result<File, TemplateError> {
    let path = root.join(format!("{}{}", collect::LOCK, key.as_str()));
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = open.at("opening", &path)?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
        return Ok(file);
    }
    let waited = tokio::task::spawn_blocking(move || {
        flock(&file, FlockOperation::LockExclusive).map_err(io::Error::from)?;
        Ok(file)
    });
    waited.await.unwrap_or_else(|error| Err(io::Error::other(error))).at("locking", &path)
}

fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}
