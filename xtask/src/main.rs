//! Repository chores behind `cargo xtask`. This file parses and dispatches; it must not do a chore itself, and nothing
//! of this package may be part of the product.

mod agent;
mod elf;
mod initrd;
mod layers;
mod reference;

use clap::Parser;
use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

/// Chores of this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
enum Chore {
    /// Hold the arrows between rooms and the rules about printing, the environment and file headers.
    Layers,
    /// Check the static agent that every guest gets: linked statically, and under 2 MB.
    Agent {
        /// Write it to this file.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Copy the initrd that an installed environment's guests start from, for inspection with cpio.
    Initrd {
        /// The cache of environments, as `PYRO_CACHE_DIR` names it.
        #[arg(long, value_name = "DIR")]
        cache_dir: PathBuf,
        /// The environment.
        #[arg(long, default_value = "debian:12")]
        environment: String,
        /// Write it to this file.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Write the pages of docs/reference.
    Reference {
        /// Change nothing; fail when a page is out of date.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    let chore = Chore::parse();
    match run(&chore) {
        Ok(report) => finish(&report, ExitCode::SUCCESS),
        Err(error) => finish(&format!("{}\n", chain(error.as_ref())), ExitCode::FAILURE),
    }
}

/// Carries out a chore and returns what to print.
fn run(chore: &Chore) -> Result<String, Box<dyn Error>> {
    match chore {
        Chore::Layers => Ok(layers::run(root())?),
        Chore::Agent { out, json } => Ok(agent::run(out.as_deref(), *json)?),
        Chore::Initrd { cache_dir, environment, out } => Ok(initrd::run(cache_dir, environment, out)?),
        Chore::Reference { check } => Ok(reference::run(root(), *check)?),
    }
}

/// The top of the repository: this package lies directly under it.
fn root() -> &'static Path {
    let manifest_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest_dir.parent().unwrap_or(manifest_dir)
}

/// An error and its sources, one after the other.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}

fn finish(report: &str, code: ExitCode) -> ExitCode {
    match std::io::stdout().lock().write_all(report.as_bytes()) {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}
