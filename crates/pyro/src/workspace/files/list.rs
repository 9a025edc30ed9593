//! Listing files, page by page. The order is the one in which a walk meets them: by components, bytes compared. A cursor is
//! the last path of a page, so that a page begins where the one before ended, whatever changed meanwhile.

use super::error::FilesError;
use super::error::at_most;
use super::limits::GLOB_BYTES_MAX;
use super::limits::LIST_ENTRIES_DEFAULT;
use super::limits::LIST_ENTRIES_MAX;
use super::limits::SCAN_ENTRIES_MAX;
use super::limits::WARNINGS_MAX;
use super::path::GuestPath;
use super::show;
use crate::work::Work;
use crate::workspace::error::WorkspaceError;
use crate::workspace::handle::Workspace;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pyro_proto::bytes::ByteString;
use pyro_proto::glob::Globs;
use pyro_proto::tool::Tool;
use pyro_proto::tree::Entry;
use pyro_proto::tree::EntryKind;
use pyro_proto::tree::Record;
use pyro_proto::tree::TreePath;
use serde_json::Value;
use serde_json::json;

/// What to list.
#[derive(Clone, Debug)]
pub struct ListOptions {
    /// Everything below, too.
    pub recursive: bool,
    /// Only what one of these globs matches; all when empty. One without a slash is about the name, one with a slash about
    /// the path below what is listed.
    pub include: Vec<Vec<u8>>,
    /// What one of these globs matches is left out with everything below it.
    pub exclude: Vec<Vec<u8>>,
    /// Entries after which the page ends.
    pub limit: usize,
    /// Where the page before ended.
    pub cursor: Option<String>,
}

impl Default for ListOptions {
    fn default() -> Self {
        Self {
            recursive: false,
            include: Vec::new(),
            exclude: Vec::new(),
            limit: LIST_ENTRIES_DEFAULT,
            cursor: None,
        }
    }
}

impl Workspace {
    /// Lists what is in a folder, or a file itself: `{workspace_id, path, recursive, entries[], count, truncated, next_cursor,
    /// warnings[]}`.
    ///
    /// # Errors
    /// [`WorkspaceError`]: the workspace is stopped, there is nothing at the path, an option is out of its bounds.
    pub fn list_files<'a>(
        &'a self,
        path: &'a GuestPath,
        options: &'a ListOptions,
    ) -> Work<'a, Result<Value, WorkspaceError>> {
        Box::pin(async move {
            at_most("the limit of a list", options.limit as u64, LIST_ENTRIES_MAX as u64)?;
            let include = Globs::new(&globs(&options.include)?);
            let after = options.cursor.as_deref().map(read_cursor).transpose()?;
            let tool = Tool::Scan {
                root: path.to_wire(),
                exclude: globs(&options.exclude)?,
                depth_max: (!options.recursive).then_some(1),
                entries_max: SCAN_ENTRIES_MAX,
            };
            let mut run = self.tool(tool, false, Some(format!("file-list {path}"))).await?;
            let mut page = Page { path, include, after, limit: options.limit, ..Page::new(path) };
            while let Some(record) = run.next().await? {
                if !page.take(record) {
                    break;
                }
            }
            Ok(page.document(self.folder.id().as_str(), options.recursive))
        })
    }
}

struct Page<'a> {
    path: &'a GuestPath,
    include: Globs,
    after: Option<TreePath>,
    limit: usize,
    entries: Vec<Value>,
    last: Option<TreePath>,
    truncated: bool,
    warnings: Vec<String>,
}

impl<'a> Page<'a> {
    fn new(path: &'a GuestPath) -> Self {
        Self {
            path,
            include: Globs::default(),
            after: None,
            limit: 0,
            entries: Vec::new(),
            last: None,
            truncated: false,
            warnings: Vec::new(),
        }
    }

