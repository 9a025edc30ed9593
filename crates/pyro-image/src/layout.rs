//! The store's folders. This file must not look into them.
//!
//! ```text
//!   environments/<slug>-<version>-<digest>/  rootfs.ext4  environment.json
//!   kernels/<version>-<digest>/              vmlinux  modules/*.ko  kernel.json
//!   initrds/initrd-<digest>.img              and its record, .json
//!   rw/rw-<size>m-<digest>.ext4
//!   downloads/                               apt's private state: lists and packages, kept between pulls
//!   locks/
//! ```
//! In each of the first two, `partial-*` is a build that is under way or was cut short.

use crate::error::At;
use crate::error::ImageError;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::path::PathBuf;

pub(crate) const PARTIAL: &str = "partial-";

/// The folders of one store.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn environments(&self) -> PathBuf {
        self.root.join("environments")
    }

    pub(crate) fn kernels(&self) -> PathBuf {
        self.root.join("kernels")
    }

    pub(crate) fn initrds(&self) -> PathBuf {
        self.root.join("initrds")
    }

    pub(crate) fn rw(&self) -> PathBuf {
        self.root.join("rw")
    }

    pub(crate) fn downloads(&self) -> PathBuf {
        self.root.join("downloads")
    }

    pub(crate) fn lock(&self, name: &str) -> PathBuf {
        self.root.join("locks").join(format!("{name}.lock"))
    }

    /// Makes a folder of the store, private to its owner.
    pub(crate) fn make(&self, dir: &Path) -> Result<(), ImageError> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).at("making", dir)
    }

    /// Makes a new, empty folder for a build in `parent`.
    pub(crate) fn make_partial(&self, parent: &Path, slug: &str) -> Result<PathBuf, ImageError> {
        self.make(parent)?;
        let path = parent.join(format!("{PARTIAL}{slug}-{}-{}", std::process::id(), next_number()));
        DirBuilder::new().mode(0o700).create(&path).at("making", &path)?;
        Ok(path)
    }
}

/// Tells builds of one process apart.
fn next_number() -> u64 {
    use std::sync::atomic::AtomicU64;
    use std::sync::atomic::Ordering;
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let micros = u64::try_from(since.as_micros()).unwrap_or_default();
    micros.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed))
}
