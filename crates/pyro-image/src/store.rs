//! The store: the one door to everything in this room. This file must not do the work itself.

use crate::Cancel;
use crate::catalogue::Catalogue;
use crate::catalogue::Entry;
use crate::catalogue::EntrySource;
use crate::config::Config;
use crate::disk::RwTemplate;
use crate::environment::Environment;
use crate::error::ImageError;
use crate::install;
use crate::install::Found;
use crate::install::Installed;
use crate::layout::Layout;
use crate::manifest;
use crate::progress::Progress;
use crate::prune;
use crate::prune::PruneReport;
use crate::pull;
use crate::pull::PullReport;

/// What environments run on.
pub(crate) const PLATFORM: &str = "linux-x86_64";
/// The versions of pyro whose environments look like this.
const COMPATIBILITY: &str = ">=0.1.0,<1.0.0";

/// Environments on this machine.
#[derive(Clone, Debug)]
pub struct ImageStore {
    config: Config,
    layout: Layout,
    catalogue: Catalogue,
}

impl ImageStore {
    /// A store. Nothing is made on disk before something is installed.
    ///
    /// # Errors
    /// [`ImageError::BuiltinCatalogue`]. A user's catalogue that cannot be used is no error here: see
    /// [`Catalogue::problem`].
    pub fn new(config: Config) -> Result<Self, ImageError> {
        let catalogue = Catalogue::load(config.user_catalogue.as_deref())?;
        Ok(Self { layout: Layout::new(&config.cache_dir), config, catalogue })
    }

    /// What can be asked for.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// All environments, installed or not. Reads manifests only.
    #[must_use]
    pub fn list(&self) -> Vec<Environment> {
        let found = install::scan(&self.layout);
        self.catalogue
            .entries()
            .iter()
            .map(|entry| self.describe(entry, install::current(&found, entry)))
            .collect()
    }

    /// One environment.
    ///
    /// # Errors
    /// [`ImageError::UnknownEnvironment`], or what is wrong with the user's catalogue.
    pub fn inspect(&self, name: &str) -> Result<Environment, ImageError> {
        let entry = self.catalogue.find(name)?;
        Ok(self.describe(entry, install::current(&install::scan(&self.layout), entry)))
    }

    /// Reads every file of an installed environment and compares its digest.
    ///
    /// # Errors
    /// [`ImageError::Corrupt`] names the file that differs; [`ImageError::NotInstalled`].
    pub fn verify(&self, name: &str, progress: &dyn Progress, cancel: &Cancel) -> Result<(), ImageError> {
        let entry = self.catalogue.find(name)?;
        progress.phase(crate::Phase::Verify);
        install::verify(&self.layout, entry, cancel, &mut |done, total| progress.bytes(done, Some(total)))
    }

    /// Installs an environment, or verifies the one that is installed. Safe to kill at any point, and from any number of
    /// processes at once: one builds, the others wait and find it done.
    ///
    /// # Errors
    /// [`ImageError`], with nothing half-made in sight.
    pub fn pull(
        &self,
        name: &str,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<PullReport, ImageError> {
        let entry = self.catalogue.find(name)?;
        let pulled = pull::pull(&self.config, &self.layout, entry, progress, cancel)?;
        let environment = self.inspect(name)?;
        Ok(PullReport { environment, reused: pulled.reused, phases: pulled.phases })
    }

    /// Leases an installed environment to start guests from.
    ///
    /// # Errors
    /// [`ImageError::NotInstalled`], [`ImageError::Corrupt`].
    pub fn open(&self, name: &str) -> Result<Installed, ImageError> {
        install::open(&self.config, &self.layout, self.catalogue.find(name)?)
    }

    /// The installation of this name and root file system, even if the catalogue defines another by now.
    ///
    /// # Errors
    /// [`ImageError::NotInstalled`], [`ImageError::Corrupt`].
    pub fn open_digest(&self, name: &str, digest: &str) -> Result<Installed, ImageError> {
        install::open_digest(&self.config, &self.layout, name, digest)
    }

    /// [`ImageStore::open`], after a [`ImageStore::pull`] where it is not installed. A damaged one is an error, not pulled:
    /// its user decides.
    ///
    /// # Errors
    /// As for both.
    pub fn ensure(
        &self,
        name: &str,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<Installed, ImageError> {
        match self.open(name) {
            Err(ImageError::NotInstalled { .. }) => {
                self.pull(name, progress, cancel)?;
                self.open(name)
            }
            other => other,
        }
    }

    /// Removes what nothing needs: builds that were cut short, installations no catalogue defines, and kernels, initrds and
    /// disk templates of none. What anybody holds a lease on stays, and so does every installation whose root file
    /// system's digest is one to `keep`.
    ///
    /// # Errors
    /// [`ImageError::File`] for what cannot be removed.
    pub fn prune(&self, keep: &dyn Fn(&str) -> bool) -> Result<PruneReport, ImageError> {
        prune::prune(&self.config, &self.layout, &self.catalogue, keep)
    }

    /// The template of writable disks of `size_mib`.
    ///
    /// # Errors
    /// [`ImageError::DiskSize`], [`ImageError::ProgramMissing`], [`ImageError::File`].
    pub fn rw_template(&self, size_mib: u64) -> Result<RwTemplate, ImageError> {
        RwTemplate::ensure(&self.config, &self.layout, size_mib)
    }

    fn describe(&self, entry: &Entry, found: Option<&Found>) -> Environment {
        let (distribution, distribution_version, packages) = match &entry.source {
            EntrySource::Packages { suite, packages } => {
                ("debian", suite_version(suite).to_owned(), packages.clone())
            }
            EntrySource::Rootfs { .. } => ("unknown", "unknown".to_owned(), Vec::new()),
        };
        let kernel = found.map(|found| self.layout.kernels().join(&found.manifest.kernel).join("vmlinux"));
        Environment {
            name: entry.name.clone(),
            version: entry.version.clone(),
            description: entry.description.clone(),
            default_packages: packages,
            distribution: distribution.to_owned(),
            distribution_version,
            platform: PLATFORM.to_owned(),
            oci_registry: None,
            oci_repository: None,
            oci_reference: None,
            source_digest: found.map(|found| format!("sha256:{}", found.manifest.rootfs.sha256.as_str())),
            compatibility: COMPATIBILITY.to_owned(),
            catalog_version: entry.catalog_version.clone(),
            installed: found.is_some(),
            cache_dir: self.layout.root().to_owned(),
            install_dir: found.map(|found| found.dir.clone()),
            install_manifest: found.map(|found| found.dir.join(manifest::ENVIRONMENT_FILE)),
            kernel_image: kernel,
            rootfs_image: found.map(|found| found.dir.join(&found.manifest.rootfs.file)),
            source: pull::source_of(entry),
            size_bytes: found.map(|found| found.manifest.rootfs.stamp.size_bytes),
        }
    }
}

/// Debian's number for a suite, where it has one.
fn suite_version(suite: &str) -> &str {
    match suite {
        "bullseye" => "11",
        "bookworm" => "12",
        "trixie" => "13",
        "forky" => "14",
        other => other,
    }
}

#[cfg(test)]
mod tests;
