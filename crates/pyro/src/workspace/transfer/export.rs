//! Copying a path out of a workspace: a file, a folder or a link, to a new path of the host, or as an archive. This file must
//! not overwrite anything.

use super::Moved;
use super::guest_path;
use super::incoming::Records;
use super::incoming::receive_tree;
use super::outgoing::SourceError;
use super::seed::boxed;
use crate::guest::ToolRun;
use crate::host_path::HostPath;
use crate::secret::Needles;
use crate::tree::Compression;
use crate::tree::ExtractError;
use crate::tree::ExtractOptions;
use crate::tree::Extractor;
use crate::tree::Links;
use crate::tree::TarLimits;
use crate::tree::TarWriter;
use crate::tree::TreePath;
use crate::tree::Warnings;
use crate::workspace::error::WorkspaceError;
use crate::workspace::files::FilesError;
use crate::workspace::files::GuestPath;
use crate::workspace::handle::Workspace;
use pyro_proto::ByteString;
use pyro_proto::tool::ScanDone;
use pyro_proto::tool::Tool;
use pyro_proto::tree::Entry;
use pyro_proto::tree::EntryKind;
use pyro_proto::tree::Record;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

/// What an export makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExportFormat {
    /// The thing itself.
    #[default]
    Tree,
    /// A tar archive of it.
    Tar(Compression),
}

/// Where an export goes.
pub enum ExportTarget {
    /// A path that does not exist.
    Path(HostPath),
    /// A stream; only an archive, or one file, can go there.
    Stream(Box<dyn Write + Send>),
}

/// An export.
pub struct ExportSpec {
    /// What: relative paths are below the workspace.
    pub path: OsString,
    /// As what.
    pub format: ExportFormat,
    /// Where to.
    pub target: ExportTarget,
    /// What becomes of links that lead out of the tree.
    pub links: Links,
    /// Globs of what is left out.
    pub exclude: Vec<String>,
    /// Most bytes.
    pub bytes_max: u64,
    /// Where a link leads is copied, if the path is one, and not the link.
    pub follow: bool,
}

/// What an export did.
#[derive(Clone, Debug)]
pub struct ExportReport {
    /// The path in the guest.
    pub workspace_path: String,
    /// Where it went; nothing for a stream.
    pub output_path: Option<PathBuf>,
    /// `file`, `directory` or `symlink`.
    pub artifact_type: &'static str,
    /// Files, folders and links.
    pub entry_count: u64,
    /// Bytes of files.
    pub bytes_written: u64,
    /// What was left out.
    pub warnings: Vec<String>,
}

impl Workspace {
    /// Copies a path of a running workspace out.
    ///
    /// # Errors
    /// [`WorkspaceError`]; nothing is then left at the target.
    pub(in crate::workspace) async fn export_running(
        &self,
        spec: ExportSpec,
        moved: Moved<'_>,
    ) -> Result<ExportReport, WorkspaceError> {
        let root = guest_path(spec.path.as_bytes());
        let path = GuestPath::new(spec.path.as_bytes()).map_err(FilesError::from)?;
        if !spec.follow
            && let Some(link) = self.lone_link(&path).await?
        {
            let needles = Arc::new(self.needles().await?);
            return export(
                &mut Lone(vec![Record::Done(b"{}".to_vec()), Record::Entry(link)]),
                needles,
                spec,
                &root,
                moved,
            )
            .await;
        }
        let send = Tool::Send {
            root: ByteString(root.clone()),
            exclude: spec.exclude.iter().map(|glob| glob.as_str().into()).collect(),
            listed: false,
            bytes_max: spec.bytes_max,
        };
        let activity = Some(format!("export {}", String::from_utf8_lossy(&root)));
        let run = self.tool(send, false, activity).await?;
        export(&mut FromGuest::new(run), Arc::new(self.needles().await?), spec, &root, moved).await
    }

    /// What is at a path, if it is a link: what is sent of a tree is what its root leads to.
    async fn lone_link(&self, path: &GuestPath) -> Result<Option<Entry>, WorkspaceError> {
        let found = self.look_at(path, false).await?;
        Ok(found.filter(|entry| entry.kind == EntryKind::Symlink).map(|mut entry| {
            entry.path = TreePath::default();
            entry
        }))
    }
}

/// Records that are known already, the last first.
struct Lone(Vec<Record>);

impl Records for Lone {
    async fn next(&mut self) -> Result<Option<Record>, WorkspaceError> {
        Ok(self.0.pop())
    }
}

/// Makes of a tree what an export asks for.
pub(in crate::workspace) async fn export(
    records: &mut impl Records,
    needles: Arc<Needles>,
    spec: ExportSpec,
    root: &[u8],
    moved: Moved<'_>,
) -> Result<ExportReport, WorkspaceError> {
    let workspace_path = String::from_utf8_lossy(root).into_owned();
    let output_path = match &spec.target {
        ExportTarget::Path(path) => Some(path.shown().to_owned()),
        ExportTarget::Stream(_) => None,
    };
    let name = root.rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec();
    let made = receive_tree(records, needles, move |next| make(next, spec, &name), moved).await?;
    Ok(ExportReport {
        workspace_path,
        output_path,
        artifact_type: match made.kind {
            EntryKind::Directory => "directory",
            EntryKind::Symlink => "symlink",
            EntryKind::File | EntryKind::HardLink | EntryKind::Special => "file",
        },
        entry_count: made.entries,
        bytes_written: made.bytes,
        warnings: made.warnings,
    })
}

struct Made {
    kind: EntryKind,
    entries: u64,
    bytes: u64,
    warnings: Vec<String>,
}

