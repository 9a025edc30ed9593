//! Reading a part of one file. Links are followed, as the guest would; what is no regular file is refused, because reading it
//! may wait for ever or never end. This file must not hold more of a file than was asked for.

use super::error::FilesError;
use super::error::at_most;
use super::limits::LINES_BYTES_MAX;
use super::limits::READ_BYTES_DEFAULT;
use super::limits::READ_BYTES_MAX;
use super::limits::READ_STALL;
use super::lines::Lines;
use super::path::GuestPath;
use super::show;
use crate::guest::ToolError;
use crate::guest::ToolRun;
use crate::secret::Redactor;
use crate::workspace::error::WorkspaceError;
use crate::workspace::handle::Workspace;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pyro_proto::tool::Tool;
use pyro_proto::tree::Entry;
use pyro_proto::tree::Record;
use serde_json::Value;
use serde_json::json;
use std::sync::Arc;

/// Which part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// Bytes.
    Bytes {
        /// The first.
        offset: u64,
        /// How many; to the end when absent.
        length: Option<u64>,
    },
    /// Lines.
    Lines {
        /// The first, from 1.
        start: u64,
        /// How many; to the end when absent.
        count: Option<u64>,
    },
}

/// What to read.
#[derive(Clone, Copy, Debug)]
pub struct ReadOptions {
    /// Which part.
    pub range: Range,
    /// Bytes after which it is cut.
    pub bytes_max: u64,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { range: Range::Bytes { offset: 0, length: None }, bytes_max: READ_BYTES_DEFAULT }
    }
}

/// A part of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileContent {
    /// The workspace.
    pub workspace_id: String,
    /// The file.
    pub path: GuestPath,
    /// Size of the whole file; what the kernel makes up while it is read has none.
    pub size_bytes: u64,
    /// The most that would have been given.
    pub bytes_max: u64,
    /// What was asked for.
    pub bytes: Vec<u8>,
    /// More was asked for than was given.
    pub truncated: bool,
    /// Which part it is, and with what to go on.
    place: Place,
    entry: Entry,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Bytes { offset: u64 },
    Lines { start: u64, count: u64, next: Option<u64> },
}

impl FileContent {
    /// Its document: `{workspace_id, path, size_bytes, max_bytes, content, encoding, truncated, ...}`. The content is text, or
    /// base64 if it is not UTF-8, has zero bytes in it, or `base64` asks for that. Text that was cut inside of a character ends before it.
    pub fn document(&self, base64: bool) -> Value {
        let (content, encoding, given) = match self.text() {
            Some(text) if !base64 => (text.to_owned(), "utf-8", text.len()),
            _ => (STANDARD.encode(&self.bytes), "base64", self.bytes.len()),
        };
        let mut map = show::entry(self.path.as_bytes(), &self.entry);
        map.remove("link_target");
        let mut rest = json!({
            "workspace_id": self.workspace_id,
            "max_bytes": self.bytes_max,
            "content": content,
            "encoding": encoding,
            "content_bytes": given,
            "truncated": self.truncated,
        });
        match self.place {
            Place::Bytes { offset } => {
                rest["offset"] = offset.into();
                rest["next_offset"] = self.truncated.then(|| offset + given as u64).into();
            }
            Place::Lines { start, count, next } => {
                rest["line_start"] = start.into();
                rest["line_count"] = count.into();
                rest["next_line"] = next.into();
            }
        }
        show::merge(&mut map, rest);
        map.into()
    }

    /// It as text, if it is: UTF-8 without zero bytes.
    fn text(&self) -> Option<&str> {
        if self.bytes.contains(&0) {
            return None;
        }
        match std::str::from_utf8(&self.bytes) {
            Ok(text) => Some(text),
            // Only a character that was cut in the middle.
            Err(error) if self.truncated && error.error_len().is_none() && error.valid_up_to() > 0 => {
                std::str::from_utf8(&self.bytes[..error.valid_up_to()]).ok()
            }
            Err(_) => None,
        }
    }
}

impl Workspace {
    /// Reads a part of a file.
    ///
    /// # Errors
    /// [`WorkspaceError`]: the workspace is stopped, there is no such file, it is a directory, FIFO or device.
    pub async fn read_file(
        &self,
        path: &GuestPath,
        options: &ReadOptions,
    ) -> Result<FileContent, WorkspaceError> {
        at_most("what is read at once, in bytes,", options.bytes_max, READ_BYTES_MAX)?;
        let activity = Some(format!("file-read {path}"));
        match options.range {
            Range::Bytes { offset, length } => {
                self.read_bytes(path, offset, length, options.bytes_max, activity).await
            }
            Range::Lines { start, count } => {
                self.read_lines(path, start, count, options.bytes_max, activity).await
            }
        }
    }

    /// Reads a file from its beginning, piece by piece.
    ///
    /// # Errors
    /// As [`Self::read_file`].
    pub async fn open_file(&self, path: &GuestPath) -> Result<Reading, WorkspaceError> {
        self.reading(path, 0, u64::MAX, Some(format!("file-read {path}"))).await
    }

