//! What operations give back, as every surface shows it: one JSON document for each. The records themselves are described
//! beside what they are of. This file must not ask anybody for anything it was not given.

use super::disk::DiskList;
use super::disk::DiskRead;
use super::error::StoreError;
use super::error::WorkspaceError;
use super::exec::Offsets;
use super::handle::Workspace;
use super::handle::Workspaces;
use super::history::Ended;
use super::id::LabelKey;
use super::id::LabelValue;
use super::id::SnapshotName;
use super::logs::Excerpt;
use super::port::PublishedPort;
use super::registry::Listed;
use super::secrets::SecretView;
use super::service::ServiceLogs;
use super::service::ServiceRecord;
use super::snapshots::SnapshotDocument;
use super::transfer::ExportReport;
use super::transfer::PullReport;
use super::transfer::PushReport;
use super::view::EXECUTION_MODE;
use crate::code::Coded as _;
use crate::code::chain;
use crate::secret::SecretName;
use crate::tree::TreePath;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use serde_json::json;

impl Listed {
    /// Whether a workspace has all of these labels; a broken one has none.
    pub fn has_labels(&self, labels: &[(LabelKey, LabelValue)]) -> bool {
        labels.iter().all(|(key, value)| {
            self.document.as_ref().is_ok_and(|found| found.labels.get(key) == Some(value))
        })
    }
}

impl Workspaces {
    /// Every workspace with these labels and in this state, the last used first: `{count, workspaces[]}`. One whose document is
    /// broken has `error` and `code` instead of the rest.
    ///
    /// # Errors
    /// The state folder cannot be read.
    pub fn describe_list(
        &self,
        labels: &[(LabelKey, LabelValue)],
        state: Option<&str>,
    ) -> Result<Value, StoreError> {
        let listed = self.list()?;
        let records = listed.iter().filter(|listed| listed.has_labels(labels)).map(|one| self.describe(one));
        let is_wanted = |record: &Value| state.is_none_or(|state| record["state"] == state);
        let records: Vec<Value> = records.filter(is_wanted).collect();
        Ok(json!({ "count": records.len(), "workspaces": records }))
    }

    fn describe(&self, listed: &Listed) -> Value {
        match &listed.document {
            Ok(document) => {
                let workspace = self.open_listed(listed);
                workspace.describe(document, workspace.is_held())
            }
            Err(error) => json!({
                "workspace_id": listed.folder.id(),
                "state": "broken",
                "error": chain(error),
                "code": error.code(),
            }),
        }
    }
}

impl Workspace {
    /// That it was deleted.
    pub fn describe_deleted(&self) -> Value {
        json!({ "workspace_id": self.id(), "deleted": true, "reason": "explicit_delete" })
    }

    /// The record of a workspace that was reset to this snapshot, with `workspace_reset`.
    ///
    /// # Errors
    /// The document cannot be read.
    pub async fn reset_record(&self, snapshot: &SnapshotDocument) -> Result<Value, WorkspaceError> {
        let mut record = self.record(false).await?;
        record["workspace_reset"] = self.describe_reset(snapshot, &self.document()?);
        Ok(record)
    }

    /// Its children's records.
    pub fn describe_children(&self, children: &[Value]) -> Value {
        json!({ "workspace_id": self.id(), "count": children.len(), "children": children })
    }

    /// A command that was started and that nobody waits for.
    pub fn describe_detached(&self, job: u64, command: &str) -> Value {
        json!({ "workspace_id": self.id(), "job_id": job, "command": command, "state": "running" })
    }

    /// Its jobs.
    pub fn describe_jobs(&self, jobs: &[Value]) -> Value {
        json!({ "workspace_id": self.id(), "count": jobs.len(), "jobs": jobs })
    }

    /// A signal that a job was sent.
    pub fn describe_job_signal(&self, job: u64, signal: i32) -> Value {
        json!({ "workspace_id": self.id(), "job_id": job, "signal": signal })
    }

    /// How a job ended.
    pub fn describe_job_end(&self, job: u64, ended: &Ended) -> Value {
        let mut document = json!(ended);
        document["workspace_id"] = json!(self.id());
        document["job_id"] = json!(job);
        document
    }