fn make(
    next: &mut dyn FnMut() -> Option<Record>,
    spec: ExportSpec,
    name: &[u8],
) -> Result<Made, SourceError> {
    match (spec.format, spec.target) {
        (ExportFormat::Tree, ExportTarget::Path(path)) => {
            let options =
                ExtractOptions { links: spec.links, bytes_max: spec.bytes_max, ..ExtractOptions::default() };
            let mut extractor = Extractor::create(path, options).map_err(boxed)?;
            while let Some(record) = next() {
                extractor.record(record).map_err(boxed)?;
            }
            let done = extractor.finish().map_err(boxed)?;
            let warnings = done.warnings.list().to_vec();
            Ok(Made { kind: done.kind, entries: done.entries, bytes: done.bytes, warnings })
        }
        (ExportFormat::Tree, ExportTarget::Stream(mut out)) => one_file(next, out.as_mut(), spec.bytes_max),
        (ExportFormat::Tar(compression), ExportTarget::Stream(out)) => {
            archive(next, out, compression, name, spec.bytes_max)
        }
        (ExportFormat::Tar(compression), ExportTarget::Path(path)) => {
            let failed = |source| boxed(WorkspaceError::Output { path: path.shown().to_owned(), source });
            let file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path.path());
            let file = file.map_err(failed)?;
            let packed =
                archive(next, Box::new(std::io::BufWriter::new(file)), compression, name, spec.bytes_max);
            packed.inspect_err(|_| drop(std::fs::remove_file(path.path())))
        }
    }
}

fn archive(
    next: &mut dyn FnMut() -> Option<Record>,
    out: Box<dyn Write + Send>,
    compression: Compression,
    name: &[u8],
    bytes_max: u64,
) -> Result<Made, SourceError> {
    let limits = TarLimits { bytes_max, ..TarLimits::default() };
    let mut writer = TarWriter::new(out, compression, name, limits).map_err(boxed)?;
    let mut kind = None;
    while let Some(record) = next() {
        if let Record::Entry(entry) = &record {
            kind.get_or_insert(entry.kind);
        }
        writer.record(record).map_err(boxed)?;
    }
    let (_, written) = writer.finish().map_err(boxed)?;
    let warnings = written.warnings.list().to_vec();
    let kind = kind.unwrap_or(EntryKind::Directory);
    Ok(Made { kind, entries: written.entries, bytes: written.bytes, warnings })
}

/// A single file's content.
fn one_file(
    next: &mut dyn FnMut() -> Option<Record>,
    out: &mut dyn Write,
    bytes_max: u64,
) -> Result<Made, SourceError> {
    let mut made = Made { kind: EntryKind::File, entries: 0, bytes: 0, warnings: Vec::new() };
    let mut warnings = Warnings::default();
    // Holes are written out, so that they count.
    let take = |made: &mut Made, bytes: u64| -> Result<(), SourceError> {
        let sum = made.bytes.checked_add(bytes).filter(|sum| *sum <= bytes_max);
        made.bytes = sum.ok_or_else(|| boxed(ExtractError::TooLarge { bytes_max }))?;
        Ok(())
    };
    let failed = |source| boxed(WorkspaceError::Caller { operation: "writing the output", source });
    while let Some(record) = next() {
        match record {
            Record::Entry(entry) if entry.kind == EntryKind::File && made.entries == 0 => made.entries = 1,
            Record::Entry(_) => return Err(boxed(WorkspaceError::NotOneFile)),
            Record::Data(bytes) => {
                take(&mut made, bytes.len() as u64)?;
                out.write_all(&bytes).map_err(failed)?;
            }
            Record::Hole(bytes) => {
                take(&mut made, bytes)?;
                std::io::copy(&mut std::io::Read::take(std::io::repeat(0), bytes), out).map_err(failed)?;
            }
            Record::Warning(text) => warnings.add(text),
            _ => {}
        }
    }
    out.flush().map_err(failed)?;
    made.warnings = warnings.list().to_vec();
    Ok(made)
}

/// Records of a tool.
pub(super) struct FromGuest {
    run: Option<ToolRun>,
}

impl FromGuest {
    pub(super) const fn new(run: ToolRun) -> Self {
        Self { run: Some(run) }
    }
}

impl Records for FromGuest {
    async fn next(&mut self) -> Result<Option<Record>, WorkspaceError> {
        let Some(run) = &mut self.run else { return Ok(None) };
        if let Some(record) = run.next().await? {
            return Ok(Some(record));
        }
        let Some(run) = self.run.take() else { return Ok(None) };
        let done: ScanDone = run.done().await?;
        Ok(Some(Record::Done(serde_json::to_vec(&done).unwrap_or_default())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code;

    fn exported(records: Vec<Record>, bytes_max: u64) -> Result<(u64, Vec<u8>), &'static str> {
        let entry = Entry::new(TreePath::default(), EntryKind::File);
        let mut records = [Record::Entry(entry)].into_iter().chain(records).chain([Record::End]);
        let mut out = Vec::new();
        let made = one_file(&mut || records.next(), &mut out, bytes_max);
        made.map(|made| (made.bytes, out)).map_err(|error| error.code())
    }

    #[test]
    fn a_file_has_no_more_bytes_than_were_asked_for() {
        let data = || Record::Data(b"abc".to_vec());
        assert_eq!(exported(vec![data(), Record::Hole(2)], 5), Ok((5, b"abc\0\0".to_vec())));
        assert_eq!(exported(vec![data(), data()], 5), Err(code::QUOTA_EXCEEDED));
        assert_eq!(exported(vec![data(), Record::Hole(u64::MAX)], 5), Err(code::QUOTA_EXCEEDED));
    }
}
