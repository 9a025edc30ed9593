//! What there is at a path, and what is in a folder, as entries and not as documents. This file must not touch content.

use super::path::GuestPath;
use crate::guest::ToolError;
use crate::work::Work;
use crate::workspace::error::WorkspaceError;
use crate::workspace::handle::Workspace;
use pyro_proto::message::ErrorCode;
use pyro_proto::tool::Tool;
use pyro_proto::tree::Entry;
use pyro_proto::tree::Record;

/// Most entries of a folder that are listed at once.
const ENTRIES_MAX: u64 = 1_000_000;

impl Workspace {
    /// What there is at a path, if there is anything: with `follow` where links lead, else the link itself.
    ///
    /// # Errors
    /// [`WorkspaceError`]: the workspace is stopped, or something on the way is no folder.
    pub fn look_at<'a>(
        &'a self,
        path: &'a GuestPath,
        follow: bool,
    ) -> Work<'a, Result<Option<Entry>, WorkspaceError>> {
        Box::pin(async move {
            let tool = if follow { scan(path, 0) } else { Tool::Stat { path: path.to_wire() } };
            match self.entries_of(tool).await {
                Ok(entries) => Ok(entries.into_iter().next()),
                Err(WorkspaceError::Tool(ToolError::Refused(error))) if error.code == ErrorCode::NotFound => {
                    Ok(None)
                }
                Err(error) => Err(error),
            }
        })
    }

    /// What is in a folder, by name.
    ///
    /// # Errors
    /// [`WorkspaceError`]: the workspace is stopped, there is nothing at the path, or no folder, or there is too much in it.
    pub async fn folder_entries(&self, path: &GuestPath) -> Result<Vec<Entry>, WorkspaceError> {
        let mut entries = self.entries_of(scan(path, 1)).await?;
        entries.retain(|entry| !entry.path.is_root());
        if entries.len() as u64 >= ENTRIES_MAX {
            return Err(WorkspaceError::TooManyFiles { most: ENTRIES_MAX });
        }
        Ok(entries)
    }

    async fn entries_of(&self, tool: Tool) -> Result<Vec<Entry>, WorkspaceError> {
        let mut run = self.tool(tool, false, None).await?;
        let mut entries = Vec::new();
        while let Some(record) = run.next().await? {
            if let Record::Entry(entry) = record {
                entries.push(entry);
            }
        }
        Ok(entries)
    }
}

fn scan(path: &GuestPath, depth: u32) -> Tool {
    Tool::Scan { root: path.to_wire(), exclude: Vec::new(), depth_max: Some(depth), entries_max: ENTRIES_MAX }
}
