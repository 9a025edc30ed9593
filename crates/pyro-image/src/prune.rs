//! Removes what nothing needs. This file must not remove what anybody holds: each removal begins with a lock.

use crate::catalogue::Catalogue;
use crate::config::Config;
use crate::disk;
use crate::error::At;
use crate::error::ImageError;
use crate::initrd;
use crate::install;
use crate::install::Found;
use crate::kernel::Kernel;
use crate::layout::Layout;
use crate::layout::PARTIAL;
use crate::lock::Lock;
use crate::namespace;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;

/// What a prune did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PruneReport {
    /// Folders of environments that are gone, builds that were cut short included.
    pub deleted_environment_dirs: Vec<PathBuf>,
    /// Kernels, initrds and disk templates that are gone.
    pub deleted_other: Vec<PathBuf>,
    /// What would have gone, was somebody not using it.
    pub in_use: Vec<PathBuf>,
    /// The number of environment folders that are gone.
    pub count: usize,
}

pub(crate) fn prune(
    config: &Config,
    layout: &Layout,
    catalogue: &Catalogue,
    keep: &dyn Fn(&str) -> bool,
) -> Result<PruneReport, ImageError> {
    let mut report = PruneReport::default();
    let all = install::scan(layout);
    for path in children(&layout.environments()) {
        let found = all.iter().find(|found| found.dir == path);
        let needed = found.is_some_and(|found| keep(found.manifest.rootfs.sha256.as_str()));
        if is_partial(&path) || !(needed || is_kept(catalogue, &all, found)) {
            let done = remove(config, &path)?;
            report.note(path, done, true);
        }
    }
    report.count = report.deleted_environment_dirs.len();
    let kernels = prune_kernels(config, layout, &mut report)?;
    prune_files(&layout.initrds(), &initrd_names(config, &kernels), &mut report)?;
    prune_rw(config, layout, &mut report)?;
    Ok(report)
}

impl PruneReport {
    fn note(&mut self, path: PathBuf, removed: bool, is_environment: bool) {
        match (removed, is_environment) {
            (true, true) => self.deleted_environment_dirs.push(path),
            (true, false) => self.deleted_other.push(path),
            (false, _) => self.in_use.push(path),
        }
    }
}

/// Removes builds that were cut short; those of living processes are locked and stay.
pub(crate) fn remove_partials(config: &Config, layout: &Layout) -> Result<(), ImageError> {
    for path in children(&layout.environments()).into_iter().chain(children(&layout.kernels())) {
        if is_partial(&path) {
            remove(config, &path)?;
        }
    }
    Ok(())
}

/// Clears a name for a new folder. What is in use loses its name at once and its bytes when its users are done.
pub(crate) fn set_aside(config: &Config, path: &Path) -> Result<(), ImageError> {
    if !path.exists() || remove(config, path)? {
        return Ok(());
    }
    let doomed = doomed_name(path);
    std::fs::rename(path, &doomed).at("renaming", path)
}

/// Whether an installation stays: somebody's catalogue defines it, or a catalogue that cannot be read might.
fn is_kept(catalogue: &Catalogue, all: &[Found], found: Option<&Found>) -> bool {
    let Some(found) = found else { return false };
    let is_known = catalogue.names().any(|name| name == found.manifest.name);
    if !is_known && catalogue.problem().is_some() {
        return true;
    }
    install::is_wanted(catalogue, all, found)
}

fn prune_kernels(
    config: &Config,
    layout: &Layout,
    report: &mut PruneReport,
) -> Result<Vec<Kernel>, ImageError> {
    let needed: BTreeSet<String> =
        install::scan(layout).into_iter().map(|found| found.manifest.kernel).collect();
    let mut kept = Vec::new();
    for path in children(&layout.kernels()) {
        let kernel = Kernel::read(&path).filter(|kernel| !is_partial(&path) && needed.contains(&kernel.id()));
        match kernel {
            Some(kernel) => kept.push(kernel),
            None => {
                let done = remove(config, &path)?;
                report.note(path, done, false);
            }
        }
    }
    Ok(kept)
}

fn initrd_names(config: &Config, kernels: &[Kernel]) -> BTreeSet<String> {
    let images = kernels.iter().map(|kernel| initrd::file_name(&initrd::key(kernel, config.agent)));
    images.flat_map(|name| [name.replace(".img", ".json"), name]).collect()
}

fn prune_rw(config: &Config, layout: &Layout, report: &mut PruneReport) -> Result<(), ImageError> {
    // Without mkfs nothing can be told about the templates; they stay.
    let Ok(key) = disk::key(config) else { return Ok(()) };
    let suffix = format!("-{}.ext4", key.short());
    let names = children(&layout.rw())
        .into_iter()
        .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    let kept = names.filter(|name| name.ends_with(&suffix)).collect();
    prune_files(&layout.rw(), &kept, report)
}

/// Removes all files of a folder but those named, those held, and those a living process is about to rename.
fn prune_files(dir: &Path, kept: &BTreeSet<String>, report: &mut PruneReport) -> Result<(), ImageError> {
    for path in children(dir) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if kept.contains(&name) || is_being_written(&name) {
            continue;
        }
        let lock = Lock::try_exclusive(&path)?;
        if lock.is_some() {
            std::fs::remove_file(&path).at("removing", &path)?;
        }
        report.note(path, lock.is_some(), false);
    }
    Ok(())
}

/// Files that are written aside carry their writer's process id: `NAME.PID.tmp` or `NAME.PID-N.tmp`.
fn is_being_written(name: &str) -> bool {
    let Some(stem) = name.strip_suffix(".tmp") else { return false };
    let pid = stem
        .rsplit('.')
        .next()
        .and_then(|last| last.split('-').next())
        .and_then(|pid| pid.parse::<u32>().ok());
    pid.is_some_and(|pid| Path::new("/proc").join(pid.to_string()).exists())
}

fn is_partial(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PARTIAL))
}

fn children(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// Removes a folder nobody holds; `false` when somebody does. It loses its name first, so that being killed in between
/// leaves nothing that looks whole.
fn remove(config: &Config, path: &Path) -> Result<bool, ImageError> {
    let Some(_lock) = Lock::try_exclusive(path)? else {
        return Ok(!path.exists());
    };
    let doomed = if is_partial(path) { path.to_owned() } else { doomed_name(path) };
    if doomed != path {
        std::fs::rename(path, &doomed).at("renaming", path)?;
    }
    namespace::remove_tree(config, &doomed)?;
    Ok(true)
}

fn doomed_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{PARTIAL}removed-{}-{name}", std::process::id()))
}
