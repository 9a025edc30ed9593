//! What a pack says is in it, and what of that can be believed. This file must not read content.

use super::PIECE_BYTES;
use super::error::PackError;
use crate::workspace::create::LABELS_MAX;
use crate::workspace::document::Document;
use crate::workspace::document::SCHEMA;
use crate::workspace::id::SnapshotName;
use crate::workspace::layers::Chain;
use crate::workspace::layers::LAYERS_MAX;
use crate::workspace::layers::LayerName;
use crate::workspace::snapshots::SnapshotDocument;
use pyro_engine::DiskFormat;
use serde::Deserialize;
use serde::Serialize;
use std::collections::BTreeSet;

/// Most bytes of a manifest.
pub(super) const MANIFEST_BYTES_MAX: usize = 16 << 20;

/// Most snapshots of a pack.
const SNAPSHOTS_MAX: usize = 10_000;

/// Most bytes of the device state of a guest.
const STATE_BYTES_MAX: u64 = 256 << 20;

/// What is in a pack.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) document: Document,
    pub(super) snapshots: Vec<SnapshotDocument>,
    /// In the order in which they follow.
    pub(super) parts: Vec<Part>,
    /// What the memory was saved by, if there is any.
    pub(super) engine: Option<String>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    pub(super) of: Of,
    pub(super) size_bytes: u64,
    /// Bytes that are no hole.
    pub(super) data_bytes: u64,
}

/// Which file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Of {
    /// A layer.
    Layer(LayerName),
    /// A file of memory: of a snapshot, or of the workspace itself.
    Memory(Option<SnapshotName>, MemoryFile),
}

/// Files that memory is kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum MemoryFile {
    /// Device state.
    State,
    /// Memory.
    Memory,
}

impl MemoryFile {
    pub(super) const ALL: [Self; 2] = [Self::State, Self::Memory];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Memory => "memory",
        }
    }
}

impl std::fmt::Display for Of {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Layer(name) => write!(f, "the layer {}", name.as_str()),
            Self::Memory(None, file) => write!(f, "the workspace's {}", file.name()),
            Self::Memory(Some(snapshot), file) => write!(f, "the {} of the snapshot {snapshot}", file.name()),
        }
    }
}

impl Manifest {
    /// The files that documents need.
    pub(super) fn needed(document: &Document, snapshots: &[SnapshotDocument]) -> BTreeSet<Of> {
        let chains = snapshots.iter().map(|snapshot| &snapshot.chain).chain([&document.chain]);
        let layers = chains.flat_map(|chain| chain.layers().iter().cloned().map(Of::Layer));
        let with_memory = snapshots.iter().filter(|snapshot| snapshot.memory.is_some());
        let names = with_memory.map(|snapshot| Some(snapshot.name.clone()));
        let own = document.suspended.as_ref().map(|_| None);
        let memories =
            names.chain(own).flat_map(|of| MemoryFile::ALL.map(|file| Of::Memory(of.clone(), file)));
        let memories: Vec<Of> = memories.collect();
        layers.chain(memories).collect()
    }

    /// Whether memory of the workspace or of a snapshot is to be taken over.
    pub(super) fn has_memory(&self) -> bool {
        self.document.suspended.is_some() || self.snapshots.iter().any(|snapshot| snapshot.memory.is_some())
    }

    /// Has everything begin from its disk; whether there was memory.
    pub(super) fn leave_memory_out(&mut self) -> bool {
        let had = self.has_memory();
        self.engine = None;
        self.document.suspended = None;
        for snapshot in &mut self.snapshots {
            snapshot.memory = None;
        }
        had
    }

    /// Bytes of all parts that are no holes.
    pub(super) fn data_bytes(&self) -> u64 {
        self.parts.iter().fold(0, |sum, part| sum.saturating_add(part.data_bytes))
    }

    /// Refuses what no workspace can be like.
    pub(super) fn check(&self, bytes_max: u64) -> Result<(), PackError> {
        let document = &self.document;
        if document.schema > SCHEMA || self.snapshots.iter().any(|snapshot| snapshot.schema > SCHEMA) {
            return Err(PackError::Newer { schema: document.schema });
        }
        let is_hex = |text: &str| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hex(&document.machine_id) {
            return Err(PackError::invalid("its machine id is none"));
        }
        if document.network_policy != "off" {
            return Err(PackError::invalid("it wants a network"));
        }
        if document.labels.len() > LABELS_MAX {
            return Err(PackError::invalid("it has too many labels"));
        }
        if self.snapshots.len() > SNAPSHOTS_MAX {
            return Err(PackError::invalid("it has too many snapshots"));
        }
        let names: BTreeSet<&str> = self.snapshots.iter().map(|snapshot| snapshot.name.as_str()).collect();
        if names.len() != self.snapshots.len() {
            return Err(PackError::invalid("two of its snapshots have one name"));
        }
        if !self.snapshots.iter().any(|snapshot| snapshot.name.is_baseline()) {
            return Err(PackError::invalid("it has no baseline"));
        }
        for chain in self.snapshots.iter().map(|snapshot| &snapshot.chain).chain([&document.chain]) {
            check_chain(chain)?;
        }
        let given: BTreeSet<Of> = self.parts.iter().map(|part| part.of.clone()).collect();
        if given.len() != self.parts.len() || given != Self::needed(document, &self.snapshots) {
            return Err(PackError::invalid("its files are not those that its documents need"));
        }
        for part in &self.parts {
            self.check_size(part)?;
        }
        if self.data_bytes() > bytes_max { Err(PackError::TooLarge { bytes_max }) } else { Ok(()) }
    }

    fn check_size(&self, part: &Part) -> Result<(), PackError> {
        let size = &self.document.size;
        let disk_bytes = u64::from(size.disk.get()) << 20;
        let most = match &part.of {
            Of::Layer(name) if name.format() == DiskFormat::Raw => disk_bytes,
            // Data, tables and what QEMU left between them.
            Of::Layer(_) => disk_bytes + disk_bytes / 4 + (64 << 20),
            Of::Memory(_, MemoryFile::State) => STATE_BYTES_MAX,
            Of::Memory(_, MemoryFile::Memory) => (u64::from(size.mem.get()) << 20) + STATE_BYTES_MAX,
        };
        if part.size_bytes > most || part.data_bytes > part.size_bytes.next_multiple_of(PIECE_BYTES as u64) {
            return Err(PackError::invalid(format!("{} is larger than it can be", part.of)));
        }
        Ok(())
    }
}

/// The lowest layer is raw, the others are not, and none is there twice.
fn check_chain(chain: &Chain) -> Result<(), PackError> {
    let layers = chain.layers();
    let distinct: BTreeSet<&LayerName> = layers.iter().collect();
    let format = |index: usize| if index == 0 { DiskFormat::Raw } else { DiskFormat::Qcow2 };
    let right = layers.iter().enumerate().all(|(index, layer)| layer.format() == format(index));
    if layers.is_empty() || layers.len() >= LAYERS_MAX || distinct.len() != layers.len() || !right {
        return Err(PackError::invalid("a chain of layers is none"));
    }
    Ok(())
}
