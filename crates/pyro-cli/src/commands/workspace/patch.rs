//! `pyro workspace patch`.

use super::file::guest_path;
use super::file::text;
use super::file::unreadable;
use super::file::with;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use clap::Subcommand;
use pyro::workspace::files::PatchOptions;
use std::ffi::OsString;
use std::io;
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::path::PathBuf;

/// Change files of a running workspace by patches.
#[derive(Debug, Subcommand)]
pub enum Patch {
    /// Apply a patch, all of it or nothing.
    Apply(Apply),
}

/// Apply a patch as git or `diff -u` writes it: all of it, or nothing.
///
/// New, deleted, renamed and copied files, modes, links and binary contents are understood. Hunks may have moved as long as
/// their context fits exactly; --fuzz allows for less.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("content").required(true).args(["patch", "patch_file"]))]
pub struct Apply {
    /// Id or name of the workspace.
    workspace: String,

    /// The patch itself.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    patch: Option<OsString>,

    /// A file of the host that holds the patch; '-' is standard input.
    #[arg(long, value_name = "PATH")]
    patch_file: Option<PathBuf>,

    /// Directory of the guest that the patch's paths are below.
    #[arg(long, value_name = "PATH", default_value = "/workspace")]
    directory: OsString,

    /// Components to take from the front of each name; found out for each file without it.
    #[arg(long, value_name = "N")]
    strip: Option<u8>,

    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,

    /// Take the patch back.
    #[arg(long)]
    reverse: bool,

    /// Lines of context that may be left out at either end of a hunk to make it fit.
    #[arg(long, value_name = "N", default_value_t = 0)]
    fuzz: u8,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Most bytes of a patch; one more is read so that the library can refuse it.
const PATCH_BYTES_MAX: u64 = 64 * 1024 * 1024;

impl Patch {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        match self {
            Self::Apply(command) => command.call(engine),
        }
    }
}

impl Apply {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        let options = PatchOptions {
            directory: guest_path(&self.directory)?,
            strip: self.strip,
            reverse: self.reverse,
            fuzz_max: self.fuzz,
            dry_run: self.dry_run,
        };
        let patch = match (self.patch, &self.patch_file) {
            (Some(patch), _) => patch.into_vec(),
            (None, Some(path)) => read(path).map_err(|error| unreadable(Some(path), &error))?,
            (None, None) => Vec::new(),
        };
        let document =
            with(engine, &self.workspace, async |workspace| workspace.apply_patch(&patch, &options).await)?;
        if self.json {
            output::json(&document);
            return Ok(exit::OK);
        }
        let counts = ["total", "added", "modified", "deleted", "renamed"];
        let counts = counts.map(|name| format!("{name}={}", text(&document, name))).join(" ");
        let dry_run = if self.dry_run { " dry_run=yes" } else { "" };
        let id = text(&document, "workspace_id");
        output::line(&format!("[workspace-patch] workspace_id={id} {counts}{dry_run}"));
        Ok(exit::OK)
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut source: Box<dyn io::Read> =
        if path.as_os_str() == "-" { Box::new(io::stdin()) } else { Box::new(std::fs::File::open(path)?) };
    let mut patch = Vec::new();
    source.by_ref().take(PATCH_BYTES_MAX + 1).read_to_end(&mut patch)?;
    Ok(patch)
}
