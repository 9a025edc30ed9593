//! What is installed: finding it, checking it cheaply or whole, and leasing it. This file must not build or remove anything
//! but the derived initrd.

use crate::Cancel;
use crate::catalogue::Catalogue;
use crate::catalogue::Entry;
use crate::config::Config;
use crate::digest::FileRecord;
use crate::error::ImageError;
use crate::initrd;
use crate::kernel::Kernel;
use crate::layout::Layout;
use crate::layout::PARTIAL;
use crate::lock::Lock;
use crate::manifest;
use crate::manifest::EnvironmentManifest;
use std::path::Path;
use std::path::PathBuf;

/// An environment that is ready to start, and stays so for as long as this value or a clone of it lives.
#[derive(Clone, Debug)]
pub struct Installed {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The read-only ext4 image.
    pub rootfs: PathBuf,
    /// The SHA-256 of the image, in hexadecimal: the environment's digest.
    pub digest: String,
    /// The uncompressed ELF kernel.
    pub kernel: PathBuf,
    /// The SHA-256 of the kernel, in hexadecimal.
    pub kernel_digest: String,
    /// What `uname -r` says in the guest.
    pub kernel_release: String,
    /// Uncompressed kernel modules, `NAME.ko`, beyond those in the initrd.
    pub modules_dir: PathBuf,
    /// The initrd with the agent.
    pub initrd: PathBuf,
    /// Identifies the initrd's contents, the agent included, in hexadecimal.
    pub initrd_digest: String,
    _lease: std::sync::Arc<Lease>,
}

/// Keeps `prune` away from the files.
#[derive(Debug)]
struct Lease {
    _environment: Lock,
    _kernel: Lock,
    _initrd: Lock,
}

/// A folder with a whole manifest.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) dir: PathBuf,
    pub(crate) manifest: EnvironmentManifest,
}

/// Every installation that can be read, the newest first.
pub(crate) fn scan(layout: &Layout) -> Vec<Found> {
    let Ok(entries) = std::fs::read_dir(layout.environments()) else { return Vec::new() };
    let mut found: Vec<Found> = entries
        .filter_map(Result::ok)
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with(PARTIAL))
        .filter_map(|entry| {
            let dir = entry.path();
            EnvironmentManifest::read(&dir).map(|manifest| Found { dir, manifest })
        })
        .collect();
    found.sort_by_key(|found| std::cmp::Reverse(found.manifest.installed_at));
    found
}

/// The installation of this definition, if there is one.
pub(crate) fn current<'a>(found: &'a [Found], entry: &Entry) -> Option<&'a Found> {
    let definition = entry.definition();
    found.iter().find(|found| found.manifest.name == entry.name && found.manifest.definition == definition)
}

/// Whether some environment of the catalogue is installed as this.
pub(crate) fn is_wanted(catalogue: &Catalogue, all: &[Found], found: &Found) -> bool {
    catalogue.entries().iter().filter_map(|entry| current(all, entry)).any(|current| current.dir == found.dir)
}

/// Leases an installation and checks its files: their stamps, and their digests where a stamp has changed.
pub(crate) fn open(config: &Config, layout: &Layout, entry: &Entry) -> Result<Installed, ImageError> {
    let all = scan(layout);
    let not_installed = || ImageError::NotInstalled { name: entry.name.clone() };
    lease(config, layout, current(&all, entry).ok_or_else(not_installed)?)
}

/// As [`open`], of whatever definition: the installation with this root file system.
pub(crate) fn open_digest(
    config: &Config,
    layout: &Layout,
    name: &str,
    digest: &str,
) -> Result<Installed, ImageError> {
    let is_it =
        |found: &&Found| found.manifest.name == name && found.manifest.rootfs.sha256.as_str() == digest;
    let all = scan(layout);
    let not_installed = || ImageError::NotInstalled { name: name.to_owned() };
    lease(config, layout, all.iter().find(is_it).ok_or_else(not_installed)?)
}