    async fn read_bytes(
        &self,
        path: &GuestPath,
        offset: u64,
        length: Option<u64>,
        bytes_max: u64,
        activity: Option<String>,
    ) -> Result<FileContent, WorkspaceError> {
        let wanted = length.unwrap_or(u64::MAX);
        // One more byte tells whether there is more.
        let mut reading =
            self.reading(path, offset, wanted.min(bytes_max.saturating_add(1)), activity).await?;
        let mut bytes = Vec::new();
        while let Some(piece) = reading.next().await? {
            bytes.extend_from_slice(&piece);
        }
        let most = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        let truncated = bytes.len() > most;
        bytes.truncate(most);
        reading.content(self, path, bytes_max, bytes, truncated, Place::Bytes { offset })
    }

    /// Reads lines; `activity` as in [`Self::tool`].
    pub(super) async fn read_lines(
        &self,
        path: &GuestPath,
        start: u64,
        count: Option<u64>,
        bytes_max: u64,
        activity: Option<String>,
    ) -> Result<FileContent, WorkspaceError> {
        let mut lines = Lines::new(start, count, bytes_max);
        let mut reading = self.reading(path, 0, u64::MAX, activity).await?;
        while let Some(piece) = reading.next().await? {
            if !lines.push(&piece) {
                break;
            }
            if lines.seen() > LINES_BYTES_MAX {
                let what = "are looked through for lines";
                return Err(
                    FilesError::TooLarge { path: path.to_string(), most: LINES_BYTES_MAX, what }.into()
                );
            }
        }
        let picked = lines.done();
        let place = Place::Lines { start: start.max(1), count: picked.lines, next: picked.next };
        reading.content(self, path, bytes_max, picked.bytes, picked.truncated, place)
    }

    pub(super) async fn reading(
        &self,
        path: &GuestPath,
        offset: u64,
        length: u64,
        activity: Option<String>,
    ) -> Result<Reading, WorkspaceError> {
        let needles = Arc::new(self.needles().await?);
        // What begins before the first byte, or ends behind the last, is a secret all the same.
        let around = needles.longest().saturating_sub(1) as u64;
        let before = around.min(offset);
        let length_around = length.saturating_add(before).saturating_add(around);
        let tool = Tool::Read { path: path.to_wire(), offset: offset - before, length: length_around };
        let run = self.tool(tool, false, activity).await?;
        Ok(Reading { run, entry: None, mask: Redactor::masking(needles), before, left: length, ended: false })
    }
}

/// A read under way.
pub struct Reading {
    run: ToolRun,
    entry: Option<Entry>,
    mask: Redactor,
    /// Bytes still to come that were only read to be looked through.
    before: u64,
    /// Bytes still to be given.
    left: u64,
    ended: bool,
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reading").field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl Reading {
    /// The next bytes; nothing at the end.
    ///
    /// # Errors
    /// [`WorkspaceError`]: the guest is gone, or says nothing for too long.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, WorkspaceError> {
        while !self.ended {
            let next = tokio::time::timeout(READ_STALL, self.run.next());
            let bytes = match next.await.map_err(|_| ToolError::TimedOut)?? {
                Some(Record::Data(bytes)) => self.mask.push(&bytes),
                Some(Record::Entry(entry)) => {
                    self.entry = Some(entry);
                    continue;
                }
                Some(_) => continue,
                None => {
                    self.ended = true;
                    self.mask.end()
                }
            };
            let bytes = self.wanted(bytes);
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    /// Of the next bytes those that were asked for.
    fn wanted(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        let skipped = usize::try_from(self.before).unwrap_or(usize::MAX).min(bytes.len());
        bytes.drain(..skipped);
        bytes.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.before -= skipped as u64;
        self.left -= bytes.len() as u64;
        bytes
    }

    fn content(
        self,
        workspace: &Workspace,
        path: &GuestPath,
        bytes_max: u64,
        bytes: Vec<u8>,
        truncated: bool,
        place: Place,
    ) -> Result<FileContent, WorkspaceError> {
        let entry = self.entry.ok_or(ToolError::Protocol { reason: "content without its file" })?;
        Ok(FileContent {
            workspace_id: workspace.folder.id().to_string(),
            path: path.clone(),
            size_bytes: entry.size_bytes,
            bytes_max,
            bytes,
            truncated,
            place,
            entry,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pyro_proto::tree::EntryKind;
    use pyro_proto::tree::TreePath;

    fn content(bytes: &[u8], truncated: bool) -> Value {
        let entry =
            Entry { size_bytes: 100, mode: 0o4755, ..Entry::new(TreePath::default(), EntryKind::File) };
        let content = FileContent {
            workspace_id: "w".to_owned(),
            path: GuestPath::workspace(),
            size_bytes: 100,
            bytes_max: 4,
            bytes: bytes.to_vec(),
            truncated,
            place: Place::Bytes { offset: 10 },
            entry,
        };
        content.document(false)
    }

    #[test]
    fn text_is_text_and_the_rest_is_base64() {
        let cut = content("aé".as_bytes().split_last().unwrap().1, true);
        assert_eq!((&cut["content"], &cut["next_offset"]), (&json!("a"), &json!(11)));
        assert_eq!(cut["mode"], "4755");
        // At the end of a file half a character is none.
        let broken = content("aé".as_bytes().split_last().unwrap().1, false);
        assert_eq!((&broken["content"], &broken["encoding"]), (&json!("YcM="), &json!("base64")));
        assert_eq!(broken["next_offset"], Value::Null);
        assert_eq!(content(b"\xff", true)["content"], "/w==");
        assert_eq!(content(b"a\0b", false)["content"], "YQBi");
        assert_eq!(content(b"", false)["encoding"], "utf-8");
    }
}
