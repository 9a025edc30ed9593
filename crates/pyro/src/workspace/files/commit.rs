//! What a patch does, put in place in the guest: everything or nothing. This file must not decide what is done.
//!
//! ```text
//!   Expect*   each file is still the one that the patch was applied to
//!   Delete*   Prune* Expect*   folders whose place a file takes must be empty then
//!   Entry*    written aside, put in place by renames
//!   Prune*    folders that the deletions emptied, as git has it
//! ```
//!
//! Between the look and the rename of one file lie microseconds of the guest's own; a program that writes into a file it has
//! open in these, or within the clock tick of its last change without changing the size, is not noticed.

use super::fetch::Fetched;
use super::path::GuestPath;
use crate::patch::Action;
use crate::patch::Change;
use crate::patch::WrittenKind;
use crate::workspace::error::WorkspaceError;
use crate::workspace::handle::Workspace;
use pyro_proto::tool::ReceiveDone;
use pyro_proto::tool::Tool;
use pyro_proto::tree::DATA_BYTES_MAX;
use pyro_proto::tree::Entry;
use pyro_proto::tree::EntryKind;
use pyro_proto::tree::Record;
use pyro_proto::tree::Timestamp;
use pyro_proto::tree::TreePath;
use std::collections::BTreeSet;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

impl Workspace {
    /// Puts changes in place, if the files are still as they were fetched.
    pub(super) async fn commit(
        &self,
        root: &GuestPath,
        looked_at: &[TreePath],
        fetched: &Fetched,
        changes: &[Change],
    ) -> Result<ReceiveDone, WorkspaceError> {
        let tool = Tool::Receive { root: root.to_wire(), staged: true, report: false };
        let mut run = self.tool(tool, true, Some(format!("patch-apply {root}"))).await?;
        for path in looked_at {
            run.send(&Record::Expect(expected(path, fetched))).await?;
        }
        for record in deletions(fetched, changes) {
            run.send(&record).await?;
        }
        let now = now();
        for Change { path, action } in changes {
            let Action::Write { kind, mode, content, source } = action else { continue };
            // Who owned the file, or the one it was made from, owns it.
            let owner = source.as_ref().or(Some(path)).and_then(|path| fetched.entry(path));
            let owner = owner.filter(|entry| entry.kind != EntryKind::Directory);
            let (uid, gid) = owner.map_or((0, 0), |entry| (entry.uid, entry.gid));
            let entry =
                Entry { mode: *mode, uid, gid, mtime: now, ..Entry::new(path.clone(), EntryKind::File) };
            match kind {
                WrittenKind::Symlink => {
                    let entry = Entry { kind: EntryKind::Symlink, target: content.clone(), ..entry };
                    run.send(&Record::Entry(entry)).await?;
                }
                WrittenKind::File => {
                    let entry = Entry { size_bytes: content.len() as u64, ..entry };
                    run.send(&Record::Entry(entry)).await?;
                    for piece in content.chunks(DATA_BYTES_MAX) {
                        run.send(&Record::Data(piece.to_vec())).await?;
                    }
                    run.send(&Record::End).await?;
                }
            }
        }
        for folder in emptied(changes).into_iter().rev() {
            run.send(&Record::Prune(folder)).await?;
        }
        run.send(&Record::Done(b"{}".to_vec())).await?;
        Ok(run.done().await?)
    }
}

/// What must still be at a path.
fn expected(path: &TreePath, fetched: &Fetched) -> Entry {
    let nothing = || Entry::new(path.clone(), EntryKind::File);
    let Some(entry) = fetched.entry(path) else { return nothing() };
    let kind = if entry.kind == EntryKind::HardLink { EntryKind::File } else { entry.kind };
    Entry { kind, target: Vec::new(), ..entry.clone() }
}

/// Everything that goes before something comes.
fn deletions(fetched: &Fetched, changes: &[Change]) -> Vec<Record> {
    let deleted = changes.iter().filter(|change| change.action == Action::Delete);
    let mut records: Vec<Record> = deleted.map(|change| Record::Delete(change.path.clone())).collect();
    let is_folder =
        |path: &TreePath| fetched.entry(path).is_some_and(|entry| entry.kind == EntryKind::Directory);
    let replaced = changes.iter().filter(|change| change.action != Action::Delete && is_folder(&change.path));
    let emptied = emptied(changes);
    for Change { path, .. } in replaced {
        let inside =
            |folder: &&TreePath| folder.components().take(path.components().count()).eq(path.components());
        records.extend(emptied.iter().rev().filter(inside).cloned().map(Record::Prune));
        records.push(Record::Expect(Entry::new(path.clone(), EntryKind::File)));
    }
    records
}

/// The folders above what goes, each before those in it.
fn emptied(changes: &[Change]) -> BTreeSet<TreePath> {
    let mut folders = BTreeSet::new();
    for change in changes.iter().filter(|change| change.action == Action::Delete) {
        let mut next = change.path.parent();
        while let Some(folder) = next.filter(|folder| !folder.is_root()) {
            next = folder.parent();
            folders.insert(folder);
        }
    }
    folders
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp { s: i64::try_from(since.as_secs()).unwrap_or(0), ns: since.subsec_nanos() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(path: &str) -> TreePath {
        TreePath::new(path.as_bytes()).unwrap()
    }

    #[test]
    fn folders_are_tried_from_the_inside() {
        let delete = |at: &str| Change { path: path(at), action: Action::Delete };
        let found: Vec<_> =
            emptied(&[delete("a/b/c"), delete("a/d"), delete("e")]).into_iter().rev().collect();
        assert_eq!(found, [path("a/b"), path("a")]);
    }
}