fn lease(config: &Config, layout: &Layout, found: &Found) -> Result<Installed, ImageError> {
    let name = &found.manifest.name;
    let not_installed = || ImageError::NotInstalled { name: name.clone() };
    let environment_lease = Lock::try_shared(&found.dir)?.ok_or_else(not_installed)?;
    check_rootfs(found, name)?;
    let (kernel, kernel_lease) = lease_kernel(layout, found)?;
    check_kernel(&kernel, name)?;
    let (initrd, initrd_lease) = initrd::ensure(layout, &kernel, config.agent)?;
    let initrd_digest = initrd::key(&kernel, config.agent).as_str().to_owned();
    let lease = Lease { _environment: environment_lease, _kernel: kernel_lease, _initrd: initrd_lease };
    Ok(Installed {
        name: name.clone(),
        version: found.manifest.version.clone(),
        rootfs: found.dir.join(&found.manifest.rootfs.file),
        digest: found.manifest.rootfs.sha256.as_str().to_owned(),
        kernel: kernel.vmlinux(),
        kernel_digest: kernel.manifest.vmlinux.sha256.as_str().to_owned(),
        kernel_release: kernel.manifest.release.clone(),
        modules_dir: kernel.dir.join("modules"),
        initrd,
        initrd_digest,
        _lease: std::sync::Arc::new(lease),
    })
}

/// Reads every file of an installation and compares its digest; `on_bytes` is told of the root file system's.
pub(crate) fn verify(
    layout: &Layout,
    entry: &Entry,
    cancel: &Cancel,
    on_bytes: &mut dyn FnMut(u64, u64),
) -> Result<(), ImageError> {
    let not_installed = || ImageError::NotInstalled { name: entry.name.clone() };
    let all = scan(layout);
    let found = current(&all, entry).ok_or_else(not_installed)?;
    let _lease = Lock::try_shared(&found.dir)?.ok_or_else(not_installed)?;
    let rootfs = &found.manifest.rootfs;
    let total = rootfs.stamp.size_bytes;
    rootfs.verify(&found.dir, &entry.name, cancel, &mut |done| on_bytes(done, total))?;
    let (kernel, _lease) = lease_kernel(layout, found)?;
    kernel.verify(&entry.name, cancel)
}

fn lease_kernel(layout: &Layout, found: &Found) -> Result<(Kernel, Lock), ImageError> {
    let dir = layout.kernels().join(&found.manifest.kernel);
    let corrupt = || ImageError::Corrupt {
        environment: found.manifest.name.clone(),
        path: dir.clone(),
        reason: "the kernel is missing or its manifest is broken".to_owned(),
    };
    let lease = Lock::try_shared(&dir)?.ok_or_else(corrupt)?;
    let kernel = Kernel::read(&dir).ok_or_else(corrupt)?;
    Ok((kernel, lease))
}

fn check_rootfs(found: &Found, name: &str) -> Result<(), ImageError> {
    let record = &found.manifest.rootfs;
    if record.is_untouched(&found.dir, name)? {
        return Ok(());
    }
    record.verify(&found.dir, name, &unstoppable(&found.dir)?, &mut |_| {})?;
    // The bytes are right, so the file was only copied or touched: remember its new stamp. Failing to costs time, not truth.
    let renewed = EnvironmentManifest { rootfs: renew(record, &found.dir), ..found.manifest.clone() };
    let _ = manifest::write(&found.dir, manifest::ENVIRONMENT_FILE, &renewed);
    Ok(())
}

fn check_kernel(kernel: &Kernel, name: &str) -> Result<(), ImageError> {
    if kernel.is_untouched(name)? {
        return Ok(());
    }
    kernel.verify(name, &unstoppable(&kernel.dir)?)?;
    let mut renewed = kernel.manifest.clone();
    renewed.vmlinux = renew(&renewed.vmlinux, &kernel.dir);
    for module in &mut renewed.modules {
        module.record = renew(&module.record, &kernel.dir);
    }
    let _ = manifest::write(&kernel.dir, manifest::KERNEL_FILE, &renewed);
    Ok(())
}

fn unstoppable(path: &Path) -> Result<Cancel, ImageError> {
    use crate::error::At;
    Cancel::new().at("opening an event for", path)
}

fn renew(record: &FileRecord, dir: &Path) -> FileRecord {
    let stamp =
        std::fs::metadata(dir.join(&record.file)).map_or(record.stamp, |m| crate::digest::Stamp::of(&m));
    FileRecord { stamp, ..record.clone() }
}
