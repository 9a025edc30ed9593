//! Copies from guest to guest, through this process and never onto a disk of the host. This file must not decide where they go.

use super::CopyReport;
use super::error::CopyError;
use super::guest::Copied;
use super::guest::GuestSide;
use super::target::Kind;
use crate::workspace::error::WorkspaceError;
use crate::workspace::files::GuestPath;
use crate::workspace::files::WriteOptions;
use crate::workspace::transfer::Moved;

impl GuestSide {
    /// Copies what is at this path to one of another guest, or of the same.
    pub(super) async fn copy_across(self, to: &Self, moved: Moved<'_>) -> Result<CopyReport, WorkspaceError> {
        let source = self.source().await?;
        let kind = Kind::of(&source);
        let copied = Copied { kind, ending: self.ending, name: self.name() };
        let (path, there) = to.settle(copied).await?;
        if self.workspace.id() == to.workspace.id() && is_within(&path, &self.path) {
            return Err(CopyError::IntoItself { shown: self.shown() }.into());
        }
        let report = |artifact_type, entry_count, bytes_written, warnings| CopyReport {
            source: self.shown(),
            destination: to.shown_at(&path),
            artifact_type,
            entry_count,
            bytes_written,
            warnings,
        };
        if kind == Kind::Folder {
            let sent = self.workspace.send_across(&self.path, &to.workspace, &path, moved).await?;
            return Ok(report("directory", sent.entries, sent.bytes, sent.warnings));
        }
        let mode = if there.is_none() { Some(source.mode & 0o777) } else { None };
        let options = WriteOptions { mode, make_parents: false, create_new: false };
        let bytes =
            self.workspace.write_file_across(&self.path, &to.workspace, &path, &options, moved).await?;
        Ok(report("file", 1, bytes, Vec::new()))
    }
}

/// Whether a path is another, or below it.
fn is_within(path: &GuestPath, top: &GuestPath) -> bool {
    let rest = path.as_bytes().strip_prefix(top.as_bytes());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/") || top.as_bytes() == b"/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_within_itself_and_what_is_above_it() {
        let within =
            |path: &str, top: &str| is_within(&GuestPath::new(path).unwrap(), &GuestPath::new(top).unwrap());
        assert!(within("/a", "/a") && within("/a/b", "/a") && within("/a", "/"));
        assert!(!within("/ab", "/a") && !within("/a", "/a/b"));
    }
}
