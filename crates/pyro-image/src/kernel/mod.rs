//! The guest's kernel: found in the Debian archive, fetched with its signature checked, taken apart and kept. This file must
//! not know environments.

mod archive;
pub(crate) mod module;
mod package;
mod vmlinux;

pub(crate) use archive::AptRoot;
pub(crate) use archive::failure;
pub(crate) use package::SUITE;

use crate::atomic;
use crate::digest::FileRecord;
use crate::digest::Sha256Hex;
use crate::error::At;
use crate::error::ImageError;
use crate::lock::Lock;
use crate::manifest;
use crate::manifest::KernelManifest;
use crate::manifest::ModuleRecord;
use crate::namespace;
use crate::progress::Phase;
use crate::pull::Work;
use package::Contents;
use package::KernelPackage;
use std::path::Path;
use std::path::PathBuf;

/// An installed kernel.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    pub(crate) dir: PathBuf,
    pub(crate) manifest: KernelManifest,
}

impl Kernel {
    /// The kernel in `dir`, if it is whole.
    pub(crate) fn read(dir: &Path) -> Option<Self> {
        KernelManifest::read(dir).map(|manifest| Self { dir: dir.to_owned(), manifest })
    }

    /// The name of its folder.
    pub(crate) fn id(&self) -> String {
        self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    pub(crate) fn vmlinux(&self) -> PathBuf {
        self.dir.join(&self.manifest.vmlinux.file)
    }

    fn records(&self) -> impl Iterator<Item = &FileRecord> {
        std::iter::once(&self.manifest.vmlinux)
            .chain(self.manifest.modules.iter().map(|module| &module.record))
    }

    /// Whether every file still has its stamp.
    pub(crate) fn is_untouched(&self, environment: &str) -> Result<bool, ImageError> {
        self.records().try_fold(true, |all, record| Ok(all & record.is_untouched(&self.dir, environment)?))
    }

    /// Reads every file and compares its digest.
    pub(crate) fn verify(&self, environment: &str, cancel: &crate::Cancel) -> Result<(), ImageError> {
        self.records().try_for_each(|record| record.verify(&self.dir, environment, cancel, &mut |_| {}))
    }
}

/// All whole kernels of the store, newest package first.
pub(crate) fn installed(kernels: &Path) -> Vec<Kernel> {
    let Ok(entries) = std::fs::read_dir(kernels) else { return Vec::new() };
    let mut found: Vec<Kernel> =
        entries.filter_map(Result::ok).filter_map(|entry| Kernel::read(&entry.path())).collect();
    found.sort_by_key(|kernel| std::cmp::Reverse(package::version_key(&kernel.manifest.package)));
    found
}

/// The newest kernel the archive has, from the store or fetched into it.
pub(crate) fn ensure(work: &Work<'_>, apt: &AptRoot<'_>) -> Result<Kernel, ImageError> {
    apt.update(work)?;
    let package = KernelPackage::newest(work, apt)?;
    let kernels = work.layout.kernels();
    let existing = installed(&kernels).into_iter().find(|kernel| {
        kernel.manifest.package == package.name && kernel.manifest.package_version == package.version
    });
    if let Some(kernel) = existing
        && kernel.verify(work.environment, work.cancel).is_ok()
    {
        return Ok(kernel);
    }
    work.progress.phase(Phase::KernelDownload);
    let deb = package.download(work, apt)?;
    work.progress.phase(Phase::Kernel);
    let kernel = install(work, &package, &deb)?;
    std::fs::remove_file(&deb).at("removing", &deb)?;
    Ok(kernel)
}

/// Takes the package apart into a folder of its own.
fn install(work: &Work<'_>, package: &KernelPackage, deb: &Path) -> Result<Kernel, ImageError> {
    let kernels = work.layout.kernels();
    let partial = work.layout.make_partial(&kernels, "kernel")?;
    let lock =
        Lock::try_exclusive(&partial)?.ok_or(std::io::ErrorKind::WouldBlock).at("locking", &partial)?;
    let built = fill(&work.lending(&lock), package, deb, &partial)
        .and_then(|manifest| publish(work, &partial, &manifest));
    if built.is_err() {
        namespace::remove_tree(work.config, &partial)?;
    }
    built
}

fn fill(
    work: &Work<'_>,
    package: &KernelPackage,
    deb: &Path,
    dir: &Path,
) -> Result<KernelManifest, ImageError> {
    let bad = |reason: String| ImageError::Kernel { package: package.name.clone(), reason };
    let contents = Contents::read(work, package, deb, dir)?;
    let image = vmlinux::extract(&contents.vmlinuz).map_err(bad)?;
    atomic::write(&dir.join("vmlinux"), &[&image])?;
    let vmlinux = FileRecord::of_file(dir, "vmlinux", work.cancel, &mut |_| {})?;
    let modules_dir = dir.join("modules");
    work.layout.make(&modules_dir)?;
    let pairs: Vec<(&str, &[String])> =
        contents.modules.iter().map(|module| (module.name.as_str(), module.depends.as_slice())).collect();
    let mut modules = Vec::new();
    for name in module::load_order(&pairs) {
        let Some(module) = contents.modules.iter().find(|module| module.name == name) else { continue };
        let file = format!("modules/{name}.ko");
        atomic::write(&dir.join(&file), &[&module.bytes])?;
        let record = FileRecord::of_file(dir, &file, work.cancel, &mut |_| {})?;
        modules.push(ModuleRecord { name: name.to_owned(), depends: module.depends.clone(), record });
    }
    Ok(KernelManifest {
        schema: manifest::SCHEMA,
        package: package.name.clone(),
        package_version: package.version.clone(),
        release: contents.release,
        vmlinux,
        modules,
    })
}

fn publish(work: &Work<'_>, partial: &Path, manifest: &KernelManifest) -> Result<Kernel, ImageError> {
    manifest::write(partial, manifest::KERNEL_FILE, manifest)?;
    let all: String = std::iter::once(&manifest.vmlinux)
        .chain(manifest.modules.iter().map(|module| &module.record))
        .map(|record| record.sha256.as_str())
        .collect();
    let digest = Sha256Hex::of(all.as_bytes());
    let dir = work.layout.kernels().join(format!("{}-{}", manifest.release, digest.short()));
    // What is there under this name did not verify, or it would have been used.
    namespace::remove_tree(work.config, &dir)?;
    atomic::publish_dir(partial, &dir)?;
    Kernel::read(&dir).ok_or(std::io::ErrorKind::InvalidData).at("reading back", &dir)
}
