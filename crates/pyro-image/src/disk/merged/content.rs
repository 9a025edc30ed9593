//! A regular file's content in pieces, holes as holes. It must not know where they go.

use super::MergedError;
use super::MergedRoot;
use super::Node;
use crate::disk::ext4::Run;

/// What comes next of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// So many bytes, at the beginning of the buffer.
    Data(usize),
    /// So many zeros that are not stored.
    Hole(u64),
    /// The file is over.
    End,
}

/// Reads a file from its beginning to its end.
#[derive(Clone, Debug)]
pub struct ContentReader<'a> {
    root: &'a MergedRoot,
    node: &'a Node,
    offset: u64,
    data_bytes: u64,
}

impl<'a> ContentReader<'a> {
    pub(super) const fn new(root: &'a MergedRoot, node: &'a Node) -> Self {
        Self { root, node, offset: 0, data_bytes: 0 }
    }

    /// The next piece; data is put into `buffer`, as much as it takes.
    ///
    /// # Errors
    /// [`MergedError::Disk`], and [`MergedError::TooMuch`] when the file has more data than its disk has room for.
    pub fn next_piece(&mut self, buffer: &mut [u8]) -> Result<Piece, MergedError> {
        let Node { disk, .. } = self.node;
        match self.root.run_at(self.node, self.offset)? {
            Run::End => Ok(Piece::End),
            Run::Hole(bytes) => {
                self.offset += bytes;
                Ok(Piece::Hole(bytes))
            }
            Run::Data(_) => {
                let count = self.root.read_at(self.node, self.offset, buffer)?;
                self.offset += count as u64;
                self.data_bytes += count as u64;
                if self.data_bytes > self.root.fs(*disk).size_bytes() {
                    return Err(MergedError::TooMuch { disk: *disk });
                }
                Ok(Piece::Data(count))
            }
        }
    }
}