    /// Takes what the guest says next; false when the page is full and there is more.
    fn take(&mut self, record: Record) -> bool {
        let entry = match record {
            Record::Entry(entry) => entry,
            Record::Warning(text) => {
                if self.warnings.len() < WARNINGS_MAX {
                    self.warnings.push(text);
                }
                return true;
            }
            _ => return true,
        };
        if !self.wants(&entry) {
            return true;
        }
        if self.entries.len() >= self.limit {
            self.truncated = true;
            return false;
        }
        self.entries.push(show::entry(&self.path.below(&entry.path), &entry).into());
        self.last = Some(entry.path);
        true
    }

    fn wants(&self, entry: &Entry) -> bool {
        // A folder that is listed is not in itself.
        let is_inside = !entry.path.is_root() || entry.kind != EntryKind::Directory;
        let is_later = self.after.as_ref().is_none_or(|after| entry.path.components().gt(after.components()));
        let is_picked = self.include.is_empty() || self.include.matches(entry.path.as_bytes());
        is_inside && is_later && is_picked
    }

    fn document(self, workspace: &str, recursive: bool) -> Value {
        let cursor = self.last.filter(|_| self.truncated).map(|last| URL_SAFE_NO_PAD.encode(last.as_bytes()));
        let mut map = serde_json::Map::new();
        show::put(&mut map, "path", self.path.as_bytes());
        let rest = json!({
            "workspace_id": workspace,
            "recursive": recursive,
            "count": self.entries.len(),
            "entries": self.entries,
            "truncated": self.truncated,
            "next_cursor": cursor,
            "warnings": self.warnings,
        });
        show::merge(&mut map, rest);
        map.into()
    }
}

fn read_cursor(given: &str) -> Result<TreePath, FilesError> {
    let path = URL_SAFE_NO_PAD.decode(given).ok().and_then(|bytes| TreePath::new(bytes).ok());
    path.ok_or_else(|| FilesError::Cursor { given: given.chars().take(80).collect() })
}

/// Globs as tools take them.
pub(super) fn globs(given: &[Vec<u8>]) -> Result<Vec<ByteString>, FilesError> {
    let bytes: usize = given.iter().map(Vec::len).sum();
    at_most("globs, in bytes,", bytes as u64, GLOB_BYTES_MAX as u64)?;
    Ok(given.iter().cloned().map(ByteString).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(page: &mut Page<'_>, paths: &[&str]) -> Vec<String> {
        for path in paths {
            let path = TreePath::new(path.as_bytes()).unwrap();
            if !page.take(Record::Entry(Entry::new(path, EntryKind::File))) {
                break;
            }
        }
        page.entries.iter().map(|entry| entry["path"].as_str().unwrap().to_owned()).collect()
    }

    /// In the order of a walk, where `a/b` comes before `a.c` although a slash is the larger byte.
    const WALKED: [&str; 5] = ["a", "a/b", "a/c", "a.c", "b"];

    #[test]
    fn pages_join_without_a_gap() {
        let root = GuestPath::workspace();
        let (mut found, mut cursor) = (Vec::new(), None);
        loop {
            let after = cursor.as_deref().map(|cursor| read_cursor(cursor).unwrap());
            let mut page = Page { limit: 2, after, ..Page::new(&root) };
            found.extend(listed(&mut page, &WALKED));
            let document = page.document("w", true);
            cursor = document["next_cursor"].as_str().map(str::to_owned);
            assert_eq!(document["truncated"], cursor.is_some());
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(found, WALKED.map(|path| format!("/workspace/{path}")));
        assert!(read_cursor("..").is_err() && read_cursor(&URL_SAFE_NO_PAD.encode("../x")).is_err());
    }

    #[test]
    fn only_what_is_included_counts() {
        let root = GuestPath::workspace();
        let include = Globs::new(&["*c".into()]);
        let mut page = Page { limit: 2, include, ..Page::new(&root) };
        assert_eq!(listed(&mut page, &WALKED), ["/workspace/a/c", "/workspace/a.c"]);
        assert!(!page.truncated);
    }
}
