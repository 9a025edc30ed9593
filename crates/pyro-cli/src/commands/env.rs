//! `pyro env`.

use super::workspace::render::text;
use crate::event_loop::EventLoop;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use crate::progress;
use crate::settings;
use crate::signals;
use pyro::Coded;
use pyro::Config;
use pyro::environments;
use pyro::image::Cancel;
use pyro::image::Environment;
use pyro::image::ImageError;
use pyro::image::ImageStore;
use pyro::image::NoProgress;
use pyro::template;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Instant;

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
    /// Do not make the template that the first run would otherwise make.
    #[arg(long)]
    no_template: bool,
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
            Self::Pull(pull) => return pull.call(&config, &store),
            Self::Inspect(inspect) => {
                return interruptible(move |cancel| inspect.call(&config, &store, cancel));
            }
            Self::Prune(prune) => prune.call(&config, &store)?,
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
    let runtime = EventLoop::new().map_err(host_failed)?;
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

impl List {
    fn call(&self, store: &ImageStore) {
        let document = environments::list(store);
        if let Some(problem) = store.catalogue().problem() {
            output::error_line(&format!("[warning] {}", pyro::code::chain(&problem)));
        }
        if self.json {
            return output::json(&document);
        }
        output::line(&format!("Catalog version: {}", text(&document, "catalog_version")));
        for entry in &store.list() {
            let installed = if entry.installed { "installed" } else { "not installed" };
            output::line(&format!("{} [{installed}] {}", entry.name, entry.description));
        }
    }
}

impl Pull {
    fn call(&self, config: &Config, store: &ImageStore) -> Result<i32, Failure> {
        let report = Arc::new(Mutex::new(None));
        let (slot, name) = (Arc::clone(&report), self.environment.clone());
        let (pulled_store, progress) = (store.clone(), progress::pull(&self.environment));
        let code = interruptible(move |cancel| {
            let pulled = pulled_store.pull(&name, progress.as_ref(), cancel)?;
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(pulled);
            Ok(())
        })?;
        let report = report.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(report) = report else { return Ok(code) };
        let template = if self.no_template { None } else { self.template(config, store) };
        if self.json {
            output::json(&environments::pulled(&report, template));
        } else {
            output::error_line(&format!("[pull] phase=ready environment={}", self.environment));
            print_detail("Pulled", &report.environment);
        }
        Ok(code)
    }

    /// Makes the template of a guest of the default size, so that the first run is quick; its milliseconds. That it cannot be
    /// made is worth a line: runs then boot.
    fn template(&self, config: &Config, store: &ImageStore) -> Option<u64> {
        let began = Instant::now();
        output::error_line(&format!("[pull] phase=template environment={}", self.environment));
        let prepared = EventLoop::new()
            .map_err(|error| error.to_string())
            .and_then(|runtime| runtime.block_on(template::prepare(config, store, &self.environment)));
        match prepared {
            Ok(()) => u64::try_from(began.elapsed().as_millis()).ok(),
            Err(reason) => {
                output::error_line(&format!("[warning] no template was made: {reason}"));
                None
            }
        }
    }
}

impl Inspect {
    fn call(&self, config: &Config, store: &ImageStore, cancel: &Cancel) -> Result<(), ImageError> {
        if self.verify {
            store.verify(&self.environment, &NoProgress, cancel)?;
        }
        let detail = store.inspect(&self.environment)?;
        let templates = template::list(config, &self.environment);
        if self.json {
            output::json(&environments::inspect(config, store, &self.environment)?);
            return Ok(());
        }
        print_detail("Environment", &detail);
        for template in &templates {
            output::line(&format!(
                "Template: {} vcpu_count={} mem_mib={} disk_mib={} takes={}MiB {}",
                template.key,
                template.vcpu_count,
                template.mem_mib,
                template.disk_mib,
                template.disk_bytes / (1024 * 1024),
                if template.whole { "whole" } else { "damaged" }
            ));
        }
        Ok(())
    }
}

impl Prune {
    fn call(&self, config: &Config, store: &ImageStore) -> Result<(), Failure> {
        let document =
            environments::prune(config, store).map_err(|error| Failure::new(&error, exit::FAILED))?;
        if self.json {
            output::json(&document);
            return Ok(());
        }
        let noun = if document["count"] == 1 { "entry" } else { "entries" };
        output::line(&format!("Deleted {} cached environment {noun}.", text(&document, "count")));
        for name in ["deleted_environment_dirs", "deleted_template_dirs"] {
            for dir in document[name].as_array().into_iter().flatten() {
                output::line(&format!("- {}", dir.as_str().unwrap_or_default()));
            }
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
