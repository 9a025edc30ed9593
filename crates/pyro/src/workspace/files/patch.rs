//! Applying a patch to a workspace's files: all of it or nothing, and never over a change that the patch has not seen. What a
//! patch means is decided by [`crate::patch`]; this file must not read one.

use super::fetch::Fetched;
use super::path::GuestPath;
use super::show;
use crate::patch::Applied;
use crate::patch::ApplyOptions;
use crate::patch::FileReport;
use crate::patch::ParseOptions;
use crate::patch::Patch;
use crate::patch::Status;
use crate::patch::apply;
use crate::work::Work;
use crate::workspace::error::WorkspaceError;
use crate::workspace::files::FilesError;
use crate::workspace::handle::Workspace;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

/// How to apply a patch.
#[derive(Clone, Debug)]
pub struct PatchOptions {
    /// The folder that its paths are below.
    pub directory: GuestPath,
    /// Components to take from the front of each name; found out for each file when absent.
    pub strip: Option<u8>,
    /// Take it back instead.
    pub reverse: bool,
    /// Most lines of context that may be left out at either end of a hunk.
    pub fuzz_max: u8,
    /// Say what would be done, and do nothing.
    pub dry_run: bool,
}

impl Default for PatchOptions {
    fn default() -> Self {
        Self { directory: GuestPath::workspace(), strip: None, reverse: false, fuzz_max: 0, dry_run: false }
    }
}

impl Workspace {
    /// Applies a patch as git or `diff -u` writes it: `{workspace_id, directory, changed, dry_run, total, added, modified,
    /// deleted, renamed, entries[{path, status, binary, hunks[], ...}]}`. A copy counts as added, a change of mode as modified.
    ///
    /// # Errors
    /// [`WorkspaceError`]: the workspace is stopped, the patch is none or does not fit, a file changed meanwhile, the guest's
    /// disk is full. Nothing is changed then.
    pub fn apply_patch<'a>(
        &'a self,
        patch: &'a [u8],
        options: &'a PatchOptions,
    ) -> Work<'a, Result<Value, WorkspaceError>> {
        Box::pin(async move {
            let parsing = ParseOptions { strip: options.strip, ..ParseOptions::default() };
            let patch = Patch::parse_with(patch, &parsing).map_err(FilesError::from)?;
            let needed = patch.paths_needed().map_err(FilesError::from)?;
            let fetched: Fetched = self
                .fetch(&options.directory, needed.iter().map(|needed| needed.path.clone()).collect())
                .await?;
            let applying = ApplyOptions { fuzz_max: options.fuzz_max, reverse: options.reverse };
            let applied = apply(&patch, &fetched, &applying).map_err(FilesError::from)?;
            if !options.dry_run && !applied.changes.is_empty() {
                let looked_at: Vec<_> =
                    needed.into_iter().filter(|needed| needed.content).map(|needed| needed.path).collect();
                self.commit(&options.directory, &looked_at, &fetched, &applied.changes).await?;
            }
            Ok(document(self.folder.id().as_str(), options, &applied))
        })
    }
}

fn document(workspace: &str, options: &PatchOptions, applied: &Applied) -> Value {
    let count =
        |wanted: &[Status]| applied.reports.iter().filter(|report| wanted.contains(&report.status)).count();
    let mut map = Map::new();
    show::put(&mut map, "directory", options.directory.as_bytes());
    let rest = json!({
        "workspace_id": workspace,
        "changed": !applied.changes.is_empty() && !options.dry_run,
        "dry_run": options.dry_run,
        "reverse": options.reverse,
        "total": applied.reports.len(),
        "added": count(&[Status::Added, Status::Copied]),
        "modified": count(&[Status::Modified, Status::ModeChanged]),
        "deleted": count(&[Status::Deleted]),
        "renamed": count(&[Status::Renamed]),
        "entries": applied.reports.iter().map(entry).collect::<Vec<_>>(),
    });
    show::merge(&mut map, rest);
    map.into()
}

fn entry(report: &FileReport) -> Value {
    let mut map = Map::new();
    show::put(&mut map, "path", report.path.as_bytes());
    if let Some(from) = &report.from {
        show::put(&mut map, "from", from.as_bytes());
    }
    let hunks = report.hunks.iter().map(
        |hunk| json!({ "hunk": hunk.hunk, "line": hunk.line, "offset": hunk.offset, "fuzz": hunk.fuzz }),
    );
    map.insert("status".to_owned(), report.status.name().into());
    map.insert("binary".to_owned(), report.binary.into());
    map.insert("hunks".to_owned(), hunks.collect());
    map.into()
}
