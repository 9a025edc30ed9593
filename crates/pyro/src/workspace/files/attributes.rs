//! Making and removing folders and links, and changing attributes, for whoever serves a guest's files to a program. This file
//! must not touch content.

use super::path::GuestPath;
use crate::workspace::error::WorkspaceError;
use crate::workspace::handle::Workspace;
use pyro_proto::ByteString;
use pyro_proto::tool::Tool;
use serde_json::Value;

/// Attributes to change; what is absent stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// When its content was last changed, in seconds since the Unix epoch.
    pub mtime_s: Option<i64>,
}

impl Workspace {
    /// Makes a folder in one that is there.
    ///
    /// # Errors
    /// [`WorkspaceError`]: the workspace is stopped, there is something at the path.
    pub async fn make_folder(&self, path: &GuestPath, mode: Option<u32>) -> Result<(), WorkspaceError> {
        self.change_name(Tool::MakeDirectory { path: path.to_wire(), mode }, format!("file-mkdir {path}"))
            .await
    }

    /// Removes an empty folder.
    ///
    /// # Errors
    /// [`WorkspaceError`]: the workspace is stopped, it is no folder, is not empty, or something is mounted there.
    pub async fn remove_folder(&self, path: &GuestPath) -> Result<(), WorkspaceError> {
        self.change_name(Tool::RemoveDirectory { path: path.to_wire() }, format!("file-rmdir {path}")).await
    }

    /// Makes a symbolic link that says `target`.
    ///
    /// # Errors
    /// [`WorkspaceError`]: the workspace is stopped, there is something at the path.
    pub async fn make_link(&self, path: &GuestPath, target: &[u8]) -> Result<(), WorkspaceError> {
        let tool = Tool::MakeLink { path: path.to_wire(), target: ByteString(target.to_vec()) };
        self.change_name(tool, format!("file-link {path}")).await
    }

    /// Changes attributes of what a path leads to.
    ///
    /// # Errors
    /// [`WorkspaceError`]: the workspace is stopped, there is nothing at the path.
    pub async fn set_attributes(
        &self,
        path: &GuestPath,
        attributes: Attributes,
    ) -> Result<(), WorkspaceError> {
        let Attributes { mode, uid, gid, mtime_s } = attributes;
        let tool = Tool::Change { path: path.to_wire(), mode, uid, gid, mtime_s };
        self.change_name(tool, format!("file-change {path}")).await
    }

    async fn change_name(&self, tool: Tool, activity: String) -> Result<(), WorkspaceError> {
        self.tool_result::<Value>(tool, Some(activity)).await.map(drop)
    }
}