    /// What a job has printed from `from` on, and how it ended, if it has.
    pub fn describe_job_output(
        &self,
        job: u64,
        from: Offsets,
        ended: Option<&Ended>,
        stdout: &Excerpt,
        stderr: &Excerpt,
    ) -> Value {
        let mut document = json!({
            "workspace_id": self.id(),
            "job_id": job,
            "state": if ended.is_some() { "exited" } else { "running" },
            "exit_code": ended.map(|ended| ended.exit_code),
        });
        for (name, offset, excerpt) in [("stdout", from.stdout, stdout), ("stderr", from.stderr, stderr)] {
            excerpt.add_text(&mut document, name);
            document[format!("{name}_offset")] = json!(offset);
            document[format!("{name}_next_offset")] =
                json!(offset.saturating_add(excerpt.bytes.len() as u64));
            document[format!("{name}_truncated")] = json!(excerpt.is_truncated());
        }
        document
    }

    /// A snapshot that was taken.
    pub fn describe_snapshot_taken(&self, snapshot: &SnapshotDocument) -> Value {
        json!({
            "workspace_id": self.id(),
            "snapshot": self.describe_snapshot(snapshot),
            "execution_mode": EXECUTION_MODE,
        })
    }

    /// Its snapshots.
    pub fn describe_snapshots(&self, snapshots: &[SnapshotDocument]) -> Value {
        let shown: Vec<Value> = snapshots.iter().map(|snapshot| self.describe_snapshot(snapshot)).collect();
        json!({ "workspace_id": self.id(), "count": shown.len(), "snapshots": shown })
    }

    /// That a snapshot was deleted.
    pub fn describe_snapshot_deleted(&self, name: &SnapshotName) -> Value {
        json!({ "workspace_id": self.id(), "snapshot_name": name, "deleted": true })
    }

    /// What is in a folder of its disk.
    pub fn describe_disk_list(&self, list: &DiskList) -> Value {
        let mut document = list.describe();
        document["workspace_id"] = json!(self.id());
        document
    }

    /// A part of a file of its disk. What is no UTF-8 is there in base64 too, to the byte.
    pub fn describe_disk_read(&self, read: &DiskRead) -> Value {
        let is_text = std::str::from_utf8(&read.content).is_ok();
        let exact = (!is_text).then(|| STANDARD.encode(&read.content));
        json!({
            "workspace_id": self.id(),
            "path": String::from_utf8_lossy(&read.path),
            "size_bytes": read.size_bytes,
            "max_bytes": read.spec.max_bytes,
            "offset": read.spec.offset,
            "content": String::from_utf8_lossy(&read.content),
            "content_base64": exact,
            "truncated": read.is_truncated(),
        })
    }

    /// What was copied out.
    pub fn describe_export(&self, report: &ExportReport) -> Value {
        json!({
            "workspace_id": self.id(),
            "workspace_path": report.workspace_path,
            "output_path": report.output_path.as_ref().map(|path| path.to_string_lossy()),
            "artifact_type": report.artifact_type,
            "entry_count": report.entry_count,
            "bytes_written": report.bytes_written,
            "execution_mode": EXECUTION_MODE,
            "warnings": report.warnings,
        })
    }

    /// What a push did, or would do if `dry_run`.
    pub fn describe_push(&self, report: &PushReport, dry_run: bool) -> Value {
        json!({
            "workspace_id": self.id(),
            "execution_mode": EXECUTION_MODE,
            "workspace_sync": {
                "mode": report.mode,
                "source_path": report.source.display().to_string(),
                "destination": report.destination,
                "entry_count": report.entry_count,
                "bytes_written": report.bytes_written,
                "deleted_count": report.deleted.len(),
                "unchanged_count": report.unchanged,
                "dry_run": dry_run,
                "sent": paths(&report.sent, dry_run),
                "deleted": paths(&report.deleted, dry_run),
                "warnings": report.warnings.list(),
                "warning_count": report.warnings.count(),
            },
        })
    }

