//! One workspace's folder: where everything of it is, its lock, and its document, which is replaced as a whole or not at
//! all. This file must not know what the guest does.
//!
//! ```text
//!   workspaces/<id>/  workspace.json   the document
//!                     lock             held by whoever runs the guest or changes what is on disk
//!                     control.sock     where the supervisor listens
//!                     supervisor.log   what it and its panics had to say
//!                     layers/          the disk, layer by layer
//!                     snapshots/       one folder for each
//!                     suspended/       device state and memory of a guest that was stopped with them
//!                     history.jsonl    commands, and output/, what they printed
//!                     services/        a folder for each service, with what it printed
//!                     audit.jsonl      who asked for what
//!                     services/        one folder for each: what it is, and what it printed
//!                     sync/            what was pushed last
//!                     order.json       what the supervisor was started with
//! ```

use super::document::Document;
use super::document::SCHEMA;
use super::error::StoreError;
use super::id::SnapshotName;
use super::id::WorkspaceId;
use super::layers::Layers;
use rustix::fs::FlockOperation;
use rustix::fs::flock;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::ffi::OsStr;
use std::fs;
use std::fs::DirBuilder;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Read as _;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;

/// Largest document that is read, in bytes.
const DOCUMENT_BYTES_MAX: u64 = 4 << 20;

/// One workspace's folder.
#[derive(Clone, Debug)]
pub struct Folder {
    id: WorkspaceId,
    path: PathBuf,
}

/// The right to run a workspace's guest or to change its disk. Gone with its holder.
#[derive(Debug)]
pub struct FolderLock(File);

impl FolderLock {
    /// The lock as a descriptor that a child process may inherit, and with it the lock.
    pub fn into_file(self) -> File {
        self.0
    }

    /// A lock that was inherited.
    pub const fn inherited(file: File) -> Self {
        Self(file)
    }
}

impl Folder {
    /// The folder of `id` below `root`, which may or may not exist.
    pub fn new(root: &Path, id: WorkspaceId) -> Self {
        Self { path: root.join(id.as_str()), id }
    }

    /// Whose it is.
    pub const fn id(&self) -> &WorkspaceId {
        &self.id
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The document.
    pub fn document_path(&self) -> PathBuf {
        self.path.join("workspace.json")
    }

    /// The supervisor's socket.
    pub fn socket_name() -> &'static str {
        "control.sock"
    }

    /// The disk.
    pub fn layers(&self) -> Layers {
        Layers::at(self.path.join("layers"))
    }

    /// All snapshots.
    pub fn snapshots(&self) -> PathBuf {
        self.path.join("snapshots")
    }

    /// One snapshot.
    pub fn snapshot(&self, name: &SnapshotName) -> PathBuf {
        self.snapshots().join(name.as_str())
    }

    /// Memory and device state of a guest that was stopped with them.
    pub fn suspended(&self) -> PathBuf {
        self.path.join("suspended")
    }

    /// What commands printed.
    pub fn output(&self) -> PathBuf {
        self.path.join("output")
    }

    /// All services.
    pub fn services(&self) -> PathBuf {
        self.path.join("services")
    }

    /// The commands.
    pub fn history(&self) -> PathBuf {
        self.path.join("history.jsonl")
    }

    /// Who asked for what.
    pub fn audit(&self) -> PathBuf {
        self.path.join("audit.jsonl")
    }

    /// What the supervisor had to say.
    pub fn supervisor_log(&self) -> PathBuf {
        self.path.join("supervisor.log")
    }

