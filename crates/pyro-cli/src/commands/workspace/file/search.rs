//! `pyro workspace file search`.

use super::globs;
use super::guest_path;
use super::text;
use super::with;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use pyro::workspace::files::MATCHES_DEFAULT;
use pyro::workspace::files::SEARCH_SECONDS_DEFAULT;
use pyro::workspace::files::SearchOptions;
use serde_json::Value;
use std::ffi::OsString;

/// Search files for a pattern, line by line. Files that are no text are passed over.
#[derive(Debug, clap::Args)]
pub struct Search {
    /// Id or name of the workspace.
    workspace: String,

    /// Regular expression.
    #[arg(allow_hyphen_values = true)]
    pattern: String,

    /// Directory, or one file.
    #[arg(default_value = "/workspace")]
    path: OsString,

    /// The pattern is plain text.
    #[arg(long)]
    fixed: bool,

    /// Letters match whatever their case.
    #[arg(long)]
    ignore_case: bool,

    /// Only files that this glob matches: '*.rs' by name, 'src/**/*.rs' by path. May be given several times.
    #[arg(long, value_name = "GLOB")]
    glob: Vec<OsString>,

    /// Leave out what this glob matches, with everything below it. May be given several times.
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<OsString>,

    /// Matching lines after which to stop.
    #[arg(long, value_name = "N", default_value_t = MATCHES_DEFAULT)]
    limit: u32,

    /// Lines around each match to show, for up to 200 matches.
    #[arg(long, value_name = "N", default_value_t = 0)]
    context: u32,

    /// Seconds after which it fails.
    #[arg(long, value_name = "SECONDS", default_value_t = SEARCH_SECONDS_DEFAULT)]
    timeout_seconds: u32,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Search {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        let path = guest_path(&self.path)?;
        let options = SearchOptions {
            pattern: self.pattern,
            fixed: self.fixed,
            ignore_case: self.ignore_case,
            include: globs(self.glob),
            exclude: globs(self.exclude),
            matches_max: self.limit,
            context: self.context,
            timeout_seconds: self.timeout_seconds,
        };
        let document =
            with(engine, &self.workspace, async |workspace| workspace.search_files(&path, &options).await)?;
        if self.json {
            output::json(&document);
            return Ok(exit::OK);
        }
        let mut lines = String::new();
        for found in document["matches"].as_array().into_iter().flatten() {
            show(found, self.context > 0, &mut lines);
        }
        output::bytes(lines.as_bytes());
        for warning in document["warnings"].as_array().into_iter().flatten() {
            output::error_line(&format!("[warning] {}", warning.as_str().unwrap_or_default()));
        }
        let [id, count, files] = ["workspace_id", "count", "files"].map(|name| text(&document, name));
        let truncated = if document["truncated"] == true { "yes" } else { "no" };
        output::error_line(&format!(
            "[workspace-file-search] workspace_id={id} matches={count} files={files} truncated={truncated}"
        ));
        Ok(exit::OK)
    }
}

/// A match as grep shows it.
fn show(found: &Value, context: bool, lines: &mut String) {
    let path = text(found, "path");
    let number = found["line"].as_u64().unwrap_or(0);
    let around = |name: &str| found[name].as_array().cloned().unwrap_or_default();
    let mut add = |number: u64, sign: char, text: &str| {
        lines.push_str(&format!("{path}{sign}{number}{sign}{text}\n"));
    };
    let before = around("before");
    for (line, at) in before.iter().zip(number.saturating_sub(before.len() as u64)..) {
        add(at, '-', line.as_str().unwrap_or_default());
    }
    add(number, ':', &text(found, "text"));
    for (line, at) in around("after").iter().zip(number + 1..) {
        add(at, '-', line.as_str().unwrap_or_default());
    }
    if context {
        lines.push_str("--\n");
    }
}
