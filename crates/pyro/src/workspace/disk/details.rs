//! One snapshot in full: its layers, what they take, and how many files are in it. This file must not look into a guest that
//! runs.

use super::error::FilesError;
use crate::workspace::WORKSPACE_PATH;
use crate::workspace::error::WorkspaceError;
use crate::workspace::handle::Workspace;
use crate::workspace::id::SnapshotName;
use crate::workspace::snapshots;
use pyro_image::disk::MergedError;
use pyro_image::disk::merged::Visit;
use pyro_proto::tree::EntryKind;
use serde_json::Value;
use serde_json::json;
use std::os::unix::fs::MetadataExt as _;

impl Workspace {
    /// A snapshot as the contract shows it, with what only a look into it tells: files below `/workspace`, their bytes, its
    /// layers and what it takes of the host's disk.
    ///
    /// # Errors
    /// [`WorkspaceError`].
    pub async fn snapshot_details(&self, name: &SnapshotName) -> Result<Value, WorkspaceError> {
        let snapshot = snapshots::load(&self.folder, name)?;
        let (entries, bytes) = self
            .on_disk(Some(name), |root| {
                let (mut entries, mut bytes) = (0_u64, 0_u64);
                let node = match root.lookup(WORKSPACE_PATH.as_bytes(), true) {
                    Err(MergedError::NotFound { .. }) => return Ok((0, 0)),
                    found => found?,
                };
                root.walk(&node, |entry, _| {
                    entries += u64::from(!entry.path.is_root());
                    bytes += if entry.kind == EntryKind::File { entry.size_bytes } else { 0 };
                    Ok::<_, FilesError>(Visit::Continue)
                })?;
                Ok((entries, bytes))
            })
            .await?;
        let layers = self.folder.layers();
        let size = |path: &std::path::Path| std::fs::metadata(path).map_or(0, |found| found.blocks() * 512);
        let shown: Vec<Value> = snapshot
            .chain
            .layers()
            .iter()
            .map(|layer| json!({ "name": layer, "disk_bytes": size(&layers.path(layer)) }))
            .collect();
        let folder = self.folder.snapshot(name);
        let memory_bytes =
            snapshot.memory.as_ref().map(|_| size(&folder.join("memory")) + size(&folder.join("state")));
        let mut document = self.describe_snapshot(&snapshot);
        document["entry_count"] = json!(entries);
        document["workspace_bytes"] = json!(bytes);
        document["layers"] = json!(shown);
        document["disk_bytes"] = json!(layers.disk_bytes(snapshot.chain.layers()));
        document["memory_bytes"] = json!(memory_bytes);
        Ok(document)
    }
}
