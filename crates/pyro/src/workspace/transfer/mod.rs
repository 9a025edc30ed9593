//! Trees on their way between the host and a workspace's guest. Reading and writing the host's files blocks and is done on
//! threads; bounded channels between them and the guest are the back-pressure. This folder must not decide what is sent.
//!
//! ```text
//!   seed, push:    folder, archive, clone -- thread: walk, encode --> channel --> tool Receive
//!   pull, export:  tool Send --> channel --> thread: extract, or pack --> folder, file, archive
//!   across:        tool Send --> channel --> thread: encode --> channel --> tool Receive of another guest
//! ```

mod across;
mod export;
mod incoming;
mod outgoing;
mod pull;
mod push;
mod seed;
mod watch;

pub use export::ExportFormat;
pub use export::ExportReport;
pub use export::ExportSpec;
pub use export::ExportTarget;
pub(super) use export::export;
pub(super) use incoming::Records;
pub use pull::PullReport;
pub use pull::PullSpec;
pub use push::PushReport;
pub use push::PushSpec;
pub(super) use seed::Source;
pub(super) use seed::open;
pub(super) use seed::seed;

use super::copy::CopyError;
use super::error::WorkspaceError;
use super::handle::Workspace;
use crate::guest::ToolError;
use pyro_proto::ByteString;
use pyro_proto::message::ErrorCode;
use pyro_proto::tool::ScanDone;
use pyro_proto::tool::Tool;
use pyro_proto::tree::Entry;
use pyro_proto::tree::EntryKind;
use pyro_proto::tree::Record;
use pyro_proto::tree::TreePath;
use std::collections::HashMap;

/// Most entries of a tree in a guest that are kept in memory at once.
const SCAN_ENTRIES_MAX: u64 = 5_000_000;

/// Told how many bytes have gone over so far.
pub type Moved<'a> = &'a mut (dyn FnMut(u64) + Send);

impl Workspace {
    /// Everything below a folder of the guest; nothing when there is none.
    async fn scan(&self, root: &[u8]) -> Result<Vec<Entry>, WorkspaceError> {
        let scan = Tool::Scan {
            root: ByteString(root.to_vec()),
            exclude: Vec::new(),
            depth_max: None,
            entries_max: SCAN_ENTRIES_MAX,
        };
        let mut run = self.tool(scan, false, None).await?;
        let mut entries = Vec::new();
        loop {
            match run.next().await {
                Ok(Some(Record::Entry(entry))) => entries.push(entry),
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) if is_missing(&error) => return Ok(Vec::new()),
                Err(error) => return Err(error.into()),
            }
        }
        let done: ScanDone = run.done().await?;
        if done.truncated {
            return Err(WorkspaceError::TooManyFiles { most: SCAN_ENTRIES_MAX });
        }
        Ok(entries)
    }
}

/// Refuses a tree of which a folder is on the other side something that is none, or the other way round.
fn check_kinds<'a>(
    source: impl IntoIterator<Item = &'a Entry>,
    there: impl IntoIterator<Item = &'a Entry>,
) -> Result<(), WorkspaceError> {
    let is_folder = |entry: &Entry| entry.kind == EntryKind::Directory;
    let there: HashMap<&TreePath, bool> =
        there.into_iter().map(|entry| (&entry.path, is_folder(entry))).collect();
    for entry in source {
        let shown = || entry.path.to_string();
        match there.get(&entry.path) {
            Some(false) if is_folder(entry) => {
                return Err(CopyError::FolderOntoFile { shown: shown() }.into());
            }
            Some(true) if !is_folder(entry) => {
                return Err(CopyError::FileOntoFolder { shown: shown() }.into());
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether there is nothing at the path asked for.
fn is_missing(error: &ToolError) -> bool {
    matches!(error, ToolError::Refused(error) if error.code == ErrorCode::NotFound)
}

/// A guest path as users write it: relative ones are below the workspace.
pub(super) fn guest_path(given: &[u8]) -> Vec<u8> {
    if given.starts_with(b"/") {
        return given.to_vec();
    }
    let relative = given.strip_prefix(b"./").unwrap_or(given);
    if relative.is_empty() || relative == b"." {
        return super::WORKSPACE_PATH.as_bytes().to_vec();
    }
    [super::WORKSPACE_PATH.as_bytes(), b"/", relative].concat()
}
