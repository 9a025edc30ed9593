//! Writing one file as a whole: whoever reads it sees the old content or the new, and when the answer comes the new one is
//! on the guest's disk. This file must not hold more of it than one piece.

use super::path::GuestPath;
use super::show;
use crate::work::Work;
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
    pub fn write_file<'a>(
        &'a self,
        path: &'a GuestPath,
        content: &'a mut (dyn AsyncRead + Send + Unpin),
        options: &'a WriteOptions,
    ) -> Work<'a, Result<Value, WorkspaceError>> {
        Box::pin(async move {
            let mut pieces = Reader { content, piece: vec![0; DATA_BYTES_MAX] };
            let done = self.write_pieces(path, &mut pieces, options).await?;
            let mut map = serde_json::Map::new();
            show::put(&mut map, "path", path.as_bytes());
            map.insert("workspace_id".to_owned(), self.folder.id().as_str().into());
            map.insert("bytes_written".to_owned(), done.bytes.into());
            map.insert("created".to_owned(), done.created.into());
            Ok(map.into())
        })
    }

    /// Writes a file as [`Self::write_file`] does.
    pub(super) async fn write_pieces(
        &self,
        path: &GuestPath,
        pieces: &mut impl Pieces,
        options: &WriteOptions,
    ) -> Result<WriteDone, WorkspaceError> {
        let WriteOptions { mode, make_parents, create_new } = *options;
        let tool = Tool::Write { path: path.to_wire(), mode, make_parents, create_new };
        let mut run = self.tool(tool, true, Some(format!("file-write {path}"))).await?;
        let mut encoded = Vec::new();
        while let Some(piece) = pieces.next().await? {
            for piece in piece.chunks(DATA_BYTES_MAX) {
                encoded.clear();
                encode_data(&mut encoded, piece);
                run.send_bytes(&encoded).await?;
            }
        }
        run.send(&Record::Done(b"{}".to_vec())).await?;
        Ok(run.done().await?)
    }
}

/// Content, piece by piece. An error is no end: what was written before it changes nothing.
pub(super) trait Pieces {
    /// The next one, of any length.
    fn next(&mut self) -> impl Future<Output = Result<Option<&[u8]>, WorkspaceError>> + Send;
}

struct Reader<'a> {
    content: &'a mut (dyn AsyncRead + Send + Unpin),
    piece: Vec<u8>,
}

impl Pieces for Reader<'_> {
    async fn next(&mut self) -> Result<Option<&[u8]>, WorkspaceError> {
        let failed = |source| WorkspaceError::Caller { operation: "reading the content", source };
        let count = self.content.read(&mut self.piece).await.map_err(failed)?;
        Ok((count > 0).then(|| &self.piece[..count]))
    }
}
