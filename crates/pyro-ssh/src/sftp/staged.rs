//! The content of one open file, in an unnamed file of the host: read from the guest as far as somebody wants it, or collected
//! until it is written to the guest as a whole. So a client may read and write wherever it likes, while the guest's file is the
//! old one or the new. This file must not know what a handle is.

use super::status::Refusal;
use pyro::state::unnamed_file;
use pyro::workspace::files::Reading;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use tokio::io::AsyncRead;
use tokio::io::ReadBuf;

/// Content of one file.
#[derive(Debug)]
pub(super) struct Staged {
    file: File,
    size: u64,
    /// What has not come from the guest yet.
    rest: Option<Reading>,
}

impl Staged {
    /// Content in a folder's unnamed file: what is read, or none.
    pub(super) fn new(folder: &Path, rest: Option<Reading>) -> io::Result<Self> {
        Ok(Self { file: unnamed_file(folder)?, size: 0, rest })
    }

    /// Bytes that there are by now.
    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// Bytes from `offset` on, at most so many; none behind the end.
    pub(super) async fn read(&mut self, offset: u64, length: usize) -> Result<Vec<u8>, Refusal> {
        self.fetch(offset.saturating_add(length as u64)).await?;
        let there = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length.min(there)];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    /// Puts bytes at `offset`; what is skipped is zeros.
    pub(super) async fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Refusal> {
        self.fetch(u64::MAX).await?;
        self.file.write_all_at(bytes, offset)?;
        self.size = self.size.max(offset.saturating_add(bytes.len() as u64));
        Ok(())
    }

    /// Gives it another size.
    pub(super) async fn resize(&mut self, size: u64) -> Result<(), Refusal> {
        self.fetch(size).await?;
        self.rest = None;
        self.file.set_len(size)?;
        self.size = size;
        Ok(())
    }

    /// All of it, from the beginning.
    pub(super) async fn content(&mut self) -> Result<Content<'_>, Refusal> {
        self.fetch(u64::MAX).await?;
        Ok(Content { file: &self.file, at: 0 })
    }

    /// Has as many bytes come as are wanted.
    async fn fetch(&mut self, wanted: u64) -> Result<(), Refusal> {
        while self.size < wanted
            && let Some(rest) = &mut self.rest
        {
            match rest.next().await? {
                Some(bytes) => {
                    self.file.write_all_at(&bytes, self.size)?;
                    self.size += bytes.len() as u64;
                }
                None => self.rest = None,
            }
        }
        Ok(())
    }
}

/// Content that is read in one go.
#[derive(Debug)]
pub(super) struct Content<'a> {
    file: &'a File,
    at: u64,
}

impl AsyncRead for Content<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // A file of this host without a name: there is nothing to wait for but the disk.
        let count = self.file.read_at(buffer.initialize_unfilled(), self.at)?;
        buffer.advance(count);
        self.at += count as u64;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;

    #[test]
    fn content_is_written_and_read_anywhere() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let mut staged = Staged::new(dir.path(), None).unwrap();
            staged.write(4, b"later").await.unwrap();
            staged.write(0, b"ab").await.unwrap();
            assert_eq!(staged.read(0, 100).await.unwrap(), b"ab\0\0later");
            assert_eq!(staged.read(5, 2).await.unwrap(), b"at");
            assert_eq!(staged.read(100, 2).await.unwrap(), b"");
            staged.resize(3).await.unwrap();
            staged.resize(5).await.unwrap();
            let mut all = Vec::new();
            staged.content().await.unwrap().read_to_end(&mut all).await.unwrap();
            assert_eq!((all.as_slice(), staged.size()), (&b"ab\0\0\0"[..], 5));
        });
    }
}
