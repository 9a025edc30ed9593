//! The files that a patch is about, as they are now: one tool run, whose answer is bounded by its bytes. This file must not
//! know patches.

use super::error::FilesError;
use super::limits::PATCHED_BYTES_MAX;
use super::path::GuestPath;
use crate::guest::ToolError;
use crate::guest::ToolRun;
use crate::patch::Current;
use crate::patch::CurrentKind;
use crate::patch::Files;
use crate::workspace::error::WorkspaceError;
use crate::workspace::handle::Workspace;
use pyro_proto::tool::Tool;
use pyro_proto::tree::Entry;
use pyro_proto::tree::EntryKind;
use pyro_proto::tree::Record;
use pyro_proto::tree::TreePath;
use std::collections::BTreeMap;

/// A part of a tree, as it was when it was asked for.
#[derive(Debug, Default)]
pub(super) struct Fetched {
    found: BTreeMap<TreePath, Found>,
}

#[derive(Debug)]
struct Found {
    entry: Entry,
    /// A file's bytes.
    content: Vec<u8>,
}

impl Fetched {
    /// What was at a path.
    pub(super) fn entry(&self, path: &TreePath) -> Option<&Entry> {
        self.found.get(path).map(|found| &found.entry)
    }
}

impl Files for Fetched {
    fn get(&self, path: &TreePath) -> Option<Current<'_>> {
        let Found { entry, content } = self.found.get(path)?;
        let (kind, content) = match entry.kind {
            EntryKind::File | EntryKind::HardLink => (CurrentKind::File, content),
            EntryKind::Symlink => (CurrentKind::Symlink, &entry.target),
            EntryKind::Directory => (CurrentKind::Directory, content),
            EntryKind::Special => (CurrentKind::Special, content),
        };
        Some(Current { kind, mode: entry.mode, content })
    }
}

impl Workspace {
    /// Fetches what is at these paths; what is not there, or below a link, is left out.
    pub(super) async fn fetch(
        &self,
        root: &GuestPath,
        paths: Vec<TreePath>,
    ) -> Result<Fetched, WorkspaceError> {
        let tool =
            Tool::Send { root: root.to_wire(), exclude: vec![], listed: true, bytes_max: PATCHED_BYTES_MAX };
        let entries_max = paths.len() + 1;
        let mut run = self.tool(tool, true, Some(format!("patch-read {root}"))).await?;
        let input = run.take_input();
        // It answers as it reads, so both have to go on at once.
        let ask = async move {
            let Some(mut input) = input else { return Ok(()) };
            for path in paths {
                input.send(&Record::Path(path)).await?;
            }
            input.finish().await
        };
        let (asked, fetched) = tokio::join!(ask, take(root, run, entries_max));
        // A tool that fails stops reading, and its own reason is the better one.
        let fetched = fetched?;
        asked.map_err(ToolError::from)?;
        Ok(fetched)
    }
}

/// A guest gives no more than it was asked for, and each content counts, also one that it says is another's.
async fn take(root: &GuestPath, mut run: ToolRun, entries_max: usize) -> Result<Fetched, WorkspaceError> {
    let mut fetched = Fetched::default();
    let mut last: Option<TreePath> = None;
    let mut left = PATCHED_BYTES_MAX;
    while let Some(record) = run.next().await? {
        match record {
            Record::Entry(entry) => {
                if fetched.found.len() >= entries_max {
                    return Err(ToolError::Protocol { reason: "more files than were asked for" }.into());
                }
                last = Some(fetched.begin(entry, &mut left, root)?);
            }
            Record::Data(bytes) => {
                fetched.add(last.as_ref(), &mut left, bytes.len() as u64, root, |content| {
                    content.extend_from_slice(&bytes);
                })?;
            }
            Record::Hole(bytes) => fetched.add(last.as_ref(), &mut left, bytes, root, |content| {
                content.resize(content.len() + usize::try_from(bytes).unwrap_or(0), 0);
            })?,
            _ => {}
        }
    }
    Ok(fetched)
}

impl Fetched {
    fn begin(&mut self, entry: Entry, left: &mut u64, root: &GuestPath) -> Result<TreePath, WorkspaceError> {
        let path = entry.path.clone();
        let mut content = Vec::new();
        if entry.kind == EntryKind::HardLink {
            // The codec has checked that it is a path.
            let first = TreePath::new(entry.target.as_slice()).unwrap_or_default();
            let first = self.found.get(&first).ok_or(ToolError::Protocol { reason: "a link to nothing" })?;
            spend(left, first.content.len() as u64, root, &path)?;
            content.clone_from(&first.content);
        }
        self.found.insert(path.clone(), Found { entry, content });
        Ok(path)
    }

    /// Adds to the file that began last, unless all together become too much.
    fn add(
        &mut self,
        last: Option<&TreePath>,
        left: &mut u64,
        bytes: u64,
        root: &GuestPath,
        add: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), WorkspaceError> {
        let found = last.and_then(|last| self.found.get_mut(last));
        let found = found.ok_or(ToolError::Protocol { reason: "content without its file" })?;
        spend(left, bytes, root, &found.entry.path)?;
        add(&mut found.content);
        Ok(())
    }
}

fn spend(left: &mut u64, bytes: u64, root: &GuestPath, path: &TreePath) -> Result<(), WorkspaceError> {
    *left = left.checked_sub(bytes).ok_or_else(|| FilesError::TooLarge {
        path: String::from_utf8_lossy(&root.below(path)).into_owned(),
        most: PATCHED_BYTES_MAX,
        what: "a patch's files may have together",
    })?;
    Ok(())
}
