//! `pyro workspace logs`: a workspace's commands, or its audit.

use super::failed;
use super::find;
use super::render::text;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use pyro::workspace::Workspace;
use pyro::workspace::audit::AuditLine;
use serde_json::Value;
use serde_json::json;

/// Show the commands of a workspace since it was made or last reset, and what they printed, running or not.
#[derive(Debug, clap::Args)]
pub struct Logs {
    /// Workspace, by id or name.
    workspace: String,

    /// Only the last so many commands.
    #[arg(long, value_name = "N")]
    last: Option<usize>,

    /// Most bytes of each output that are shown; the rest is in the file that is named.
    #[arg(long, value_name = "BYTES", default_value = "65536")]
    max_output_bytes: usize,

    /// Show who asked the workspace for what since it was made, resets included, instead: caller and process, operation, outcome, a command's exit code, bytes each way, duration.
    #[arg(long, conflicts_with = "max_output_bytes")]
    audit: bool,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Logs {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        let workspace = find(engine, &self.workspace, exit::FAILED)?;
        if self.audit {
            return self.show_audit(&workspace);
        }
        let logs = workspace.logs(self.max_output_bytes, self.last).map_err(|error| failed(&error))?;
        if self.json {
            output::json(&logs);
            return Ok(exit::OK);
        }
        let entries = logs["entries"].as_array().map(Vec::as_slice).unwrap_or_default();
        if entries.is_empty() {
            output::line("No workspace logs.");
        }
        entries.iter().for_each(show);
        Ok(exit::OK)
    }

    fn show_audit(&self, workspace: &Workspace) -> Result<i32, Failure> {
        let lines = workspace.audit().map_err(|error| failed(&error))?;
        let shown = &lines[lines.len().saturating_sub(self.last.unwrap_or(lines.len()))..];
        if self.json {
            output::json(&json!({
                "workspace_id": workspace.id(),
                "count": shown.len(),
                "total_count": lines.len(),
                "entries": shown,
            }));
        } else {
            shown.iter().for_each(|line| output::line(&audit_line(line)));
        }
        Ok(exit::OK)
    }
}

fn audit_line(line: &AuditLine) -> String {
    let number = |number: Option<i32>| number.map_or("-".to_owned(), |number| number.to_string());
    // What a caller asked for may hold anything, and must not become a line of its own.
    let detail = line.detail.as_ref().map(|detail| format!(" detail={}", detail.escape_debug()));
    format!(
        "[audit] time={:.3} caller={} pid={} operation={} outcome={} exit_code={} received_bytes={} sent_bytes={} \
         duration_ms={}{}",
        line.time.0,
        line.caller.escape_debug(),
        number(line.pid),
        line.operation.escape_debug(),
        line.outcome,
        number(line.exit_code),
        line.received_bytes,
        line.sent_bytes,
        line.duration_ms,
        detail.unwrap_or_default()
    )
}

fn show(entry: &Value) {
    output::line(&format!(
        "#{} exit_code={} duration_ms={} cwd={}",
        text(entry, "sequence"),
        text(entry, "exit_code"),
        text(entry, "duration_ms"),
        text(entry, "cwd")
    ));
    output::line(&format!("$ {}", text(entry, "command")));
    for name in ["stdout", "stderr"] {
        let printed = entry[name].as_str().unwrap_or_default();
        if !printed.is_empty() {
            output::line(printed.trim_end_matches('\n'));
        }
        if entry[format!("{name}_truncated")] == true {
            let (total, file) = (text(entry, &format!("{name}_bytes")), text(entry, &format!("{name}_file")));
            output::line(&format!("[truncated] {name}: {total} bytes in all, in {file}"));
        }
    }
}
