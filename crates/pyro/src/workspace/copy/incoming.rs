//! Copies into a guest: a file of the host, a folder, an archive. This file must not decide where they go.

use super::CopyReport;
use super::error::CopyError;
use super::guest::Copied;
use super::guest::GuestSide;
use super::target::Ending;
use super::target::Kind;
use crate::workspace::error::WorkspaceError;
use crate::workspace::files::GuestPath;
use crate::workspace::files::WriteOptions;
use crate::workspace::transfer::Moved;
use crate::workspace::transfer::PushSpec;
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use tokio::io::AsyncRead;
use tokio::io::ReadBuf;

/// Permission bits that a new file takes over.
const MODE_BITS: u32 = 0o777;

impl GuestSide {
    /// Copies a path of the host to this one.
    pub(super) async fn copy_in(self, from: &Path, moved: Moved<'_>) -> Result<CopyReport, WorkspaceError> {
        let unreadable = |source| CopyError::host(from, source);
        let metadata = std::fs::metadata(from).map_err(unreadable)?;
        let whole = std::fs::canonicalize(from).map_err(unreadable)?;
        // A link is called what it is called, and not what it leads to.
        let name = from.file_name().or_else(|| whole.file_name()).map(OsStr::as_bytes);
        let kind = if metadata.is_dir() { Kind::Folder } else { Kind::File };
        let copied = Copied { kind, ending: Ending::of(from.as_os_str().as_bytes()), name };
        let (path, there) = self.settle(copied).await?;
        if kind == Kind::Folder {
            return self.push_in(from, &path, moved).await;
        }
        let mode = if there.is_none() { Some(metadata.permissions().mode() & MODE_BITS) } else { None };
        let opened = tokio::fs::File::open(from).await.map_err(unreadable)?;
        let mut content = Counted { content: opened, bytes: 0, moved };
        let options = WriteOptions { mode, make_parents: false, create_new: false };
        self.workspace.write_file(&path, &mut content, &options).await?;
        Ok(CopyReport {
            source: from.display().to_string(),
            destination: self.shown_at(&path),
            artifact_type: "file",
            entry_count: 1,
            bytes_written: content.bytes,
            warnings: Vec::new(),
        })
    }

    async fn push_in(
        &self,
        from: &Path,
        path: &GuestPath,
        moved: Moved<'_>,
    ) -> Result<CopyReport, WorkspaceError> {
        let spec = PushSpec {
            source: from.into(),
            destination: OsStr::from_bytes(path.as_bytes()).to_owned(),
            mirror: false,
            exclude: Vec::new(),
            ignore_files: false,
            keep_kinds: true,
            dry_run: false,
        };
        let report = self.workspace.push(&spec, moved).await?;
        Ok(CopyReport {
            source: from.display().to_string(),
            destination: self.shown_at(path),
            artifact_type: "directory",
            entry_count: report.entry_count,
            bytes_written: report.bytes_written,
            warnings: report.warnings.list().to_vec(),
        })
    }

    /// Unpacks an archive into this folder.
    pub(super) async fn copy_archive_in(
        self,
        input: Box<dyn Read + Send>,
        moved: Moved<'_>,
    ) -> Result<CopyReport, WorkspaceError> {
        match self.look(&self.path).await?.as_ref().map(Kind::of) {
            Some(Kind::Folder) => {}
            Some(_) => return Err(CopyError::NotAFolder { shown: self.shown() }.into()),
            None => return Err(CopyError::NoFolder { shown: self.shown() }.into()),
        }
        let report = self.workspace.push_stream(input, self.path.as_bytes(), moved).await?;
        Ok(CopyReport {
            source: "-".to_owned(),
            destination: self.shown(),
            artifact_type: "tar_archive",
            entry_count: report.entry_count,
            bytes_written: report.bytes_written,
            warnings: report.warnings.list().to_vec(),
        })
    }
}

/// Content that is counted as it is read.
struct Counted<'a, 'm> {
    content: tokio::fs::File,
    bytes: u64,
    moved: &'a mut (dyn FnMut(u64) + Send + 'm),
}

impl AsyncRead for Counted<'_, '_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.content).poll_read(context, buffer);
        let count = buffer.filled().len() - before;
        if count > 0 {
            self.bytes += count as u64;
            let bytes = self.bytes;
            (self.moved)(bytes);
        }
        read
    }
}
