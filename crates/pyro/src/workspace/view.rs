//! A workspace as the contract shows it: one JSON record, the same on every surface. This file must not fetch anything it was
//! not given.

use super::control::connection;
use super::control::message::Request;
use super::control::message::StatusReply;
use super::document::Document;
use super::document::Stage;
use super::document::StopReason;
use super::document::UnixSeconds;
use super::error::WorkspaceError;
use super::handle::Workspace;
use super::port::PublishedPort;
use crate::code;
use crate::work::Work;
use serde_json::Value;
use serde_json::json;

/// The contract's name for where commands of a real guest run.
pub(super) const EXECUTION_MODE: &str = "guest_vsock";

impl Workspace {
    /// The workspace's record. A running guest is asked how it is, if `guest`; one that does not answer leaves that part out.
    ///
    /// # Errors
    /// The document cannot be read.
    pub fn record(&self, guest: bool) -> Work<'_, Result<Value, WorkspaceError>> {
        Box::pin(async move {
            let request = Request::Status { guest, usage: false, settled: false };
            match connection::call_now::<StatusReply>(&self.config, &self.folder, request).await {
                Ok(reply) => Ok(self.describe_live(&reply.document, true, Some(&reply))),
                // It is being started or stopped, or its supervisor is of another version.
                Err(_) => Ok(self.describe(&self.folder.load()?, self.folder.is_held())),
            }
        })
    }

    /// The record from what is on disk: no process is asked.
    pub fn describe(&self, document: &Document, held: bool) -> Value {
        self.describe_live(document, held, None)
    }

    fn describe_live(&self, document: &Document, held: bool, live: Option<&StatusReply>) -> Value {
        let stopped = stopped(document, held);
        let layers = self.folder.layers();
        let (services, running_services) = super::service::store::count(&self.folder, held);
        let mut record = json!({
            "workspace_id": document.workspace_id,
            "name": document.name,
            "labels": document.labels,
            "environment": document.environment,
            "environment_version": document.environment_version,
            "vcpu_count": document.size.vcpus.get(),
            "mem_mib": document.size.mem.get(),
            "disk_mib": document.size.disk.get(),
            "ttl_seconds": document.ttl_seconds,
            "retention_seconds": document.retention_seconds,
            "created_at": document.created_at,
            "last_activity_at": document.last_activity_at,
            "expires_at": document.expires_at(),
            "state": state(document, held, live.is_some()),
            "stopped_at": stopped.as_ref().and_then(|(_, when)| *when),
            "stop_reason": stopped.map(|(reason, _)| reason),
            "network_policy": document.network_policy,
            "network_enabled": document.network_policy != "off",
            "allow_host_compat": false,
            "guest_ip": null,
            "tap_name": null,
            "execution_mode": EXECUTION_MODE,
            "workspace_path": super::WORKSPACE_PATH,
            "workspace_seed": document.workspace_seed,
            "secrets": secrets(document),
            "command_count": document.command_count,
            "last_command": document.last_command,
            "reset_count": document.reset_count,
            "last_reset_at": document.last_reset_at,
            "service_count": services,
            "running_service_count": running_services,
            "published_ports": document.published_ports.iter().map(PublishedPort::describe).collect::<Vec<_>>(),
            "forked_from": document.forked_from,
            "disk_layers": document.chain.depth(),
            "disk_bytes": layers.disk_bytes(document.chain.layers()),
            "metadata": document.metadata,
        });
        if let Some(live) = live {
            add_live(&mut record, live);
        }
        record
    }
}

fn secrets(document: &Document) -> Vec<Value> {
    let shown = document.secrets.iter();
    shown.map(|(name, record)| json!({ "name": name, "source_kind": record.source_kind })).collect()
}

fn add_live(record: &mut Value, live: &StatusReply) {
    record["running_jobs"] = json!(live.running_jobs);
    record["supervisor_pid"] = json!(live.supervisor_pid);
    record["engine_pid"] = json!(live.engine_pid);
    record["engine"] = json!(live.engine);
    record["acceleration"] = json!(live.acceleration);
    record["isolation"] = json!(match live.acceleration.as_str() {
        "kvm" => "hardware",
        "emulated" => "emulated",
        _ => "none",
    });
    record["started_by"] = json!(live.started_by);
    record["started_at"] = json!(live.started_at);
    record["blocked"] =
        json!(live.blocked_since.map(|since| json!({ "reason": code::DISK_FULL, "since": since })));
    record["guest"] = json!(live.guest.map(|guest| json!({
        "disk_total_bytes": guest.disk_total_bytes,
        "disk_free_bytes": guest.disk_free_bytes,
        "disk_full": guest.disk_full(),
        "mem_total_kib": guest.mem_total_kib,
        "mem_available_kib": guest.mem_available_kib,
        "jobs": guest.jobs,
    })));
}

/// Why and when the guest ended, if it does not run. One that nobody has seen end was lost, at a time that nobody knows.
fn stopped(document: &Document, held: bool) -> Option<(StopReason, Option<UnixSeconds>)> {
    let known = document.stopped.clone().map(|(reason, when)| (reason, Some(when)));
    (!held).then(|| known.unwrap_or((StopReason::GuestLost, None)))
}

fn state(document: &Document, held: bool, answers: bool) -> &'static str {
    match (document.stage, held) {
        (Stage::Creating, true) => "creating",
        (Stage::Creating, false) => "broken",
        (Stage::Ready, true) if answers || document.stopped.is_none() => "started",
        (Stage::Ready, true) => "busy",
        (Stage::Ready, false) if document.suspended.is_some() => "suspended",
        (Stage::Ready, false) => "stopped",
    }
}
