//! The file behind one guest's memory, and how a snapshot's memory file comes of it. Nothing here talks to QEMU.

use crate::engine::EngineError;
use crate::memory;
use crate::memory::PrivatePages;
use crate::spec::Memory;
use rustix::fs::MemfdFlags;
use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

/// A guest's memory.
#[derive(Clone, Debug)]
pub(super) enum GuestMemory {
    /// A file without a name that the guest shares with this process alone.
    Unnamed(Arc<File>),
    /// A file the guest writes to, which is the snapshot's memory if there is to be one there.
    Shared { file: Arc<File>, path: PathBuf },
    /// What the guest has written since it was restored, over a file that never changes.
    CopyOnWrite(Arc<File>),
}

impl GuestMemory {
    /// The memory of a guest that is to boot.
    pub(super) fn create(memory: &Memory, mem_mib: u32) -> Result<Self, EngineError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| EngineError::Host { operation: "creating a guest's memory", path, source }
        };
        let sized = |file: File| file.set_len(mem_bytes(mem_mib)).map(|()| Arc::new(file));
        match memory {
            Memory::Anonymous => {
                let file = rustix::fs::memfd_create("pyro-memory", MemfdFlags::CLOEXEC);
                let file = file.map_err(io::Error::from).and_then(|fd| sized(fd.into()));
                file.map(Self::Unnamed).map_err(failed(Path::new("anonymous")))
            }
            Memory::SharedFile(path) => {
                let file = create(path, false).and_then(sized).map_err(failed(path))?;
                Ok(Self::Shared { file, path: path.clone() })
            }
        }
    }

    /// The memory of a guest that is to be restored from the memory file at `path`. One of the wrong size would end the guest
    /// with SIGBUS much later, so it is refused here.
    pub(super) fn open(path: &Path, mem_mib: u32) -> Result<Self, EngineError> {
        let failed = |source| EngineError::Host {
            operation: "opening a snapshot's memory",
            path: path.to_owned(),
            source,
        };
        // QEMU opens nothing for reading alone that it maps writable, not even privately.
        let file = File::options().read(true).write(true).open(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        if size == mem_bytes(mem_mib) {
            return Ok(Self::CopyOnWrite(Arc::new(file)));
        }
        let reason =
            format!("its memory file {} has {size} bytes instead of {}", path.display(), mem_bytes(mem_mib));
        Err(EngineError::Refused { operation: "restore the snapshot", reason })
    }

    pub(super) const fn file(&self) -> &Arc<File> {
        match self {
            Self::Unnamed(file) | Self::Shared { file, .. } | Self::CopyOnWrite(file) => file,
        }
    }

    pub(super) const fn is_shared(&self) -> bool {
        !matches!(self, Self::CopyOnWrite(_))
    }

    /// Whether the guest writes to the file at `path`.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        matches!(self, Self::Shared { path: own, .. } if own == path)
    }
}

/// A memory file that is being made. It is removed again unless it is [kept](Self::keep).
#[derive(Debug)]
pub(super) struct NewMemory {
    file: Arc<File>,
    path: PathBuf,
    kept: bool,
}

impl NewMemory {
    /// A file at `path` with everything in it that a guest with `memory` cannot change.
    pub(super) async fn create(memory: &GuestMemory, path: &Path) -> Result<Self, EngineError> {
        let file = create(path, true).map_err(|source| copying(path, source))?;
        let new = Self { file: Arc::new(file), path: path.to_owned(), kept: false };
        let (from, to) = (memory.clone(), Arc::clone(&new.file));
        aside(path, move || match from {
            GuestMemory::CopyOnWrite(from) => memory::copy(&from, &to),
            GuestMemory::Unnamed(from) | GuestMemory::Shared { file: from, .. } => {
                to.set_len(from.metadata()?.len())
            }
        })
        .await?;
        Ok(new)
    }

    /// Brings what the guest has written so far; only of a paused guest is that sure to fit together. Nothing here looks for
    /// memory that the guest gave back since the last time: it could only do that through a balloon, and has none.
    pub(super) async fn update(&self, memory: &GuestMemory, pid: u32) -> Result<(), EngineError> {
        let (from, to) = (memory.clone(), Arc::clone(&self.file));
        aside(&self.path, move || match from {
            GuestMemory::Unnamed(from) | GuestMemory::Shared { file: from, .. } => memory::update(&from, &to),
            GuestMemory::CopyOnWrite(from) => PrivatePages::of(pid, &from)?.update(&to),
        })
        .await
    }

    pub(super) fn is_at(&self, path: &Path) -> bool {
        self.path == path
    }

    pub(super) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for NewMemory {
    fn drop(&mut self) {
        if !self.kept {
            // If it is gone already, so much the better.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Runs `work` where it cannot hold up anything else of this process.
async fn aside(
    path: &Path,
    work: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> Result<(), EngineError> {
    let done = tokio::task::spawn_blocking(work).await.map_err(io::Error::other);
    done.and_then(|result| result).map_err(|source| copying(path, source))
}

fn copying(path: &Path, source: io::Error) -> EngineError {
    EngineError::Host { operation: "writing a snapshot's memory", path: path.to_owned(), source }
}

/// A file that may be mapped by somebody must never be truncated, so one that is to be new has to be.
fn create(path: &Path, new: bool) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .create_new(new)
        .truncate(!new)
        .mode(0o600)
        .open(path)
}

fn mem_bytes(mem_mib: u32) -> u64 {
    u64::from(mem_mib) * 1024 * 1024
}
