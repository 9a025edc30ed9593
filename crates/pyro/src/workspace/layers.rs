//! A workspace's disk as a chain of layers: the pristine disk, then what was written since, one file for each time that was
//! kept. This file must not know why a layer is kept.
//!
//! ```text
//!   00-<id>.raw <── 01-<id>.qcow2 <── 02-<id>.qcow2      the last is written to by the guest; none below it ever changes
//!                        ^ snapshot "a"     ^ now
//! ```
//!
//! Snapshots, and workspaces forked from one another, share layers by hard links: the file system counts who needs one, and
//! a layer is gone when the last link is. Which layer lies on which stands in the documents alone, never in the files.

use crate::identity::GuestId;
use pyro_engine::DiskFormat;
use pyro_engine::DiskSource;
use pyro_engine::Layer;
use pyro_image::disk;
use serde::Deserialize;
use serde::Serialize;
use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

/// Most layers in one chain. Each costs the guest a look-up for what it did not write, and QEMU an open file.
pub(super) const LAYERS_MAX: usize = 200;

/// The file name of a layer, which says its format.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LayerName(String);

impl LayerName {
    fn new(depth: usize, format: DiskFormat) -> io::Result<Self> {
        let suffix = match format {
            DiskFormat::Raw => "raw",
            DiskFormat::Qcow2 => "qcow2",
        };
        Ok(Self(format!("{depth:03}-{}.{suffix}", GuestId::random()?)))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is in it.
    pub fn format(&self) -> DiskFormat {
        if self.0.ends_with(".raw") { DiskFormat::Raw } else { DiskFormat::Qcow2 }
    }
}

impl TryFrom<String> for LayerName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let stem = text.strip_suffix(".raw").or_else(|| text.strip_suffix(".qcow2"));
        let legal = |stem: &str| {
            stem.len() <= 64 && stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if stem.is_some_and(legal) { Ok(Self(text)) } else { Err(format!("'{text}' is no layer")) }
    }
}

impl From<LayerName> for String {
    fn from(name: LayerName) -> Self {
        name.0
    }
}

/// Layers, the bottom one first. Empty only in a workspace whose disk is yet to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Chain(Vec<LayerName>);

impl Chain {
    /// No layers yet.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// The last layer, which is written to.
    pub fn last(&self) -> Option<&LayerName> {
        self.0.last()
    }

    /// Its layers, the bottom one first.
    pub fn layers(&self) -> &[LayerName] {
        &self.0
    }

    /// How many there are.
    pub fn depth(&self) -> usize {
        self.0.len()
    }

    /// This chain with one more layer on it.
    #[must_use]
    pub fn with(&self, layer: LayerName) -> Self {
        let mut layers = self.0.clone();
        layers.push(layer);
        Self(layers)
    }
}

/// The folder of a workspace's layers.
#[derive(Clone, Debug)]
pub struct Layers {
    folder: PathBuf,
}

impl Layers {
    /// The layers in this folder.
    pub const fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where a layer is.
    pub fn path(&self, layer: &LayerName) -> PathBuf {
        self.folder.join(layer.as_str())
    }

    /// Begins a chain with a copy of a pristine disk, which costs what is in it and no more.
    ///
    /// # Errors
    /// The folder cannot take it.
    pub fn begin(&self, pristine: &Path) -> io::Result<Chain> {
        let layer = LayerName::new(0, DiskFormat::Raw)?;
        let to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.path(&layer))?;
        disk::copy_sparse(&File::open(pristine)?, &to)?;
        Ok(Chain(vec![layer]))
    }

    /// Makes a new empty layer to lie on `below`; the chain it makes, and the layer open for writing.
    ///
    /// # Errors
    /// The folder cannot take it, or the chain is as long as it may be.
    pub fn add(&self, below: &Chain, size_bytes: u64) -> io::Result<(Chain, File)> {
        if below.depth() >= LAYERS_MAX {
            let text =
                format!("the disk has {LAYERS_MAX} layers already; delete snapshots, or fork and delete");
            return Err(io::Error::other(text));
        }
        let layer = LayerName::new(below.depth(), DiskFormat::Qcow2)?;
        let path = self.path(&layer);
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        if let Err(error) = disk::create_overlay(&file, size_bytes) {
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok((below.with(layer), file))
    }

    /// The chain as an engine wants it: all but the last read-only.
    ///
    /// # Errors
    /// A layer cannot be opened.
    pub fn open(&self, chain: &Chain) -> io::Result<Vec<Layer>> {
        let last = chain.depth().saturating_sub(1);
        let open = |(index, layer): (usize, &LayerName)| {
            let path = self.path(layer);
            let file = OpenOptions::new().read(true).write(index == last).open(&path);
            let file =
                file.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
            Ok(Layer { source: DiskSource::File(Arc::new(file)), format: layer.format() })
        };
        chain.layers().iter().enumerate().map(open).collect()
    }

    /// Gives the layers of a chain a second name in another folder.
    ///
    /// # Errors
    /// The other folder is on another file system, or full.
    pub fn link(&self, chain: &[LayerName], to: &Self) -> io::Result<()> {
        for layer in chain {
            match fs::hard_link(self.path(layer), to.path(layer)) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// Removes every layer that none of these chains has; how many.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn retain(&self, needed: &[&Chain]) -> io::Result<usize> {
        let mut removed = 0;
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let is_needed = |chain: &&Chain| chain.layers().iter().any(|layer| *layer.as_str() == *name);
            if !needed.iter().any(is_needed) {
                fs::remove_file(entry.path())?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Bytes of disk that the layers of a chain take, from the layer `from` on.
    pub fn disk_bytes(&self, layers: &[LayerName]) -> u64 {
        use std::os::unix::fs::MetadataExt as _;
        let size = |layer: &LayerName| fs::metadata(self.path(layer)).map_or(0, |found| found.blocks() * 512);
        layers.iter().map(size).sum()
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}
