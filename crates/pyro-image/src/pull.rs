//! Installs an environment. This file must not know how each part is built.
//!
//! ```text
//!   verified? --yes--> done
//!      | no
//!   lock of this environment --> verified now? --> lock of all builds --> kernel --> tree --> image --> digests --> rename
//! ```
//! The tree is built in a `partial-*` folder. Its lock and the two others are inherited by every process of the build, so
//! that nobody takes it for abandoned while one of them lives.

use crate::Cancel;
use crate::atomic;
use crate::bootstrap;
use crate::bootstrap::Recipe;
use crate::catalogue::Entry;
use crate::catalogue::EntrySource;
use crate::config::Config;
use crate::digest::FileRecord;
use crate::environment::Environment;
use crate::error::At;
use crate::error::ImageError;
use crate::image;
use crate::install;
use crate::kernel;
use crate::kernel::AptRoot;
use crate::kernel::Kernel;
use crate::layout::Layout;
use crate::lock::Lock;
use crate::manifest;
use crate::manifest::EnvironmentManifest;
use crate::mirror::Mirror;
use crate::namespace;
use crate::program;
use crate::progress::Phase;
use crate::progress::PhaseTime;
use crate::progress::Progress;
use crate::progress::Timed;
use crate::prune;
use crate::rootfs;
use crate::space;
use crate::store;
use serde::Serialize;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::path::Path;

/// Room for a kernel package, its contents and package lists.
const KERNEL_SPACE_MIB: u64 = 300;

/// What a pull did.
#[derive(Clone, Debug, Serialize)]
pub struct PullReport {
    /// The environment, installed.
    pub environment: Environment,
    /// It was there already and its digests are right.
    pub reused: bool,
    /// What took how long.
    pub phases: Vec<PhaseTime>,
}

pub(crate) struct Pulled {
    pub(crate) reused: bool,
    pub(crate) phases: Vec<PhaseTime>,
}

/// What every step of a build needs.
pub(crate) struct Work<'a> {
    pub(crate) config: &'a Config,
    pub(crate) layout: &'a Layout,
    /// The name of what is built.
    pub(crate) environment: &'a str,
    pub(crate) cancel: &'a Cancel,
    pub(crate) progress: &'a Timed<'a>,
    /// Locks that children inherit.
    pub(crate) lent: Vec<BorrowedFd<'a>>,
}

impl<'a> Work<'a> {
    /// The same, with one more lock for children to inherit.
    pub(crate) fn lending<'b>(&'b self, lock: &'b Lock) -> Work<'b>
    where
        'a: 'b,
    {
        let mut lent: Vec<BorrowedFd<'b>> = self.lent.clone();
        lent.push(lock.as_fd());
        Work { lent, ..*self }
    }
}

/// What an environment is made from, for people and manifests.
pub(crate) fn source_of(entry: &Entry) -> String {
    match &entry.source {
        EntrySource::Packages { suite, .. } => format!("mmdebstrap:{suite}"),
        EntrySource::Rootfs { archive } => format!("rootfs:{}", archive.display()),
    }
}

