//! Workspaces as people read them: the contract's block and lines. This file must not ask the library for anything.

use crate::output;
use serde_json::Value;

/// A field as people read it; a hyphen for nothing.
pub(crate) fn text(record: &Value, name: &str) -> String {
    match &record[name] {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

/// Labels as `k=v,k=v`; a hyphen for none.
pub(super) fn labels(record: &Value) -> String {
    let pair = |(key, value): (&String, &Value)| format!("{key}={}", value.as_str().unwrap_or_default());
    let all: Vec<String> = record["labels"].as_object().into_iter().flatten().map(pair).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(",") }
}

/// The block that every command which changes a workspace prints; `verb` stands before its first line.
pub(super) fn summary(verb: &str, record: &Value) {
    let text = |name| text(record, name);
    output::line(&format!("{verb} ID: {}", text("workspace_id")));
    let mut rows = Vec::new();
    if !record["name"].is_null() {
        rows.push(("Name", text("name")));
    }
    if labels(record) != "-" {
        rows.push(("Labels", labels(record)));
    }
    rows.push(("Environment", text("environment")));
    rows.push(("State", state(record)));
    rows.push(("Workspace", text("workspace_path")));
    rows.push(("Network policy", text("network_policy")));
    rows.push(("Workspace seed", seed(&record["workspace_seed"])));
    rows.push(("Secrets", "none".to_owned()));
    rows.push(("Execution mode", text("execution_mode")));
    rows.push((
        "Resources",
        format!("{} vCPU, {} MiB memory, {} MiB disk", text("vcpu_count"), text("mem_mib"), text("disk_mib")),
    ));
    rows.push(("Disk used", format!("{} bytes in {} layers", text("disk_bytes"), text("disk_layers"))));
    rows.push(("Command count", text("command_count")));
    rows.push(("Reset count", text("reset_count")));
    rows.push(("Services", format!("{}/{} running", text("running_service_count"), text("service_count"))));
    let ports = published_ports(record);
    if !ports.is_empty() {
        rows.push(("Published ports", ports));
    }
    rows.push(("Last activity at", text("last_activity_at")));
    rows.push(("Expires at", expiry(record)));
    if let Some(command) = record["last_command"]["command"].as_str() {
        rows.push(("Last command", format!("{command} (exit_code={})", record["last_command"]["exit_code"])));
    }
    for (name, value) in rows {
        output::line(&format!("{name}: {value}"));
    }
}

/// Published ports as `HOST:PORT->PORT/tcp`, with commas between.
fn published_ports(record: &Value) -> String {
    let port = |port: &Value| {
        let text = |name| text(port, name);
        format!("{}:{}->{}/{}", text("host"), text("host_port"), text("guest_port"), text("protocol"))
    };
    let ports: Vec<String> = record["published_ports"].as_array().into_iter().flatten().map(port).collect();
    ports.join(", ")
}

fn state(record: &Value) -> String {
    match record["stop_reason"].as_str() {
        Some(reason) => format!("{} ({reason})", text(record, "state")),
        None => text(record, "state"),
    }
}

fn expiry(record: &Value) -> String {
    if record["expires_at"].is_null() { "never".to_owned() } else { text(record, "expires_at") }
}

fn seed(seed: &Value) -> String {
    match seed["seed_path"].as_str() {
        None => text(seed, "mode"),
        Some(path) => {
            let commit = seed["commit"].as_str().map(|commit| format!(" at {commit}")).unwrap_or_default();
            format!("{} from {path}{commit}", text(seed, "mode"))
        }
    }
}

/// One line of a list.
pub(super) fn list_line(record: &Value) {
    if let Some(error) = record["error"].as_str() {
        let (id, state) = (text(record, "workspace_id"), text(record, "state"));
        output::line(&format!("[workspace] workspace_id={id} state={state} error={error}"));
        return;
    }
    let text = |name| text(record, name);
    output::line(&format!(
        "[workspace] workspace_id={} name={} state={} environment={} labels={} last_activity_at={} expires_at={} commands={} services={}/{}",
        text("workspace_id"),
        text("name"),
        text("state"),
        text("environment"),
        labels(record),
        text("last_activity_at"),
        expiry(record),
        text("command_count"),
        text("running_service_count"),
        text("service_count"),
    ));
}
