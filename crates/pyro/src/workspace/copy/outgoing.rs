//! Copies out of a guest: to a path of the host that is new or not, or as an archive. This file must not trust what a guest
//! sends: whoever makes files of it checks it.

use super::CopyReport;
use super::error::CopyError;
use super::guest::GuestSide;
use super::target;
use super::target::Ending;
use super::target::Kind;
use super::target::Target;
use crate::tree::Compression;
use crate::tree::Links;
use crate::workspace::error::StoreError;
use crate::workspace::error::WorkspaceError;
use crate::workspace::id::WorkspaceId;
use crate::workspace::transfer::ExportFormat;
use crate::workspace::transfer::ExportReport;
use crate::workspace::transfer::ExportSpec;
use crate::workspace::transfer::ExportTarget;
use crate::workspace::transfer::Moved;
use crate::workspace::transfer::PullSpec;
use std::ffi::OsStr;
use std::fs::Metadata;
use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::path::PathBuf;

/// Most bytes of one copy.
const BYTES_MAX: u64 = 1 << 40;

impl GuestSide {
    /// Copies what is at this path to one of the host.
    pub(super) async fn copy_out(
        self,
        to: &Path,
        links: Links,
        moved: Moved<'_>,
    ) -> Result<CopyReport, WorkspaceError> {
        let kind = Kind::of(&self.source().await?);
        let (path, there) = self.settle_on_host(kind, to)?;
        match (kind, &there) {
            (Kind::Folder, Some(_)) => self.pull_to(&path, links, moved).await,
            (_, None) => {
                let report = self.export_to(ExportTarget::Path(path.clone().into()), links, moved).await?;
                Ok(self.report(report, path.display().to_string()))
            }
            (_, Some(there)) if there.is_file() => self.replace(&path, there, links, moved).await,
            // A device or FIFO takes bytes and stays what it is.
            (_, Some(_)) => {
                let file = OpenOptions::new().write(true).open(&path);
                let file = file.map_err(|source| WorkspaceError::Output { path: path.clone(), source })?;
                let report = self.export_to(ExportTarget::Stream(Box::new(file)), links, moved).await?;
                Ok(self.report(report, path.display().to_string()))
            }
        }
    }

    /// Writes what is at this path as an archive.
    pub(super) async fn copy_archive_out(
        self,
        output: Box<dyn Write + Send>,
        links: Links,
        moved: Moved<'_>,
    ) -> Result<CopyReport, WorkspaceError> {
        let spec = ExportSpec {
            format: ExportFormat::Tar(Compression::None),
            ..self.export_spec(ExportTarget::Stream(output), links)
        };
        let report = self.workspace.export(spec, None, moved).await?;
        Ok(self.report(report, "-".to_owned()))
    }

    fn settle_on_host(&self, kind: Kind, to: &Path) -> Result<(PathBuf, Option<Metadata>), WorkspaceError> {
        let there = look(to)?;
        let ending = Ending::of(to.as_os_str().as_bytes());
        let at = (there.as_ref().map(kind_of), ending);
        match (target::target((kind, self.ending), at, &|| shown(to))?, self.name()) {
            (Target::Inside, Some(name)) => {
                let path = to.join(OsStr::from_bytes(name));
                let there = look(&path)?;
                target::check(kind, there.as_ref().map(kind_of), &|| shown(&path))?;
                Ok((path, there))
            }
            _ if there.is_some() => Ok((to.to_owned(), there)),
            _ => {
                let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty());
                let parent = parent.unwrap_or_else(|| Path::new("."));
                match look(parent)?.as_ref().map(kind_of) {
                    Some(Kind::Folder) => Ok((to.to_owned(), None)),
                    _ => Err(CopyError::NoFolder { shown: shown(parent) }.into()),
                }
            }
        }
    }

    fn export_spec(&self, target: ExportTarget, links: Links) -> ExportSpec {
        ExportSpec {
            path: OsStr::from_bytes(self.path.as_bytes()).to_owned(),
            format: ExportFormat::Tree,
            target,
            links,
            exclude: Vec::new(),
            bytes_max: BYTES_MAX,
            follow: true,
        }
    }

    async fn export_to(
        &self,
        target: ExportTarget,
        links: Links,
        moved: Moved<'_>,
    ) -> Result<ExportReport, WorkspaceError> {
        self.workspace.export(self.export_spec(target, links), None, moved).await
    }

    async fn pull_to(
        &self,
        path: &Path,
        links: Links,
        moved: Moved<'_>,
    ) -> Result<CopyReport, WorkspaceError> {
        let spec = PullSpec {
            source: OsStr::from_bytes(self.path.as_bytes()).to_owned(),
            target: path.into(),
            mirror: false,
            exclude: Vec::new(),
            ignore_files: false,
            links,
            bytes_max: BYTES_MAX,
            keep_kinds: true,
            dry_run: false,
        };
        let report = self.workspace.pull(&spec, moved).await?;
        Ok(CopyReport {
            source: self.shown(),
            destination: path.display().to_string(),
            artifact_type: "directory",
            entry_count: report.received.len() as u64,
            bytes_written: report.bytes_written,
            warnings: report.warnings.list().to_vec(),
        })
    }

    /// Puts a file in the place of one that is there, whose mode stays; whoever reads it sees the old content or the new.
    async fn replace(
        &self,
        path: &Path,
        there: &Metadata,
        links: Links,
        moved: Moved<'_>,
    ) -> Result<CopyReport, WorkspaceError> {
        let failed = |source| WorkspaceError::Output { path: path.to_owned(), source };
        // Where a link leads is what is replaced.
        let whole = std::fs::canonicalize(path).map_err(failed)?;
        let aside = whole
            .with_file_name(format!(".pyro-copy-{}", WorkspaceId::random().map_err(StoreError::Random)?));
        let report = self.export_to(ExportTarget::Path(aside.clone().into()), links, moved).await?;
        let put = std::fs::set_permissions(&aside, there.permissions())
            .and_then(|()| std::fs::rename(&aside, &whole));
        if let Err(source) = put {
            let _ = std::fs::remove_file(&aside);
            return Err(failed(source));
        }
        Ok(self.report(report, path.display().to_string()))
    }

    fn report(&self, report: ExportReport, destination: String) -> CopyReport {
        CopyReport {
            source: self.shown(),
            destination,
            artifact_type: report.artifact_type,
            entry_count: report.entry_count,
            bytes_written: report.bytes_written,
            warnings: report.warnings,
        }
    }
}

/// What there is at a path of the host, links followed.
fn look(path: &Path) -> Result<Option<Metadata>, CopyError> {
    match std::fs::metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CopyError::host(path, source)),
    }
}

fn kind_of(found: &Metadata) -> Kind {
    if found.is_dir() {
        Kind::Folder
    } else if found.is_file() {
        Kind::File
    } else {
        Kind::Special
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
