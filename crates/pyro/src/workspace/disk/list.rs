//! Looking into the disk of a workspace that is stopped, or into a snapshot: what is where, and what is in it. This file must
//! not look into a guest that runs.

use super::diff::blocking;
use super::error::FilesError;
use super::report::artifact_type;
use super::view::Environment;
use crate::secret::Needles;
use crate::work::Work;
use crate::workspace::error::WorkspaceError;
use crate::workspace::handle::Workspace;
use crate::workspace::id::SnapshotName;
use crate::workspace::snapshots;
use pyro_image::disk::MergedRoot;
use pyro_image::disk::merged::Node;
use pyro_image::disk::merged::Visit;
use pyro_proto::tree::Entry;
use pyro_proto::tree::EntryKind;
use serde_json::Value;
use serde_json::json;
use std::ops::Range;

/// Most entries of one list.
pub(super) const ENTRIES_MAX: usize = 1_000_000;

/// Most bytes of a file that are read at once.
const READ_BYTES_MAX: u64 = 256 << 20;

/// One thing of a list.
#[derive(Clone, Debug)]
pub struct DiskEntry {
    /// Its whole path.
    pub path: Vec<u8>,
    /// `file`, `directory`, `symlink` or `special`.
    pub artifact_type: &'static str,
    /// Bytes of a file.
    pub size_bytes: u64,
    /// Permissions.
    pub mode: u32,
    /// What a link says.
    pub link_target: Option<Vec<u8>>,
}

/// What is in a folder.
#[derive(Clone, Debug)]
pub struct DiskList {
    /// The folder's path.
    pub path: Vec<u8>,
    /// With everything below it.
    pub recursive: bool,
    /// What is there.
    pub entries: Vec<DiskEntry>,
    /// There is more.
    pub truncated: bool,
}

/// What to read of a file.
#[derive(Clone, Copy, Debug)]
pub struct ReadSpec {
    /// First byte.
    pub offset: u64,
    /// Most bytes.
    pub max_bytes: u64,
}

/// What was read of a file.
#[derive(Clone, Debug)]
pub struct DiskRead {
    /// The file's path.
    pub path: Vec<u8>,
    /// Bytes of the whole file.
    pub size_bytes: u64,
    /// Where it was read from, and how much at most.
    pub spec: ReadSpec,
    /// The bytes.
    pub content: Vec<u8>,
}

impl Workspace {
    /// What is in a folder of a stopped workspace, or of a snapshot.
    ///
    /// # Errors
    /// [`WorkspaceError::Running`]; [`FilesError`].
    pub fn disk_list<'a>(
        &'a self,
        path: &'a [u8],
        recursive: bool,
        snapshot: Option<&'a SnapshotName>,
    ) -> Work<'a, Result<DiskList, WorkspaceError>> {
        Box::pin(async move {
            let path = absolute(path);
            self.on_disk(snapshot, move |root| {
                let (entries, truncated) = list(root, &path, recursive)?;
                Ok(DiskList { path, recursive, entries, truncated })
            })
            .await
        })
    }

    /// A part of a file of a stopped workspace, or of a snapshot.
    ///
    /// # Errors
    /// [`WorkspaceError::Running`]; [`FilesError`].
    pub fn disk_read<'a>(
        &'a self,
        path: &'a [u8],
        spec: ReadSpec,
        snapshot: Option<&'a SnapshotName>,
    ) -> Work<'a, Result<DiskRead, WorkspaceError>> {
        Box::pin(async move {
            let (path, needles) = (absolute(path), self.needles().await?);
            self.on_disk(snapshot, move |root| {
                let node = root.lookup(&path, true)?;
                let shown = || String::from_utf8_lossy(&path).into_owned();
                match node.kind() {
                    EntryKind::File | EntryKind::HardLink => {}
                    EntryKind::Directory => return Err(FilesError::IsAFolder { path: shown() }),
                    EntryKind::Symlink | EntryKind::Special => {
                        return Err(FilesError::NotAFile { path: shown() });
                    }
                }
                let size_bytes = node.metadata().size_bytes;
                let wanted = size_bytes.saturating_sub(spec.offset).min(spec.max_bytes).min(READ_BYTES_MAX);
                let content =
                    read_masked(root, &node, spec.offset..spec.offset.saturating_add(wanted), &needles)?;
                Ok(DiskRead { path, size_bytes, spec, content })
            })
            .await
        })
    }

    /// Reads the files of a stopped workspace, or of a snapshot.
    pub(super) async fn on_disk<T: Send + 'static>(
        &self,
        snapshot: Option<&SnapshotName>,
        read: impl FnOnce(&MergedRoot) -> Result<T, FilesError> + Send + 'static,
    ) -> Result<T, WorkspaceError> {
        let (access, chain) = match snapshot {
            Some(name) => (None, snapshots::load(&self.folder, name)?.chain),
            None => {
                let access = self.access_stopped().await?;
                let chain = access.document().chain.clone();
                (Some(access), chain)
            }
        };
        let (config, folder, document) = (self.config.clone(), self.folder.clone(), self.folder.load()?);
        blocking(move || {
            let environment = Environment::of(&config, &document)?;
            let done = read(&environment.under(&folder, &chain)?)?;
            drop(access);
            Ok(done)
        })
        .await
    }
}