pub(crate) fn pull(
    config: &Config,
    layout: &Layout,
    entry: &Entry,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<Pulled, ImageError> {
    let timed = Timed::new(progress);
    let work = Work { config, layout, environment: &entry.name, cancel, progress: &timed, lent: Vec::new() };
    let reused = is_verified(&work, entry)? || build_once(&work, entry)?;
    Ok(Pulled { reused, phases: timed.finish() })
}

/// Whether what is installed is right down to the last bit.
fn is_verified(work: &Work<'_>, entry: &Entry) -> Result<bool, ImageError> {
    if install::current(&install::scan(work.layout), entry).is_none() {
        return Ok(false);
    }
    work.progress.phase(Phase::Verify);
    match install::verify(work.layout, entry, work.cancel, &mut |done, total| {
        work.progress.bytes(done, Some(total));
    }) {
        Ok(()) => Ok(true),
        Err(ImageError::Cancelled) => Err(ImageError::Cancelled),
        Err(_) => Ok(false),
    }
}

/// Builds under the locks; `true` when another process has built it meanwhile.
fn build_once(work: &Work<'_>, entry: &Entry) -> Result<bool, ImageError> {
    let layout = work.layout;
    layout.make(&layout.root().join("locks"))?;
    let mut tell = || work.progress.phase(Phase::Waiting);
    let own = Lock::wait(&layout.lock(&format!("environment-{}", entry.slug())), work.cancel, &mut tell)?;
    if is_verified(work, entry)? {
        return Ok(true);
    }
    let all = Lock::wait(&layout.lock("build"), work.cancel, &mut tell)?;
    let work = work.lending(&own);
    let work = work.lending(&all);
    prune::remove_partials(work.config, layout)?;
    preflight(&work, entry)?;
    build(&work, entry)?;
    Ok(false)
}

/// Finds out what is missing before anything is begun.
fn preflight(work: &Work<'_>, entry: &Entry) -> Result<(), ImageError> {
    let common = [program::UNSHARE, program::MKFS, program::FIND, program::DPKG_DEB, program::APT_GET];
    let own = match &entry.source {
        EntrySource::Packages { .. } => program::MMDEBSTRAP,
        EntrySource::Rootfs { .. } => program::TAR,
    };
    for program in common.into_iter().chain([own]) {
        program.find(work.config)?;
    }
    space::require(work.layout.root(), entry.build_space_mib + KERNEL_SPACE_MIB)
}

fn build(work: &Work<'_>, entry: &Entry) -> Result<(), ImageError> {
    let environments = work.layout.environments();
    let partial = work.layout.make_partial(&environments, &entry.slug())?;
    let lock =
        Lock::try_exclusive(&partial)?.ok_or(std::io::ErrorKind::WouldBlock).at("locking", &partial)?;
    let built = fill(&work.lending(&lock), entry, &partial);
    if built.is_err() {
        // The children are gone by now: reading their output to its end has waited for them.
        namespace::remove_tree(work.config, &partial)?;
    }
    built
}

fn fill(work: &Work<'_>, entry: &Entry, partial: &Path) -> Result<(), ImageError> {
    let image = partial.join(image::FILE);
    let kernel = match &entry.source {
        EntrySource::Packages { suite, packages } => {
            let mirror = Mirror::configured(work.config)?;
            let kernel = newest_kernel(work, &mirror)?;
            let apt = AptRoot::prepare(work, &mirror, suite)?;
            work.progress.phase(Phase::Lists);
            let lists_are_fresh = suite == kernel::SUITE;
            let recipe = Recipe {
                mirror: &mirror,
                suite,
                packages,
                lists_are_fresh,
                space_mib: entry.build_space_mib,
            };
            bootstrap::bootstrap(work, &apt, &recipe, partial)?;
            kernel
        }
        EntrySource::Rootfs { archive } => {
            let kernel = any_kernel(work)?;
            rootfs::import(work, archive, partial, &image)?;
            kernel
        }
    };
    seal(work, entry, &kernel, partial)
}

fn newest_kernel(work: &Work<'_>, mirror: &Mirror) -> Result<Kernel, ImageError> {
    let apt = AptRoot::prepare(work, mirror, kernel::SUITE)?;
    kernel::ensure(work, &apt)
}

/// For what needs no mirror itself: a kernel that is there, so that it can be installed without a network.
fn any_kernel(work: &Work<'_>) -> Result<Kernel, ImageError> {
    let whole = kernel::installed(&work.layout.kernels())
        .into_iter()
        .find(|kernel| kernel.verify(work.environment, work.cancel).is_ok());
    match whole {
        Some(kernel) => Ok(kernel),
        None => newest_kernel(work, &Mirror::configured(work.config)?),
    }
}

/// Records digests, makes everything durable, and puts it in its place.
fn seal(work: &Work<'_>, entry: &Entry, kernel: &Kernel, partial: &Path) -> Result<(), ImageError> {
    work.progress.phase(Phase::Seal);
    let path = partial.join(image::FILE);
    atomic::sync_file(&path)?;
    let total = std::fs::metadata(&path).at("examining", &path)?.len();
    let rootfs = FileRecord::of_file(partial, image::FILE, work.cancel, &mut |done| {
        work.progress.bytes(done, Some(total));
    })?;
    let manifest = EnvironmentManifest {
        schema: manifest::SCHEMA,
        name: entry.name.clone(),
        version: entry.version.clone(),
        definition: entry.definition(),
        platform: store::PLATFORM.to_owned(),
        source: source_of(entry),
        installed_at: manifest::now_s(),
        rootfs,
        kernel: kernel.id(),
    };
    manifest::write(partial, manifest::ENVIRONMENT_FILE, &manifest)?;
    let id = format!("{}-{}-{}", entry.slug(), entry.version, manifest.rootfs.sha256.short());
    let dir = work.layout.environments().join(id);
    // The same bytes built twice: what was there did not verify, or it would have been kept.
    prune::set_aside(work.config, &dir)?;
    atomic::publish_dir(partial, &dir)
}
