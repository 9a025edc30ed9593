//! Searching files for a pattern. The guest does it; this file must not look into files itself.

use super::error::FilesError;
use super::error::at_most;
use super::limits::CONTEXT_BYTES_MAX;
use super::limits::CONTEXT_LINES_MAX;
use super::limits::CONTEXT_MATCHES_MAX;
use super::limits::MATCHES_DEFAULT;
use super::limits::MATCHES_MAX;
use super::limits::PATTERN_BYTES_MAX;
use super::limits::SEARCH_SECONDS_DEFAULT;
use super::limits::WARNINGS_MAX;
use super::list::globs;
use super::path::GuestPath;
use super::show;
use crate::guest::ToolError;
use crate::guest::ToolRun;
use crate::secret::Needles;
use crate::work::Work;
use crate::workspace::error::WorkspaceError;
use crate::workspace::handle::Workspace;
use pyro_proto::limits::MATCH_TEXT_BYTES_MAX;
use pyro_proto::tool::SearchDone;
use pyro_proto::tool::SearchMatch;
use pyro_proto::tool::Tool;
use pyro_proto::tree::Record;
use pyro_proto::tree::TreePath;
use serde_json::Value;
use serde_json::json;
use std::time::Duration;

/// A cut does not go through a character, of which this many bytes are the most.
const CHARACTER_BYTES_MAX: usize = 4;

/// What to search for, and where.
#[derive(Clone, Debug)]
pub struct SearchOptions {
    /// A regular expression, or plain text if `fixed`.
    pub pattern: String,
    /// The pattern is plain text.
    pub fixed: bool,
    /// Letters match whatever their case.
    pub ignore_case: bool,
    /// Only files that one of these globs matches; all when empty.
    pub include: Vec<Vec<u8>>,
    /// What one of these globs matches is left out with everything below it.
    pub exclude: Vec<Vec<u8>>,
    /// Matching lines after which to stop.
    pub matches_max: u32,
    /// Lines around each match to give; only with up to 200 matches.
    pub context: u32,
    /// Seconds after which it fails.
    pub timeout_seconds: u32,
}

impl SearchOptions {
    /// A search for a regular expression in all files.
    pub fn new(pattern: impl Into<String>) -> Self {
        Self {
            pattern: pattern.into(),
            fixed: false,
            ignore_case: false,
            include: Vec::new(),
            exclude: Vec::new(),
            matches_max: MATCHES_DEFAULT,
            context: 0,
            timeout_seconds: SEARCH_SECONDS_DEFAULT,
        }
    }
}

impl Workspace {
    /// Searches a file, or all files below a folder: `{workspace_id, path, matches[{path, line, column, text}], count, files,
    /// truncated, warnings[]}`, and with `context` each match's `before[]` and `after[]`. Files that are no text are passed over.
    ///
    /// # Errors
    /// [`WorkspaceError`]: the workspace is stopped, the pattern is malformed or too long, it takes too long.
    pub fn search_files<'a>(
        &'a self,
        path: &'a GuestPath,
        options: &'a SearchOptions,
    ) -> Work<'a, Result<Value, WorkspaceError>> {
        Box::pin(async move {
            at_most("a pattern, in bytes,", options.pattern.len() as u64, PATTERN_BYTES_MAX as u64)?;
            at_most("the number of matches", options.matches_max.into(), MATCHES_MAX.into())?;
            at_most("lines of context", options.context.into(), CONTEXT_LINES_MAX.into())?;
            let most = if options.context > 0 { CONTEXT_MATCHES_MAX } else { MATCHES_MAX };
            let tool = Tool::Search {
                root: path.to_wire(),
                pattern: options.pattern.clone(),
                fixed: options.fixed,
                ignore_case: options.ignore_case,
                include: globs(&options.include)?,
                exclude: globs(&options.exclude)?,
                matches_max: options.matches_max.min(most),
            };
            let needles = self.needles().await?;
            let run = self.tool(tool, false, Some(format!("file-search {path}"))).await?;
            let deadline = Duration::from_secs(options.timeout_seconds.into());
            let result = tokio::time::timeout(deadline, async {
                let (mut done, warnings) = finish(run).await?;
                done.matches.iter_mut().for_each(|found| mask(&needles, &mut found.text.0));
                let mut matches = Vec::new();
                for found in &done.matches {
                    matches.push(self.describe_match(path, found, options.context).await?);
                }
                Ok::<_, WorkspaceError>((done, matches, warnings))
            });
            let (done, matches, warnings) = result.await.map_err(|_| ToolError::TimedOut)??;
            let mut map = serde_json::Map::new();
            show::put(&mut map, "path", path.as_bytes());
            let rest = json!({
                "workspace_id": self.folder.id().as_str(),
                "count": matches.len(),
                "matches": matches,
                "files": done.files,
                "truncated": done.truncated,
                "warnings": warnings,
            });
            show::merge(&mut map, rest);
            Ok(map.into())
        })
    }

    async fn describe_match(
        &self,
        root: &GuestPath,
        found: &SearchMatch,
        context: u32,
    ) -> Result<Value, WorkspaceError> {
        let mut map = serde_json::Map::new();
        // A guest that names something else than a path below the root is shown the root.
        let path = root.below(&TreePath::new(found.path.as_bytes()).unwrap_or_default());
        show::put(&mut map, "path", &path);
        show::put(&mut map, "text", found.text.as_bytes());
        map.insert("line".to_owned(), found.line.into());
        map.insert("column".to_owned(), found.column.into());
        if context > 0 {
            let file = GuestPath::new(&path).map_err(FilesError::from)?;
            let first = found.line.saturating_sub(context.into()).max(1);
            let before = found.line.saturating_sub(first);
            let count = before + 1 + u64::from(context);
            let read = self.read_lines(&file, first, Some(count), CONTEXT_BYTES_MAX, None).await?;
            let (lines, before) = (texts(&read.bytes), usize::try_from(before).unwrap_or(0));
            map.insert("before".to_owned(), lines.iter().take(before).cloned().collect());
            map.insert("after".to_owned(), lines.iter().skip(before + 1).cloned().collect());
        }
        Ok(map.into())
    }
}

async fn finish(mut run: ToolRun) -> Result<(SearchDone, Vec<String>), ToolError> {
    let mut warnings = Vec::new();
    while let Some(record) = run.next().await? {
        if let Record::Warning(text) = record
            && warnings.len() < WARNINGS_MAX
        {
            warnings.push(text);
        }
    }
    Ok((run.done().await?, warnings))
}

/// Hides secrets in the text of a match; of one that is cut where the guest cuts it no part of one is shown either.
fn mask(needles: &Needles, text: &mut [u8]) {
    if text.len() + CHARACTER_BYTES_MAX > MATCH_TEXT_BYTES_MAX {
        needles.mask_beginning(text);
    } else {
        needles.mask(text);
    }
}

/// Lines as text without their ends, whatever they hold.
fn texts(bytes: &[u8]) -> Vec<String> {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    lines.map(|line| String::from_utf8_lossy(line).trim_end_matches(['\n', '\r']).to_owned()).collect()
}
