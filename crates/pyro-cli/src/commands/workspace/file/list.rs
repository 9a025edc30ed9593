//! `pyro workspace file list`.

use super::globs;
use super::guest_path;
use super::line;
use super::text;
use super::with;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use pyro::workspace::files::ListOptions;
use std::ffi::OsString;

/// List what is in a directory, in order of path.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Id or name of the workspace.
    workspace: String,

    /// Directory, or one file.
    #[arg(default_value = "/workspace")]
    path: OsString,

    /// Everything below, too.
    #[arg(long)]
    recursive: bool,

    /// Only what this glob matches: '*.rs' by name, 'src/**/*.rs' by path. May be given several times.
    #[arg(long, value_name = "GLOB")]
    glob: Vec<OsString>,

    /// Leave out what this glob matches, with everything below it. May be given several times.
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<OsString>,

    /// Entries after which to stop; the JSON then has a next_cursor, and people are told.
    #[arg(long, value_name = "N", default_value_t = pyro::workspace::files::LIST_ENTRIES_DEFAULT)]
    limit: usize,

    /// Go on where the page with this next_cursor ended.
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl List {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        let path = guest_path(&self.path)?;
        let options = ListOptions {
            recursive: self.recursive,
            include: globs(self.glob),
            exclude: globs(self.exclude),
            limit: self.limit,
            cursor: self.cursor,
        };
        let document =
            with(engine, &self.workspace, async |workspace| workspace.list_files(&path, &options).await)?;
        if self.json {
            output::json(&document);
            return Ok(exit::OK);
        }
        let recursive = if self.recursive { "yes" } else { "no" };
        let mut lines = format!("Workspace path: {} (recursive={recursive})\n", text(&document, "path"));
        for entry in document["entries"].as_array().into_iter().flatten() {
            lines.push_str(&line(entry));
            lines.push('\n');
        }
        output::bytes(lines.as_bytes());
        for warning in document["warnings"].as_array().into_iter().flatten() {
            output::error_line(&format!("[warning] {}", warning.as_str().unwrap_or_default()));
        }
        if document["truncated"] == true {
            let cursor = text(&document, "next_cursor");
            output::error_line(&format!("[workspace-file-list] truncated=yes next_cursor={cursor}"));
        }
        Ok(exit::OK)
    }
}