/// A path as users write it: relative ones are below the workspace.
pub(super) fn absolute(path: &[u8]) -> Vec<u8> {
    crate::workspace::transfer::guest_path(path)
}

fn list(root: &MergedRoot, path: &[u8], recursive: bool) -> Result<(Vec<DiskEntry>, bool), FilesError> {
    let node = root.lookup(path, true)?;
    let (mut entries, mut truncated) = (Vec::new(), false);
    let is_folder = node.is_folder();
    let found = root.walk(&node, |entry: Entry, _| {
        if entry.path.is_root() && is_folder {
            return Ok(Visit::Continue);
        }
        if entries.len() == ENTRIES_MAX {
            truncated = true;
            return Ok(Visit::Stop);
        }
        entries.push(disk_entry(path, entry));
        Ok::<_, FilesError>(if recursive { Visit::Continue } else { Visit::Skip })
    });
    found.map(|()| (entries, truncated))
}

fn disk_entry(root: &[u8], entry: Entry) -> DiskEntry {
    let path = if entry.path.is_root() {
        root.to_vec()
    } else {
        [root.strip_suffix(b"/").unwrap_or(root), b"/", entry.path.as_bytes()].concat()
    };
    DiskEntry {
        path,
        artifact_type: artifact_type(Some(entry.kind)),
        size_bytes: entry.size_bytes,
        mode: entry.mode,
        link_target: (entry.kind == EntryKind::Symlink).then_some(entry.target),
    }
}

/// A part of a file without its secrets: what begins before it, or ends behind it, is one all the same.
fn read_masked(
    root: &MergedRoot,
    node: &Node,
    range: Range<u64>,
    needles: &Needles,
) -> Result<Vec<u8>, FilesError> {
    let around = needles.longest().saturating_sub(1) as u64;
    let start = range.start.saturating_sub(around);
    let length = range.end.saturating_add(around) - start;
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    let count = root.read_at(node, start, &mut bytes)?;
    bytes.truncate(count);
    needles.mask(&mut bytes);
    bytes.drain(..bytes.len().min(usize::try_from(range.start - start).unwrap_or_default()));
    bytes.truncate(usize::try_from(range.end - range.start).unwrap_or_default());
    Ok(bytes)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl DiskList {
    /// As the contract shows it.
    pub fn describe(&self) -> Value {
        let entry = |entry: &DiskEntry| {
            json!({
                "path": text(&entry.path),
                "artifact_type": entry.artifact_type,
                "size_bytes": entry.size_bytes,
                "mode": format!("{:04o}", entry.mode),
                "link_target": entry.link_target.as_deref().map(text),
            })
        };
        json!({
            "path": text(&self.path),
            "recursive": self.recursive,
            "entries": self.entries.iter().map(entry).collect::<Vec<_>>(),
            "truncated": self.truncated,
        })
    }
}

impl DiskRead {
    /// Whether the file goes on behind what was read.
    pub fn is_truncated(&self) -> bool {
        self.spec.offset.saturating_add(self.content.len() as u64) < self.size_bytes
    }
}
