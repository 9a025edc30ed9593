//! A disk's layers as QEMU knows them: for each the node of its file and the node of what the file holds, the latter over
//! the one of the layer below. QEMU is told every node and every option here; it must never look for a file by itself.

use super::qmp::Qmp;
use super::qmp::QmpError;
use super::qmp::number;
use crate::spec::DiskFormat;
use crate::spec::Durability;
use serde_json::Value;
use serde_json::json;
use std::os::fd::BorrowedFd;
use std::os::fd::RawFd;

/// How much of a qcow2 layer's mapping QEMU reads, writes and caches at once, in bytes: 16 MiB of the disk. With its own
/// choice, a cluster, a guest that was just restored would read sixteen times as much for its first blocks.
const MAPPING_BYTES: u32 = 4096;

/// A disk whose files QEMU inherited.
#[derive(Clone, Debug)]
pub(super) struct PassedDisk {
    /// From the bottom up.
    pub(super) layers: Vec<PassedLayer>,
    /// The size of the disk.
    pub(super) bytes: u64,
    pub(super) read_only: bool,
    pub(super) durability: Durability,
}

/// A layer whose file QEMU inherited.
#[derive(Clone, Copy, Debug)]
pub(super) struct PassedLayer {
    pub(super) fd: RawFd,
    pub(super) format: DiskFormat,
}

impl PassedDisk {
    /// The node of layer `number` of this disk, which is number `disk` of its guest.
    pub(super) fn node(&self, disk: usize, number: usize, format: DiskFormat) -> LayerNode {
        let read_only = self.read_only || number + 1 < self.layers.len();
        LayerNode { disk, number, format, read_only, durability: self.durability }
    }
}

/// One layer in QEMU. No two of one guest have the same disk and number.
#[derive(Clone, Copy, Debug)]
pub(super) struct LayerNode {
    disk: usize,
    number: usize,
    format: DiskFormat,
    read_only: bool,
    durability: Durability,
}

impl LayerNode {
    /// The name of what the layer holds.
    pub(super) fn name(&self) -> String {
        format!("disk{}.{}", self.disk, self.number)
    }

    fn file_name(&self) -> String {
        format!("file{}.{}", self.disk, self.number)
    }

    /// The layer's file, which QEMU has in set `fdset` of its descriptors.
    pub(super) fn file(&self, fdset: u64) -> Value {
        self.options(json!({
            "driver": "file", "node-name": self.file_name(), "filename": format!("/dev/fdset/{fdset}"), "locking": "off",
        }))
    }

    /// What the file holds, over the node called `below`.
    pub(super) fn content(&self, below: Option<&str>) -> Value {
        let (name, file) = (self.name(), self.file_name());
        self.options(match self.format {
            DiskFormat::Raw => json!({ "driver": "raw", "node-name": name, "file": file }),
            // A `backing` that is null is not one that is left out: that would be looked up in the image.
            DiskFormat::Qcow2 => json!({
                "driver": "qcow2", "node-name": name, "file": file, "backing": below, "l2-cache-entry-size": MAPPING_BYTES,
            }),
        })
    }

    fn options(&self, mut node: Value) -> Value {
        node["read-only"] = self.read_only.into();
        node["auto-read-only"] = false.into();
        node["discard"] = "unmap".into();
        let no_flush = self.durability == Durability::Throwaway;
        node["cache"] = json!({ "direct": false, "no-flush": no_flush });
        node
    }
}

/// The layers of one disk of a running QEMU, as far as putting another on top needs to know them.
#[derive(Debug)]
pub(super) struct Stack {
    disk: usize,
    /// The size of the disk.
    bytes: u64,
    durability: Durability,
    read_only: bool,
    top: String,
    /// The number of the next layer. It is never given twice, whatever became of the layer.
    next: usize,
}

impl Stack {
    /// Of disk number `disk` of a QEMU that starts.
    pub(super) fn of(disk: usize, passed: &PassedDisk) -> Self {
        let next = passed.layers.len();
        let top = passed.node(disk, next.saturating_sub(1), DiskFormat::Raw).name();
        Self {
            disk,
            bytes: passed.bytes,
            durability: passed.durability,
            read_only: passed.read_only,
            top,
            next,
        }
    }

    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    #[cfg(test)]
    pub(super) fn mislead(&mut self, top: String) -> String {
        std::mem::replace(&mut self.top, top)
    }

    /// Puts the empty qcow2 image `overlay` on top.
    pub(super) async fn push(&mut self, qmp: &mut Qmp, overlay: BorrowedFd<'_>) -> Result<(), QmpError> {
        if self.read_only {
            return Err(QmpError::Refused("the guest cannot write to this disk".to_owned()));
        }
        let (disk, number, durability) = (self.disk, self.next, self.durability);
        let node = LayerNode { disk, number, format: DiskFormat::Qcow2, read_only: false, durability };
        self.next += 1;
        let mut added = Vec::new();
        let pushed = self.lay(qmp, &node, overlay, &mut added).await;
        match pushed {
            Ok(()) => self.top = node.name(),
            Err(_) => {
                for name in added.into_iter().rev() {
                    // If that fails QEMU has ended, or keeps a node that nothing uses.
                    let _ = qmp.execute("blockdev-del", json!({ "node-name": name })).await;
                }
            }
        }
        pushed
    }

    /// QEMU flushes the layer that was the last one, before it lets the guest write to the new one: nothing of it is only in
    /// QEMU's memory any more. The names of the nodes that are to be removed if this fails are left in `added`.
    async fn lay(
        &self,
        qmp: &mut Qmp,
        node: &LayerNode,
        overlay: BorrowedFd<'_>,
        added: &mut Vec<String>,
    ) -> Result<(), QmpError> {
        let set = qmp.execute_with("add-fd", json!({}), overlay).await?;
        let set = number(&set, "fdset-id")?;
        let file = qmp.execute("blockdev-add", node.file(set)).await;
        if file.is_ok() {
            added.push(node.file_name());
        }
        // The node has a copy of the descriptor, if it wants one.
        qmp.execute("remove-fd", json!({ "fdset-id": set })).await?;
        file?;
        qmp.execute("blockdev-add", node.content(None)).await?;
        added.push(node.name());
        qmp.execute("blockdev-snapshot", json!({ "node": self.top, "overlay": node.name() })).await?;
        Ok(())
    }
}