    /// What a pull did, or would do if `dry_run`.
    pub fn describe_pull(&self, report: &PullReport, dry_run: bool) -> Value {
        json!({
            "workspace_id": self.id(),
            "execution_mode": EXECUTION_MODE,
            "workspace_pull": {
                "source": report.source,
                "target_path": report.target.display().to_string(),
                "entry_count": report.received.len(),
                "bytes_written": report.bytes_written,
                "deleted_count": report.deleted.len(),
                "unchanged_count": report.unchanged,
                "dry_run": dry_run,
                "received": paths(&report.received, dry_run),
                "deleted": paths(&report.deleted, dry_run),
                "warnings": report.warnings.list(),
                "warning_count": report.warnings.count(),
            },
        })
    }

    /// Its services.
    pub fn describe_services(&self, services: &[ServiceRecord]) -> Value {
        json!({
            "workspace_id": self.id(),
            "count": services.len(),
            "running_count": services.iter().filter(|service| service.is_living()).count(),
            "services": services.iter().map(ServiceRecord::describe).collect::<Vec<_>>(),
        })
    }

    /// Its shells.
    pub fn describe_shells(&self, shells: &[Value]) -> Value {
        let running = shells.iter().filter(|shell| shell["state"] == "running").count();
        json!({ "workspace_id": self.id(), "count": shells.len(), "running_count": running, "shells": shells })
    }

    /// Its secrets, without their values.
    pub fn describe_secrets(&self, secrets: &[SecretView]) -> Value {
        json!({ "workspace_id": self.id(), "count": secrets.len(), "secrets": secrets })
    }

    /// That secrets were set.
    pub fn describe_secrets_set(&self, names: &[String]) -> Value {
        json!({ "workspace_id": self.id(), "secrets": names, "set": true })
    }

    /// That a secret was forgotten.
    pub fn describe_secret_removed(&self, name: &SecretName) -> Value {
        json!({ "workspace_id": self.id(), "secret_name": name, "removed": true })
    }

    /// A port that is published.
    pub fn describe_port(&self, port: &PublishedPort) -> Value {
        json!({ "workspace_id": self.id(), "published_port": port.describe() })
    }

    /// Its published ports.
    pub fn describe_ports(&self, ports: &[Value]) -> Value {
        json!({ "workspace_id": self.id(), "count": ports.len(), "published_ports": ports })
    }

    /// A port that is published no longer.
    pub fn describe_port_removed(&self, port: &PublishedPort) -> Value {
        json!({ "workspace_id": self.id(), "published_port": port.describe(), "removed": true })
    }
}

impl ServiceLogs {
    /// The service's record with what it printed, the last `lines` lines of each output, or all that is kept.
    pub fn describe(&self, lines: Option<u64>, stdout: &Excerpt, stderr: &Excerpt) -> Value {
        let mut record = self.record.describe();
        for (name, excerpt) in [("stdout", stdout), ("stderr", stderr)] {
            excerpt.add_text(&mut record, name);
        }
        let is_cut = stdout.is_truncated() || stderr.is_truncated();
        record["tail_lines"] = json!(lines);
        record["truncated"] = json!(self.truncated || is_cut);
        record
    }
}

impl Excerpt {
    /// Whether there was more.
    pub fn is_truncated(&self) -> bool {
        self.total_bytes > self.bytes.len() as u64
    }

    /// Puts it into a document as text, and, if it is no UTF-8, in base64 too.
    pub(crate) fn add_text(&self, shown: &mut Value, name: &str) {
        shown[name] = json!(String::from_utf8_lossy(&self.bytes));
        if std::str::from_utf8(&self.bytes).is_err() {
            shown[format!("{name}_base64")] = json!(STANDARD.encode(&self.bytes));
        }
    }

    /// Puts it into a document with how much there was.
    pub(crate) fn add_counted(&self, shown: &mut Value, name: &str) {
        self.add_text(shown, name);
        shown[format!("{name}_bytes")] = json!(self.total_bytes);
        shown[format!("{name}_truncated")] = json!(self.is_truncated());
    }
}

/// The paths themselves are what a dry run is for.
fn paths(paths: &[TreePath], wanted: bool) -> Value {
    if wanted { json!(paths.iter().map(ToString::to_string).collect::<Vec<_>>()) } else { Value::Null }
}
