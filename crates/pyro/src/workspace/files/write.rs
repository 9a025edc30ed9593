//! Writing one file as a whole: whoever reads it sees the old content or the new, and when the answer comes the new one is
//! on the guest's disk. This file must not hold more of it than one piece.

use super::path::GuestPath;
use super::show;
use crate::workspace::error::WorkspaceError;
use crate::workspace::handle::Workspace;
use pyro_proto::tool::Tool;
use pyro_proto::tool::WriteDone;
use pyro_proto::tree::DATA_BYTES_MAX;
use pyro_proto::tree::Record;
use pyro_proto::tree::encode_data;
use serde_json::Value;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt as _;

/// How to write.
#[derive(Clone, Copy, Debug)]
pub struct WriteOptions {
    /// Permission bits; those of the file that is there, or 0644, when absent.
    pub mode: Option<u32>,
    /// Make missing folders.
    pub make_parents: bool,
    /// Fail if there is something already.
    pub create_new: bool,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self { mode: None, make_parents: true, create_new: false }
    }
}

impl Workspace {
    /// Writes a file, keeping mode and owner of one that is there: `{workspace_id, path, bytes_written, created}`. Links are
    /// followed. A content that fails to come to its end changes nothing.
    ///
    /// # Errors
    /// [`WorkspaceError`]: the workspace is stopped, something else is at the path, the guest's disk is full, the content
    /// cannot be read.
    pub async fn write_file(
        &self,
        path: &GuestPath,
        content: &mut (dyn AsyncRead + Send + Unpin),
        options: &WriteOptions,
    ) -> Result<Value, WorkspaceError> {
        let WriteOptions { mode, make_parents, create_new } = *options;
        let tool = Tool::Write { path: path.to_wire(), mode, make_parents, create_new };
        let mut run = self.tool(tool, true, Some(format!("file-write {path}"))).await?;
        let (mut piece, mut encoded) = (vec![0; DATA_BYTES_MAX], Vec::new());
        loop {
            let count = content.read(&mut piece).await;
            let count = count
                .map_err(|source| WorkspaceError::Caller { operation: "reading the content", source })?;
            if count == 0 {
                break;
            }
            encoded.clear();
            encode_data(&mut encoded, &piece[..count]);
            run.send_bytes(&encoded).await?;
        }
        run.send(&Record::Done(b"{}".to_vec())).await?;
        let done: WriteDone = run.done().await?;
        let mut map = serde_json::Map::new();
        show::put(&mut map, "path", path.as_bytes());
        map.insert("workspace_id".to_owned(), self.folder.id().as_str().into());
        map.insert("bytes_written".to_owned(), done.bytes.into());
        map.insert("created".to_owned(), done.created.into());
        Ok(map.into())
    }
}
