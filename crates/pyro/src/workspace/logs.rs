//! Commands and what they printed as the contract shows them. Output is bytes: text that is not UTF-8 is also given exactly,
//! and what is left out is counted, with the file that has it. This file must not run anything.

use super::document::Document;
use super::error::WorkspaceError;
use super::exec::ExecReport;
use super::handle::Workspace;
use super::history::Entry;
use super::history::History;
use super::history::Stream;
use serde_json::Value;
use serde_json::json;

/// The beginning of an output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Excerpt {
    /// The first bytes.
    pub bytes: Vec<u8>,
    /// How many there were in all.
    pub total_bytes: u64,
}

impl Workspace {
    /// The commands of the workspace, the first one first, each with at most `bytes_max` of either output; the last `count`
    /// of them if that is given.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn logs(&self, bytes_max: usize, count: Option<usize>) -> Result<Value, WorkspaceError> {
        let entries = self.history()?;
        let first = entries.len().saturating_sub(count.unwrap_or(entries.len()));
        let shown = entries[first..].iter().map(|entry| self.log_entry(entry, bytes_max));
        let shown = shown.collect::<Result<Vec<_>, _>>()?;
        Ok(
            json!({ "workspace_id": self.id(), "count": shown.len(), "total_count": entries.len(), "entries": shown }),
        )
    }

    fn log_entry(&self, entry: &Entry, bytes_max: usize) -> Result<Value, WorkspaceError> {
        let (started, ended) = (&entry.started, entry.ended.as_ref());
        let mut shown = json!({
            "sequence": started.sequence,
            "command": started.command,
            "cwd": started.cwd,
            "exit_code": ended.map(|ended| ended.exit_code),
            "duration_ms": ended.map(|ended| ended.duration_ms),
            "execution_mode": started.execution_mode,
            "recorded_at": started.recorded_at,
            "detached": started.detached,
            "timed_out": ended.is_some_and(|ended| ended.timed_out),
            "error": ended.and_then(|ended| ended.error.as_ref()).map(|(_, text)| text),
        });
        for (stream, name) in [(Stream::Stdout, "stdout"), (Stream::Stderr, "stderr")] {
            let bytes = self.kept_output(started.sequence, stream, 0, bytes_max)?;
            let counted = ended.map(|ended| match stream {
                Stream::Stdout => ended.stdout_bytes,
                Stream::Stderr => ended.stderr_bytes,
            });
            let total_bytes = counted.unwrap_or_default().max(self.kept_bytes(started.sequence, stream));
            self.output_fields(&mut shown, name, started.sequence, stream, &Excerpt { bytes, total_bytes });
        }
        Ok(shown)
    }

    /// A command that its caller has waited for, with what the caller kept of its output.
    ///
    /// # Errors
    /// The workspace's document cannot be read.
    pub fn describe_exec(
        &self,
        command: &str,
        report: &ExecReport,
        stdout: &Excerpt,
        stderr: &Excerpt,
    ) -> Result<Value, WorkspaceError> {
        let document: Document = self.folder.load()?;
        let ended = &report.ended;
        let mut shown = json!({
            "workspace_id": self.id(),
            "environment": document.environment,
            "environment_version": document.environment_version,
            "command": command,
            "cwd": report.cwd,
            "sequence": report.sequence,
            "exit_code": ended.exit_code,
            "signal": ended.signal,
            "timed_out": ended.timed_out,
            "duration_ms": ended.duration_ms,
            "execution_mode": super::view::EXECUTION_MODE,
            "detached_processes": ended.detached_processes,
            "warning": ended.warning,
        });
        self.output_fields(&mut shown, "stdout", report.sequence, Stream::Stdout, stdout);
        self.output_fields(&mut shown, "stderr", report.sequence, Stream::Stderr, stderr);
        Ok(shown)
    }

    fn output_fields(&self, shown: &mut Value, name: &str, sequence: u64, stream: Stream, excerpt: &Excerpt) {
        excerpt.add_counted(shown, name);
        let path = History::of(&self.folder).output(sequence, stream);
        let kept = self.kept_bytes(sequence, stream);
        shown[format!("{name}_file")] = if kept > 0 { json!(path.to_string_lossy()) } else { Value::Null };
        shown[format!("{name}_kept_bytes")] = json!(kept);
        if excerpt.is_truncated() {
            shown[format!("{name}_next_offset")] = json!(excerpt.bytes.len());
        }
    }

    fn kept_bytes(&self, sequence: u64, stream: Stream) -> u64 {
        std::fs::metadata(History::of(&self.folder).output(sequence, stream)).map_or(0, |found| found.len())
    }
}
