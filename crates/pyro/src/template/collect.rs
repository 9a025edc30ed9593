//! Shows and removes templates: unfinished ones, those whose environment, agent or engine is gone, and the least recently
//! used beyond a cap. Never one that is in use.

use super::document;
use super::document::Document;
use super::root;
use crate::config::Config;
use pyro_image::ImageStore;
use serde::Serialize;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::time::SystemTime;

/// Starts the name of a folder that is being built.
pub(super) const PARTIAL: &str = "partial-";
/// Starts the name of a builder's lock.
pub(super) const LOCK: &str = "lock-";

/// What was removed.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Collected {
    /// Folders.
    pub deleted_template_dirs: Vec<PathBuf>,
    /// Bytes of disk they took.
    pub freed_bytes: u64,
}

/// A template as people are shown it.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// Its key.
    pub key: String,
    /// Its environment.
    pub environment: String,
    /// The engine it is of.
    pub engine: String,
    /// Virtual processors.
    pub vcpu_count: u8,
    /// Memory in MiB.
    pub mem_mib: u32,
    /// Size of the guest's own disk in MiB.
    pub disk_mib: u32,
    /// Bytes of disk it takes.
    pub disk_bytes: u64,
    /// Its files are as they were made.
    pub whole: bool,
    /// Its folder.
    pub dir: PathBuf,
}

struct Found {
    folder: PathBuf,
    document: Option<Document>,
    last_used: SystemTime,
    disk_bytes: u64,
}

/// The templates of an environment.
pub fn list(config: &Config, environment: &str) -> Vec<Shown> {
    let of_it = |found: Found| {
        let document = found.document.filter(|document| document.environment == environment)?;
        Some(Shown {
            whole: document.matches(&found.folder),
            key: document.key,
            environment: document.environment,
            engine: document.engine,
            vcpu_count: document.size.vcpus.get(),
            mem_mib: document.size.mem.get(),
            disk_mib: document.size.disk.get(),
            disk_bytes: found.disk_bytes,
            dir: found.folder,
        })
    };
    scan(config).into_iter().filter_map(of_it).collect()
}

/// Removes what is unfinished, damaged, or of an environment or agent that is no longer installed, and the least recently
/// used beyond the cap.
///
/// # Errors
/// A folder cannot be removed.
pub fn collect(config: &Config, store: &ImageStore) -> io::Result<Collected> {
    let mut collected = Collected::default();
    let current: Vec<(String, String)> = store
        .list()
        .into_iter()
        .filter(|entry| entry.installed)
        .filter_map(|entry| store.open(&entry.name).ok())
        .map(|installed| (installed.digest.clone(), installed.initrd_digest.clone()))
        .collect();
    for found in scan(config) {
        let wanted = found.document.as_ref().is_some_and(|document| {
            let of = (document.rootfs_digest.clone(), document.initrd_digest.clone());
            current.contains(&of) && document.matches(&found.folder)
        });
        if !wanted {
            collected.remove(&found)?;
        }
    }
    collected.shrink(config)?;
    Ok(collected)
}

/// Removes what builders that are gone have left unfinished.
pub(super) fn sweep(config: &Config) {
    let entries = fs::read_dir(root(config)).into_iter().flatten().filter_map(Result::ok);
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PARTIAL)) {
        // What is held is being built; what will not go now is tried again.
        let _ = super::remove(&entry.path());
    }
}

/// Removes the least recently used templates until there is room for one more below the cap.
pub(super) fn make_room(config: &Config) {
    // What cannot be removed now will be tried again by the next builder.
    let _ = Collected::default().shrink(config);
}

impl Collected {
    /// Removes a folder unless it is in use; whether it did.
    fn remove(&mut self, found: &Found) -> io::Result<bool> {
        let removed = super::remove(&found.folder)?;
        if removed {
            self.freed_bytes += found.disk_bytes;
            self.deleted_template_dirs.push(found.folder.clone());
        }
        Ok(removed)
    }

    fn shrink(&mut self, config: &Config) -> io::Result<()> {
        let mut all = scan(config);
        all.sort_by_key(|found| found.last_used);
        let mut total: u64 = all.iter().map(|found| found.disk_bytes).sum();
        for found in all {
            if total <= config.template_bytes_max {
                break;
            }
            if self.remove(&found)? {
                total = total.saturating_sub(found.disk_bytes);
            }
        }
        Ok(())
    }
}

fn scan(config: &Config) -> Vec<Found> {
    let Ok(entries) = fs::read_dir(root(config)) else { return Vec::new() };
    let folders = entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.is_dir());
    folders
        .map(|folder| {
            let unfinished =
                folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PARTIAL));
            Found {
                document: if unfinished { None } else { Document::read(&folder) },
                last_used: document::last_used(&folder),
                disk_bytes: disk_bytes(&folder),
                folder,
            }
        })
        .collect()
}

/// Bytes of disk that a folder's files take; sparse files take less than their size.
fn disk_bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.blocks() * 512).sum()
}
