//! `pyro workspace disk`.

use super::block_on;
use super::failed;
use super::find;
use super::parsed;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use crate::progress::Transfer;
use clap::Subcommand;
use pyro::workspace::DiskEntry;
use pyro::workspace::DiskExportSpec;
use pyro::workspace::ReadSpec;
use pyro::workspace::SnapshotName;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

/// Look into the disk of a stopped workspace, or into a snapshot, without starting anything.
#[derive(Debug, Subcommand)]
pub enum Disk {
    /// List a folder.
    List(List),
    /// Print a file, or a part of it.
    Read(Read),
    /// Write the whole disk, environment included, to one raw ext4 image.
    Export(Export),
}

impl Disk {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        match self {
            Self::List(command) => command.call(engine),
            Self::Read(command) => command.call(engine),
            Self::Export(command) => command.call(engine),
        }
    }
}

#[derive(Debug, clap::Args)]
pub struct List {
    /// Id or name of the workspace.
    workspace: String,
    /// The folder; relative paths are below /workspace.
    #[arg(default_value = "/workspace")]
    path: OsString,
    /// Everything below it too.
    #[arg(long)]
    recursive: bool,
    /// Look into this snapshot.
    #[arg(long, value_name = "NAME", value_parser = parsed::<SnapshotName>)]
    snapshot: Option<SnapshotName>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

impl List {
    fn call(self, engine: &str) -> Result<i32, Failure> {
        let workspace = find(engine, &self.workspace, exit::FAILED)?;
        let list =
            block_on(workspace.disk_list(self.path.as_bytes(), self.recursive, self.snapshot.as_ref()))?;
        let list = list.map_err(|error| failed(&error))?;
        if self.json {
            output::json(&workspace.describe_disk_list(&list));
            return Ok(exit::OK);
        }
        let recursive = if list.recursive { "yes" } else { "no" };
        output::line(&format!("Workspace disk path: {} (recursive={recursive})", lossy(&list.path)));
        for entry in &list.entries {
            output::line(&line(entry));
        }
        if list.truncated {
            output::error_line("[warning] there is more: name a smaller folder");
        }
        Ok(exit::OK)
    }
}

fn line(entry: &DiskEntry) -> String {
    let target = entry.link_target.as_deref().map(|target| format!(" -> {}", lossy(target)));
    let (path, kind) = (lossy(&entry.path), entry.artifact_type);
    format!("{path} [{kind}] size={}{}", entry.size_bytes, target.unwrap_or_default())
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[derive(Debug, clap::Args)]
pub struct Read {
    /// Id or name of the workspace.
    workspace: String,
    /// The file; relative paths are below /workspace.
    path: OsString,
    /// Most bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 65536)]
    max_bytes: u64,
    /// First byte.
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    offset: u64,
    /// Read from this snapshot.
    #[arg(long, value_name = "NAME", value_parser = parsed::<SnapshotName>)]
    snapshot: Option<SnapshotName>,
    /// Print nothing but the content.
    #[arg(long, conflicts_with = "json")]
    content_only: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

impl Read {
    fn call(self, engine: &str) -> Result<i32, Failure> {
        let workspace = find(engine, &self.workspace, exit::FAILED)?;
        let spec = ReadSpec { offset: self.offset, max_bytes: self.max_bytes };
        let read = block_on(workspace.disk_read(self.path.as_bytes(), spec, self.snapshot.as_ref()))?;
        let read = read.map_err(|error| failed(&error))?;
        if self.json {
            output::json(&workspace.describe_disk_read(&read));
            return Ok(exit::OK);
        }
        output::bytes(&read.content);
        if !self.content_only {
            output::error_line(&format!(
                "[workspace-disk-read] workspace_id={} path={} size_bytes={} truncated={}",
                workspace.id(),
                lossy(&read.path),
                read.size_bytes,
                read.is_truncated()
            ));
        }
        Ok(exit::OK)
    }
}

#[derive(Debug, clap::Args)]
pub struct Export {
    /// Id or name of the workspace.
    workspace: String,
    /// Where to; there must be nothing.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Compress it with zstd.
    #[arg(long)]
    zstd: bool,
    /// Export this snapshot.
    #[arg(long, value_name = "NAME", value_parser = parsed::<SnapshotName>)]
    snapshot: Option<SnapshotName>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

impl Export {
    fn call(self, engine: &str) -> Result<i32, Failure> {
        let workspace = find(engine, &self.workspace, exit::FAILED)?;
        let spec = DiskExportSpec { output: self.output.into(), zstd: self.zstd, snapshot: self.snapshot };
        let bar = Transfer::new("exporting", self.json);
        let done = block_on(workspace.disk_export(spec, bar.advance()))?;
        drop(bar);
        let done = done.map_err(|error| failed(&error))?;
        if self.json {
            output::json(&done.describe());
        } else {
            output::line(&format!(
                "[workspace-disk-export] workspace_id={} output_path={} disk_format=ext4 bytes_written={} size_bytes={}",
                done.workspace_id,
                done.output_path.display(),
                done.bytes_written,
                done.size_bytes
            ));
        }
        Ok(exit::OK)
    }
}
