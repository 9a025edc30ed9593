//! One file's content from guest to guest. This file must not hold more of it than one piece.

use super::path::GuestPath;
use super::read::Reading;
use super::write::Pieces;
use super::write::WriteOptions;
use crate::workspace::error::WorkspaceError;
use crate::workspace::handle::Workspace;
use crate::workspace::transfer::Moved;

impl Workspace {
    /// Writes what is in a file of this guest to one of another; how many bytes.
    pub(in crate::workspace) async fn write_file_across(
        &self,
        from: &GuestPath,
        to: &Self,
        path: &GuestPath,
        options: &WriteOptions,
        moved: Moved<'_>,
    ) -> Result<u64, WorkspaceError> {
        let reading = self.reading(from, 0, u64::MAX, Some(format!("file-read {from}"))).await?;
        let mut pieces = Read { reading, piece: Vec::new(), bytes: 0, moved };
        Ok(to.write_pieces(path, &mut pieces, options).await?.bytes)
    }
}

struct Read<'a, 'm> {
    reading: Reading,
    piece: Vec<u8>,
    bytes: u64,
    moved: &'a mut (dyn FnMut(u64) + Send + 'm),
}

impl Pieces for Read<'_, '_> {
    async fn next(&mut self) -> Result<Option<&[u8]>, WorkspaceError> {
        let Some(piece) = self.reading.next().await? else { return Ok(None) };
        self.piece = piece;
        self.bytes += self.piece.len() as u64;
        (self.moved)(self.bytes);
        Ok(Some(&self.piece))
    }
}
