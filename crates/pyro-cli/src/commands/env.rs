//! `pyro env`.

use crate::exit;
use crate::failure;
use crate::failure::Failure;
use crate::output;
use crate::progress;
use crate::settings;
use crate::signals;
use pyro::Coded;
use pyro::image::Cancel;
use pyro::image::Environment;
use pyro::image::ImageError;
use pyro::image::ImageStore;
use pyro::image::NoProgress;
use pyro::image::PullReport;
use serde_json::json;

/// List, install, inspect and remove environments.
#[derive(Debug, clap::Subcommand)]
pub enum Env {
    /// List the catalogue's environments, and which are installed.
    List(List),
    /// Install an environment: build it from the Debian mirror, or check what is installed and mend it.
    Pull(Pull),
    /// Show everything known about an environment.
    Inspect(Inspect),
    /// Remove what no environment of the catalogue needs: unfinished, outdated and broken entries. Never what is in use.
    Prune(Prune),
}

/// List the catalogue's environments, and which are installed.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Install an environment.
#[derive(Debug, clap::Args)]
pub struct Pull {
    /// Environment to install.
    environment: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Show everything known about an environment.
#[derive(Debug, clap::Args)]
pub struct Inspect {
    /// Environment to show.
    environment: String,
    /// Check the recorded digests against the files.
    #[arg(long)]
    verify: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Remove what no environment of the catalogue needs.
#[derive(Debug, clap::Args)]
pub struct Prune {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn failed(error: &ImageError) -> Failure {
    Failure::new(error as &dyn Coded, exit::FAILED)
}

impl Env {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        let config = settings::config(engine, exit::FAILED)?;
        let store = ImageStore::new(config.image_config()).map_err(|error| failed(&error))?;
        match self {
            Self::List(list) => list.call(&store),
            Self::Pull(pull) => return interruptible(move |cancel| pull.call(&store, cancel)),
            Self::Inspect(inspect) => return interruptible(move |cancel| inspect.call(&store, cancel)),
            Self::Prune(prune) => prune.call(&store).map_err(|error| failed(&error))?,
        }
        Ok(exit::OK)
    }
}

/// Does long work on a thread of its own, and asks it to stop when a signal asks this process to.
fn interruptible<F>(work: F) -> Result<i32, Failure>
where
    F: FnOnce(&Cancel) -> Result<(), ImageError> + Send + 'static,
{
    let host_failed = |error: std::io::Error| {
        Failure::plain(
            "host_failed",
            format!("preparing to be interrupted: {error}"),
            "try again",
            exit::FAILED,
        )
    };
    let cancel = Cancel::new().map_err(host_failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(host_failed)?;
    let token = cancel.clone();
    runtime.block_on(async move {
        let mut interrupts = signals::listen();
        let mut work = tokio::task::spawn_blocking(move || work(&token));
        let mut interrupted = None;
        let done = loop {
            tokio::select! {
                done = &mut work => break done,
                Some(signal) = interrupts.recv() => {
                    interrupted = Some(signal);
                    cancel.cancel();
                }
            }
        };
        match (done, interrupted) {
            (Ok(Ok(())), _) => Ok(exit::OK),
            (Ok(Err(error)), None) => Err(failed(&error)),
            (Ok(Err(error)), Some(signal)) => Err(Failure::new(&error, 128 + signal)),
            (Err(error), _) => Err(host_failed(std::io::Error::other(error))),
        }
    })
}

/// An installation's report: the environment's own fields, and what was done.
fn document(report: &PullReport) -> serde_json::Value {
    let mut document = json!(report.environment);
    document["reused"] = json!(report.reused);
    document["phases"] = json!(report.phases);
    document
}

impl List {
    fn call(&self, store: &ImageStore) {
        let environments = store.list();
        let version = environments.iter().find_map(|entry| entry.catalog_version.clone()).unwrap_or_default();
        if let Some(problem) = store.catalogue().problem() {
            output::error_line(&format!("[warning] {}", failure::chain(&problem)));
        }
        if self.json {
            output::json(&json!({
                "catalog_version": version,
                "environments": environments,
            }));
            return;
        }
        output::line(&format!("Catalog version: {version}"));
        for entry in &environments {
            let installed = if entry.installed { "installed" } else { "not installed" };
            output::line(&format!("{} [{installed}] {}", entry.name, entry.description));
        }
    }
}

impl Pull {
    fn call(&self, store: &ImageStore, cancel: &Cancel) -> Result<(), ImageError> {
        let progress = progress::pull(&self.environment);
        let report = store.pull(&self.environment, progress.as_ref(), cancel)?;
        drop(progress);
        if self.json {
            output::json(&document(&report));
            return Ok(());
        }
        output::error_line(&format!("[pull] phase=ready environment={}", self.environment));
        print_detail("Pulled", &report.environment);
        Ok(())
    }
}

impl Inspect {
    fn call(&self, store: &ImageStore, cancel: &Cancel) -> Result<(), ImageError> {
        if self.verify {
            store.verify(&self.environment, &NoProgress, cancel)?;
        }
        let detail = store.inspect(&self.environment)?;
        if self.json {
            output::json(&detail);
        } else {
            print_detail("Environment", &detail);
        }
        Ok(())
    }
}

impl Prune {
    fn call(&self, store: &ImageStore) -> Result<(), ImageError> {
        let report = store.prune()?;
        if self.json {
            output::json(&report);
            return Ok(());
        }
        let count = report.count;
        let noun = if count == 1 { "entry" } else { "entries" };
        output::line(&format!("Deleted {count} cached environment {noun}."));
        for dir in &report.deleted_environment_dirs {
            output::line(&format!("- {}", dir.display()));
        }
        Ok(())
    }
}

/// The block that `env pull` and `env inspect` share.
fn print_detail(heading: &str, entry: &Environment) {
    output::line(&format!("{heading}: {}", entry.name));
    let path = |path: &Option<std::path::PathBuf>| {
        path.as_ref().map_or("-".to_owned(), |path| path.display().to_string())
    };
    let rows = [
        ("Version", entry.version.clone()),
        ("Distribution", format!("{} {}", entry.distribution, entry.distribution_version)),
        ("Installed", if entry.installed { "yes" } else { "no" }.to_owned()),
        ("Cache dir", entry.cache_dir.display().to_string()),
        ("Default packages", entry.default_packages.join(", ")),
        ("Description", entry.description.clone()),
        ("Install dir", path(&entry.install_dir)),
        ("Install manifest", path(&entry.install_manifest)),
        ("Kernel image", path(&entry.kernel_image)),
        ("Rootfs image", path(&entry.rootfs_image)),
        ("Source", entry.source.clone()),
    ];
    for (name, value) in rows {
        output::line(&format!("{name}: {value}"));
    }
}
