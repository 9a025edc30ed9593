//! The snapshots of a workspace as they are kept: a folder for each with a document, and with device state and memory if
//! those were kept too. This file must not take or restore any.

use super::document::SCHEMA;
use super::document::UnixSeconds;
use super::error::StoreError;
use super::folder::Folder;
use super::folder::private_folder;
use super::folder::read_json;
use super::folder::write_json;
use super::id::SnapshotName;
use super::layers::Chain;
use crate::machine::Snapshot;
use serde::Deserialize;
use serde::Serialize;
use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

/// Starts the name of a snapshot that is being taken.
pub(super) const PARTIAL: &str = ".partial-";

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SnapshotDocument {
    /// The version of this shape.
    pub schema: u32,
    /// Its name.
    pub name: SnapshotName,
    /// When it was taken.
    pub created_at: UnixSeconds,
    /// The disk as it was.
    pub chain: Chain,
    /// What the frozen agent expects, when memory and processes were kept too.
    #[serde(default)]
    pub memory: Option<Snapshot>,
    /// Files, folders and links that were seeded or counted, if anybody did.
    #[serde(default)]
    pub entry_count: Option<u64>,
    /// Bytes of disk that were written since the snapshot before it.
    pub bytes_written: u64,
}

impl SnapshotDocument {
    /// A snapshot taken now.
    pub fn new(name: SnapshotName, chain: Chain, memory: Option<Snapshot>, bytes_written: u64) -> Self {
        Self {
            schema: SCHEMA,
            name,
            created_at: UnixSeconds::now(),
            chain,
            memory,
            entry_count: None,
            bytes_written,
        }
    }
}

/// Where a snapshot is that is not yet one, or no more.
pub(super) fn partial(folder: &Folder, name: &SnapshotName) -> PathBuf {
    folder.snapshots().join(format!("{PARTIAL}{name}"))
}

/// A snapshot that is being taken; gone when it is dropped before it was kept.
#[derive(Debug)]
pub(super) struct NewSnapshot {
    partial: PathBuf,
    path: PathBuf,
}

impl NewSnapshot {
    /// Begins one.
    ///
    /// # Errors
    /// [`StoreError::SnapshotTaken`], or the folder cannot be made.
    pub(super) fn begin(folder: &Folder, name: &SnapshotName) -> Result<Self, StoreError> {
        let path = folder.snapshot(name);
        if path.exists() {
            return Err(StoreError::SnapshotTaken {
                workspace: folder.id().to_string(),
                name: name.to_string(),
            });
        }
        let partial = partial(folder, name);
        // Only the holder of the workspace's lock gets here: what is there was left by one that was killed.
        let _ = fs::remove_dir_all(&partial);
        private_folder(&partial).map_err(|source| StoreError::file("making", &partial, source))?;
        Ok(Self { partial, path })
    }

    /// Where memory and device state go.
    pub(super) fn folder(&self) -> &Path {
        &self.partial
    }

    /// Keeps it.
    ///
    /// # Errors
    /// [`StoreError::File`]; it is then gone.
    pub(super) fn keep(self, document: &SnapshotDocument) -> Result<(), StoreError> {
        write_json(&self.partial.join(DOCUMENT), document, true)?;
        let named = fs::rename(&self.partial, &self.path);
        named.map_err(|source| StoreError::file("naming", &self.path, source))?;
        let Some(all) = self.path.parent() else { return Ok(()) };
        let synced = fs::File::open(all).and_then(|folder| folder.sync_all());
        synced.map_err(|source| StoreError::file("writing", all, source))
    }
}

impl Drop for NewSnapshot {
    fn drop(&mut self) {
        // Once it was kept there is nothing of this name.
        let _ = fs::remove_dir_all(&self.partial);
    }
}

const DOCUMENT: &str = "snapshot.json";

/// Reads one snapshot.
///
/// # Errors
/// [`StoreError::NoSnapshot`], or its document is broken.
pub(super) fn load(folder: &Folder, name: &SnapshotName) -> Result<SnapshotDocument, StoreError> {
    let document = read_json(&folder.snapshot(name).join(DOCUMENT))?;
    document
        .ok_or_else(|| StoreError::NoSnapshot { workspace: folder.id().to_string(), name: name.to_string() })
}

/// All snapshots: the baseline first, then the newest. Those whose documents are broken are left out.
///
/// # Errors
/// The folder cannot be read.
pub(super) fn list(folder: &Folder) -> Result<Vec<SnapshotDocument>, StoreError> {
    let path = folder.snapshots();
    let entries = fs::read_dir(&path).map_err(|source| StoreError::file("reading", &path, source))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<SnapshotName>().ok());
    let mut snapshots: Vec<SnapshotDocument> = names.filter_map(|name| load(folder, &name).ok()).collect();
    snapshots.sort_by(|a, b| {
        let newest = b.created_at.0.total_cmp(&a.created_at.0);
        b.name.is_baseline().cmp(&a.name.is_baseline()).then(newest)
    });
    Ok(snapshots)
}

/// Removes a snapshot; its layers stay as long as a chain has them.
///
/// # Errors
/// [`StoreError::NoSnapshot`], or it cannot be removed.
pub(super) fn remove(folder: &Folder, name: &SnapshotName) -> Result<(), StoreError> {
    load(folder, name)?;
    let path = folder.snapshot(name);
    let doomed = partial(folder, name);
    let _ = fs::remove_dir_all(&doomed);
    fs::rename(&path, &doomed).map_err(|source| StoreError::file("renaming", &path, source))?;
    fs::remove_dir_all(&doomed).map_err(|source| StoreError::file("removing", &doomed, source))
}

/// Removes the layers that neither `chain` nor any snapshot has.
///
/// # Errors
/// A layer cannot be removed.
pub(super) fn retain_layers(folder: &Folder, chain: &Chain) -> Result<(), StoreError> {
    let path = folder.snapshots();
    let entries = fs::read_dir(&path).map_err(|source| StoreError::file("reading", &path, source))?;
    let mut chains = vec![chain.clone()];
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().to_string_lossy().parse::<SnapshotName>() else { continue };
        match load(folder, &name) {
            Ok(snapshot) => chains.push(snapshot.chain),
            // Its layers might be anybody's: nothing is removed until somebody has looked at it.
            Err(_) => return Ok(()),
        }
    }
    let needed: Vec<&Chain> = chains.iter().collect();
    let layers = folder.layers();
    layers.retain(&needed).map(drop).map_err(|source| StoreError::file("tidying", layers.folder(), source))
}

/// Gives all snapshots of one workspace to another by hard links, layers included.
///
/// # Errors
/// [`StoreError::File`].
pub(super) fn link_all(from: &Folder, to: &Folder) -> Result<(), StoreError> {
    for snapshot in list(from)? {
        let (source, target) = (from.snapshot(&snapshot.name), to.snapshot(&snapshot.name));
        let failed = |error| StoreError::file("linking", &target, error);
        link_folder(&source, &target).map_err(failed)?;
        from.layers().link(snapshot.chain.layers(), &to.layers()).map_err(failed)?;
    }
    Ok(())
}

/// Makes a folder with second names of another's files.
///
/// # Errors
/// The folders are on two file systems, or the disk is full.
fn link_folder(from: &Path, to: &Path) -> io::Result<()> {
    private_folder(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::hard_link(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}
