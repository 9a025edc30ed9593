//! `pyro workspace export`.

use super::block_on;
use super::failed;
use super::find;
use super::parsed;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use crate::progress::Transfer;
use clap::ValueEnum;
use pyro::tree::Compression;
use pyro::tree::Links;
use pyro::workspace::ExportFormat;
use pyro::workspace::ExportSpec;
use pyro::workspace::ExportTarget;
use pyro::workspace::SnapshotName;
use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::PathBuf;

/// Copy a file, folder or link out of a workspace, whether or not it runs, or out of a snapshot.
#[derive(Debug, clap::Args)]
pub struct Export {
    /// Id or name of the workspace.
    workspace: String,
    /// What to copy; relative paths are below /workspace.
    path: OsString,
    /// Where to: a path at which there is nothing, or - for standard output.
    #[arg(long, value_name = "PATH")]
    output: PathBuf,
    /// What to make of it.
    #[arg(long, value_enum, default_value_t = Format::Tree)]
    format: Format,
    /// Copy it from this snapshot.
    #[arg(long, value_name = "NAME", value_parser = parsed::<SnapshotName>)]
    snapshot: Option<SnapshotName>,
    /// What becomes of symbolic links that lead out of what is copied.
    #[arg(long, value_enum, default_value_t = OutwardLinks::Refuse)]
    links: OutwardLinks,
    /// Leave out what this glob matches.
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Most bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 256 << 30)]
    max_bytes: u64,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// The thing itself.
    Tree,
    /// A tar archive.
    Tar,
    /// A tar archive, compressed with gzip.
    #[value(name = "tar.gz")]
    TarGz,
    /// A tar archive, compressed with zstd.
    #[value(name = "tar.zst")]
    TarZst,
}

/// What becomes of links that lead out.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::commands) enum OutwardLinks {
    /// Fail.
    Refuse,
    /// Leave them out.
    Skip,
    /// Keep them as they are.
    Keep,
}

impl From<OutwardLinks> for Links {
    fn from(given: OutwardLinks) -> Self {
        match given {
            OutwardLinks::Refuse => Self::Refuse,
            OutwardLinks::Skip => Self::Skip,
            OutwardLinks::Keep => Self::Keep,
        }
    }
}

impl Export {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        let workspace = find(engine, &self.workspace, exit::FAILED)?;
        let to_stdout = self.output.as_os_str() == "-";
        if to_stdout && self.json {
            let hint = "leave out --json, or name a path with --output";
            let text = "standard output cannot take both the file and a JSON document";
            return Err(Failure::plain("usage", text.to_owned(), hint, exit::USAGE));
        }
        let spec = ExportSpec {
            path: self.path,
            format: match self.format {
                Format::Tree => ExportFormat::Tree,
                Format::Tar => ExportFormat::Tar(Compression::None),
                Format::TarGz => ExportFormat::Tar(Compression::Gzip),
                Format::TarZst => ExportFormat::Tar(Compression::Zstd),
            },
            target: if to_stdout {
                ExportTarget::Stream(Box::new(std::io::stdout()))
            } else {
                ExportTarget::Path(self.output.into())
            },
            links: self.links.into(),
            exclude: self.exclude,
            bytes_max: self.max_bytes,
            follow: false,
        };
        // What is drawn and what is copied out would be in each other's way.
        let bar = Transfer::new("exporting", self.json || (to_stdout && std::io::stdout().is_terminal()));
        let report = block_on(workspace.export(spec, self.snapshot.as_ref(), &mut |bytes| bar.moved(bytes)))?;
        drop(bar);
        let report = report.map_err(|error| failed(&error))?;
        if self.json {
            output::json(&workspace.describe_export(&report));
            return Ok(exit::OK);
        }
        for warning in &report.warnings {
            output::error_line(&format!("[warning] {warning}"));
        }
        let output_path = report.output_path.as_ref().map_or("-".into(), |path| path.display().to_string());
        let line = format!(
            "[workspace-export] workspace_id={} workspace_path={} output_path={output_path} artifact_type={} entry_count={} bytes_written={}",
            workspace.id(),
            report.workspace_path,
            report.artifact_type,
            report.entry_count,
            report.bytes_written
        );
        if to_stdout {
            output::error_line(&line);
        } else {
            output::line(&line);
        }
        Ok(exit::OK)
    }
}
