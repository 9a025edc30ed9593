//! Describing, moving and removing one thing. This file must not touch content.

use super::path::GuestPath;
use super::show;
use crate::guest::ToolError;
use crate::workspace::error::WorkspaceError;
use crate::workspace::handle::Workspace;
use pyro_proto::tool::Tool;
use pyro_proto::tree::Record;
use serde_json::Map;
use serde_json::Value;

impl Workspace {
    /// Describes one thing, a link itself: an entry as in a list, with `workspace_id`, `inode` and `ctime`.
    ///
    /// # Errors
    /// [`WorkspaceError`]: the workspace is stopped, there is nothing at the path.
    pub async fn stat_file(&self, path: &GuestPath) -> Result<Value, WorkspaceError> {
        let tool = Tool::Stat { path: path.to_wire() };
        let mut run = self.tool(tool, false, Some(format!("file-stat {path}"))).await?;
        let mut found = None;
        while let Some(record) = run.next().await? {
            if let Record::Entry(entry) = record {
                found = Some(entry);
            }
        }
        let entry = found.ok_or(ToolError::Protocol { reason: "no entry" })?;
        let mut map = show::entry(path.as_bytes(), &entry);
        map.insert("inode".to_owned(), entry.inode.into());
        map.insert("ctime".to_owned(), show::seconds(entry.ctime));
        Ok(self.with_id(map))
    }

    /// Removes a file or a link, or, if `recursive`, a folder with all that is in it: `{workspace_id, path, deleted}`. Mount
    /// points stay, and `/workspace` is one.
    ///
    /// # Errors
    /// [`WorkspaceError`]: the workspace is stopped, there is nothing at the path, it is a folder or a mount point.
    pub async fn delete_file(&self, path: &GuestPath, recursive: bool) -> Result<Value, WorkspaceError> {
        let tool = Tool::Delete { path: path.to_wire(), recursive };
        self.tool_result::<Value>(tool, Some(format!("file-delete {path}"))).await?;
        let mut map = Map::new();
        show::put(&mut map, "path", path.as_bytes());
        map.insert("deleted".to_owned(), true.into());
        Ok(self.with_id(map))
    }

    /// Renames something, within one file system: `{workspace_id, path, to, moved}`. With `replace`, a file that is at `to`
    /// goes in the same moment.
    ///
    /// # Errors
    /// [`WorkspaceError`]: the workspace is stopped, there is nothing at `from`, or something at `to`.
    pub async fn move_file(
        &self,
        from: &GuestPath,
        to: &GuestPath,
        replace: bool,
    ) -> Result<Value, WorkspaceError> {
        let tool = Tool::Move { from: from.to_wire(), to: to.to_wire(), replace };
        self.tool_result::<Value>(tool, Some(format!("file-move {from} {to}"))).await?;
        let mut map = Map::new();
        show::put(&mut map, "path", from.as_bytes());
        show::put(&mut map, "to", to.as_bytes());
        map.insert("moved".to_owned(), true.into());
        Ok(self.with_id(map))
    }

    fn with_id(&self, mut map: Map<String, Value>) -> Value {
        map.insert("workspace_id".to_owned(), self.folder.id().as_str().into());
        map.into()
    }
}