    /// Makes the folder and those in it.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn make(&self) -> Result<(), StoreError> {
        for path in [self.path.clone(), self.layers().folder().to_owned(), self.snapshots(), self.output()] {
            private_folder(&path).map_err(|source| StoreError::file("making", &path, source))?;
        }
        Ok(())
    }

    /// Takes the lock if nobody has it.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn try_lock(&self) -> Result<Option<FolderLock>, StoreError> {
        let (file, path) = self.lock_file()?;
        for _ in 0..LOOKERS_MAX {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(self.taken(file)),
                Err(rustix::io::Errno::WOULDBLOCK) => {}
                Err(errno) => return Err(StoreError::file("locking", &path, errno.into())),
            }
            // Whoever only looks shares the lock for a moment. Where it can be shared, nobody has it.
            if flock(&file, FlockOperation::NonBlockingLockShared).is_err() {
                return Ok(None);
            }
            let _ = flock(&file, FlockOperation::Unlock);
            std::thread::yield_now();
        }
        Ok(None)
    }

    /// A lock that was just taken, unless the workspace was deleted before that.
    fn taken(&self, file: File) -> Option<FolderLock> {
        if !self.path.exists() {
            return None;
        }
        // While the lock is held and not yet passed on there is no supervisor: one that was killed has left this.
        let _ = fs::remove_file(self.path.join(Self::socket_name()));
        Some(FolderLock(file))
    }

    fn lock_file(&self) -> Result<(File, PathBuf), StoreError> {
        let path = self.path.join("lock");
        let open =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        match open {
            Ok(file) => Ok((file, path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(StoreError::Unknown { given: self.id.to_string() })
            }
            Err(source) => Err(StoreError::file("opening", &path, source)),
        }
    }

    /// Whether somebody holds the lock: a guest runs, or its disk is being changed.
    pub fn is_held(&self) -> bool {
        let Ok(file) = File::open(self.path.join("lock")) else { return false };
        flock(&file, FlockOperation::NonBlockingLockShared).is_err()
    }

    /// Reads the document.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] when there is none, [`StoreError::Document`] when it is of no use.
    pub fn load(&self) -> Result<Document, StoreError> {
        let path = self.document_path();
        let document: Document =
            read_json(&path)?.ok_or_else(|| StoreError::Unknown { given: self.id.to_string() })?;
        if document.schema > SCHEMA {
            return Err(StoreError::Newer { path, schema: document.schema });
        }
        if document.workspace_id != self.id {
            let reason = format!("it is of the workspace {}", document.workspace_id);
            return Err(StoreError::Document { path, reason });
        }
        Ok(document)
    }

    /// Replaces the document, durably.
    ///
    /// # Errors
    /// [`StoreError::File`]; the old one is then still there.
    pub fn save(&self, document: &Document) -> Result<(), StoreError> {
        write_json(&self.document_path(), document, true)
    }

    /// Replaces the document; a crash of the host may bring the old one back.
    ///
    /// # Errors
    /// [`StoreError::File`]; the old one is then still there.
    pub fn save_soon(&self, document: &Document) -> Result<(), StoreError> {
        write_json(&self.document_path(), document, false)
    }

    /// Removes what processes that were killed have left half-made. Only the lock's holder may.
    pub(super) fn tidy(&self, suspended: bool) {
        if !suspended {
            let _ = fs::remove_dir_all(self.suspended());
        }
        let _ = fs::remove_dir_all(self.suspended().with_extension("next"));
        let names = |path: &Path| {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).collect::<Vec<_>>()
        };
        for path in names(&self.snapshots()) {
            if path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(super::snapshots::PARTIAL))
            {
                let _ = fs::remove_dir_all(path);
            }
        }
        // Who wrote them had the lock, and whoever tidies has it now.
        for path in names(&self.path).into_iter().filter(|path| path.extension() == Some(OsStr::new("tmp"))) {
            let _ = fs::remove_file(path);
        }
    }

    /// Removes everything. The folder loses its name first, so that what is killed in between leaves nothing that looks whole.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn remove(self, _lock: &FolderLock) -> Result<(), StoreError> {
        let doomed = self.path.with_file_name(format!("{REMOVED}{}", self.id));
        fs::rename(&self.path, &doomed).map_err(|source| StoreError::file("renaming", &self.path, source))?;
        match fs::remove_dir_all(&doomed) {
            // Somebody else's sweep was quicker.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(|source| StoreError::file("removing", &doomed, source)),
        }
    }
}

/// How often the lock is tried for while others only look whether it is held.
const LOOKERS_MAX: usize = 1000;

/// Starts the name of a folder that is on its way out.
pub(super) const REMOVED: &str = "removed-";

/// Makes a folder that only its owner can enter.
pub(super) fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Reads a bounded JSON document; `None` when there is no such file.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StoreError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StoreError::file("opening", path, source)),
    };
    let mut bytes = Vec::new();
    file.take(DOCUMENT_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(|source| StoreError::file("reading", path, source))?;
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| StoreError::Document { path: path.to_owned(), reason: error.to_string() })
}

/// Replaces a JSON document by one that was written aside.
pub(super) fn write_json<T: Serialize>(path: &Path, document: &T, durable: bool) -> Result<(), StoreError> {
    let bytes = serde_json::to_vec_pretty(document)
        .map_err(|error| StoreError::Document { path: path.to_owned(), reason: error.to_string() })?;
    replace(path, &bytes, durable).map_err(|source| StoreError::file("writing", path, source))
}

fn replace(path: &Path, bytes: &[u8], durable: bool) -> io::Result<()> {
    let aside = path.with_extension(format!("{}.tmp", std::process::id()));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        file.write_all(bytes)?;
        if durable {
            file.sync_all()?;
        }
        fs::rename(&aside, path)?;
        match path.parent() {
            Some(parent) if durable => File::open(parent)?.sync_all(),
            _ => Ok(()),
        }
    })();
    written.inspect_err(|_| drop(fs::remove_file(&aside)))
}

/// Gives the device state and memory of a snapshot second names in another folder.
pub(super) fn link_memory(from: &Path, to: &Path) -> io::Result<()> {
    for name in ["state", "memory"] {
        fs::hard_link(from.join(name), to.join(name))?;
    }
    Ok(())
}
