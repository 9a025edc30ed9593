//! VMs: guests for one command, as the contract has them. `vm_run` makes and removes one; the others are workspaces with a
//! label, which therefore outlive whoever made them.
//!
//! ```text
//!   vm_create --> created --vm_start--> started --vm_exec--> nothing
//!                                         |  ^
//!                                    stop v  | start           vm_reap_expired, vm_delete --> nothing
//!                                       stopped
//! ```

use super::exec::never_ran;
use super::fields;
use crate::operations::action::Action;
use crate::operations::action::Context;
use crate::operations::action::Outcome;
use crate::operations::error::OperationError;
use crate::operations::given;
use crate::operations::given::default;
use crate::operations::output;
use crate::operations::relay::relay;
use crate::operations::table::Hints;
use crate::operations::table::Operation;
use pyro::code;
use pyro::limits::TtlSeconds;
use pyro::run::RunSpec;
use pyro::workspace::Document;
use pyro::workspace::ExecSpec;
use pyro::workspace::UnixSeconds;
use pyro::workspace::Update;
use pyro::workspace::Workspace;
use pyro::workspace::WorkspaceError;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use serde_json::json;
use std::time::Duration;

/// What marks a workspace as a VM; its value is `created` until it is started.
const LABEL: &str = "pyro/vm";
const CREATED: &str = "created";
const USED: &str = "used";

/// How long a guest has to end by itself.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

pub(super) fn one_shot() -> Vec<Operation> {
    vec![Operation::of::<Run>()]
}

pub(super) fn all() -> Vec<Operation> {
    vec![
        Operation::of::<Create>(),
        Operation::of::<Start>(),
        Operation::of::<Exec>(),
        Operation::of::<Stop>(),
        Operation::of::<Delete>(),
        Operation::of::<Status>(),
        Operation::of::<NetworkInfo>(),
        Operation::of::<ReapExpired>(),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Run {
    /// Environment, as vm_list_environments names it, for instance "debian:12".
    environment: String,
    /// Shell string, run by /bin/sh -lc.
    command: String,
    /// Virtual processors, 1 to 8.
    #[serde(default = "default::vcpu_count")]
    vcpu_count: u64,
    /// Memory in MiB, 256 to 32768.
    #[serde(default = "default::mem_mib")]
    mem_mib: u64,
    /// Disk in MiB; it takes only what is written to it.
    #[serde(default = "default::disk_mib")]
    disk_mib: u64,
    /// Seconds after which the command is ended with everything it started (exit code 124).
    #[serde(default = "default::timeout_seconds")]
    timeout_seconds: u64,
    /// Seconds the guest may live; 0 for no limit.
    #[serde(default = "default::ttl_seconds")]
    ttl_seconds: u64,
    /// Give the guest outbound network.
    #[serde(default)]
    network: bool,
    /// Run without isolation when no engine works; refused by MCP servers.
    #[serde(default)]
    allow_host_compat: bool,
    /// Most bytes of each output that are given back.
    max_output_bytes: Option<usize>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Create {
    /// Environment, as vm_list_environments names it.
    environment: String,
    /// Virtual processors, 1 to 8.
    #[serde(default = "default::vcpu_count")]
    vcpu_count: u64,
    /// Memory in MiB, 256 to 32768.
    #[serde(default = "default::mem_mib")]
    mem_mib: u64,
    /// Seconds after which vm_reap_expired removes it; 0 for never.
    #[serde(default = "default::ttl_seconds")]
    ttl_seconds: u64,
    /// Give the guest outbound network.
    #[serde(default)]
    network: bool,
    /// Run without isolation when no engine works; refused by MCP servers.
    #[serde(default)]
    allow_host_compat: bool,
}

macro_rules! of_a_vm {
    ($($name:ident)+) => {
        $(#[derive(Debug, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        struct $name {
            /// VM, by its id.
            vm_id: String,
        })+
    };
}

of_a_vm!(Start Stop Delete Status NetworkInfo);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Exec {
    /// VM, by its id.
    vm_id: String,
    /// Shell string, run by /bin/sh -lc.
    command: String,
    /// Seconds after which it is ended with everything it started (exit code 124).
    #[serde(default = "default::timeout_seconds")]
    timeout_seconds: u64,
    /// Most bytes of each output that are given back.
    max_output_bytes: Option<usize>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ReapExpired {}

impl Action for Run {
    const NAME: &'static str = "vm_run";
    const TITLE: &'static str = "Run one command in a fresh VM";
    const DESCRIPTION: &'static str = "Run one shell command in a fresh Linux microVM and remove it afterwards: nothing is \
        left and nothing is kept. Use it to try something out, safely. For several steps on the same files use \
        workspace_create. A command that fails is no error of the tool: look at exit_code. Example: {\"environment\": \
        \"debian:12\", \"command\": \"git --version\"}.";
    const HINTS: Hints = Hints::ADDS;
    const OUTPUT: &'static [&'static str] =
        &[fields::COMMAND, "vm_id:str cleanup:obj isolation:str engine:str"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let rules = with.operations.rules();
        let bytes_max = self.max_output_bytes.unwrap_or(rules.output_bytes);
        let spec = RunSpec {
            environment: self.environment,
            command: given::command(self.command)?,
            size: given::size(rules, self.vcpu_count, self.mem_mib, self.disk_mib)?,
            timeout: rules.timeout(self.timeout_seconds)?,
            ttl: TtlSeconds::new(self.ttl_seconds)?,
            env: Vec::new(),
            cwd: None,
            user: None,
            stdin: false,
            terminal: None,
            guest_status: true,
            network: self.network,
            template: true,
            allow_host_compat: rules.host_compat(self.allow_host_compat)?,
        };
        let (environment, command) = (spec.environment.clone(), spec.command.display());
        // It is never listed, so it counts as one that is being made for as long as it is there.
        let _room = with.room_for(1)?;
        let config = with.operations.config();
        let (report, kept) = output::kept(with.progress, bytes_max, |io| {
            relay(
                with.progress,
                |mut teller| async move { pyro::run::run(config, spec, io, &mut teller).await },
            )
        })
        .await;
        Ok(report?.describe(&environment, &command, &kept.stdout, &kept.stderr))
    }
}

impl Action for Create {
    const NAME: &'static str = "vm_create";
    const TITLE: &'static str = "Create a VM";
    const DESCRIPTION: &'static str = "Make a VM for one command: vm_start starts it, vm_exec runs the command and removes it. \
        vm_run does all of that at once; workspace_create makes one that stays.";
    const HINTS: Hints = Hints::ADDS;
    const OUTPUT: &'static [&'static str] = &[fields::VM];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let rules = with.operations.rules();
        rules.host_compat(self.allow_host_compat)?;
        if self.network {
            return Err(WorkspaceError::NetworkUnavailable { policy: "egress".to_owned() }.into());
        }
        let size = given::size(rules, self.vcpu_count, self.mem_mib, default::disk_mib())?;
        let ttl = TtlSeconds::new(self.ttl_seconds)?;
        let own = [(given::name(LABEL)?, given::name(CREATED)?)];
        let labels = own.into_iter().chain(rules.labels.iter().cloned()).collect();
        let all = with.workspaces()?;
        let _room = with.room_for(1)?;
        let environment = self.environment;
        let made = relay(with.progress, |mut teller| async move {
            all.create_stopped(environment, size, ttl, labels, &mut teller).await
        });
        record(&made.await?).await
    }
}

impl Action for Start {
    const NAME: &'static str = "vm_start";
    const TITLE: &'static str = "Start a VM";
    const DESCRIPTION: &'static str = "Start a VM that was created or stopped.";
    const HINTS: Hints = Hints::SETS;
    const OUTPUT: &'static [&'static str] = &[fields::VM];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let vm = find(with, &self.vm_id)?;
        let started = relay(with.progress, |teller| {
            let vm = &vm;
            async move { vm.start(&mut |text| teller.notice(text)).await }
        });
        started.await?;
        if is_created(&vm.document()?) {
            let labels = [(given::name(LABEL)?, given::name(USED)?)].into();
            vm.update(&Update { labels, ..Update::default() }).await?;
        }
        record(&vm).await
    }
}

impl Action for Exec {
    const NAME: &'static str = "vm_exec";
    const TITLE: &'static str = "Run a command in a VM, and remove it";
    const DESCRIPTION: &'static str = "Run a shell command in a VM that was started, and remove the VM afterwards, whatever \
        came of it.";
    const HINTS: Hints = Hints::DESTROYS;
    const OUTPUT: &'static [&'static str] = &[fields::COMMAND, "vm_id:str cleanup:obj"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let rules = with.operations.rules();
        let vm = find(with, &self.vm_id)?;
        if is_created(&vm.document()?) {
            let text = format!("the VM {} was not started", vm.id());
            return Err(OperationError::new(code::WORKSPACE_NOT_RUNNING, text).hint("vm_start starts it"));
        }
        let bytes_max = self.max_output_bytes.unwrap_or(rules.output_bytes);
        let spec = ExecSpec {
            command: given::command(self.command)?,
            timeout: Some(rules.timeout(self.timeout_seconds)?),
            env: Vec::new(),
            cwd: None,
            user: None,
            stdin: false,
            secret_env: Vec::new(),
        };
        let command = spec.command.display();
        let (report, kept) = output::kept(with.progress, bytes_max, |io| vm.exec(spec, io)).await;
        let told = report.map_err(OperationError::from).and_then(|report| {
            never_ran(vm.id().as_str(), &report.ended)?;
            Ok(vm.describe_exec(&command, &report, &kept.stdout, &kept.stderr)?)
        });
        vm.delete().await?;
        let mut document = told?;
        if let Value::Object(map) = &mut document {
            // The files that these name have gone with the VM.
            map.retain(|name, _| !name.ends_with("_file") && !name.ends_with("_next_offset"));
            map.remove("workspace_id");
            map.remove("sequence");
        }
        document["vm_id"] = json!(vm.id());
        document["cleanup"] = json!({ "vm_id": vm.id(), "deleted": true, "reason": "post_exec_cleanup" });
        Ok(document)
    }
}

impl Action for Stop {
    const NAME: &'static str = "vm_stop";
    const TITLE: &'static str = "Stop a VM";
    const DESCRIPTION: &'static str = "Stop a VM; its disk stays until it is deleted.";
    const HINTS: Hints = Hints::SETS;
    const OUTPUT: &'static [&'static str] = &[fields::VM];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let vm = find(with, &self.vm_id)?;
        vm.stop(false, STOP_DEADLINE).await?;
        record(&vm).await
    }
}

impl Action for Delete {
    const NAME: &'static str = "vm_delete";
    const TITLE: &'static str = "Delete a VM";
    const DESCRIPTION: &'static str = "Delete a VM with everything in it.";
    const HINTS: Hints = Hints::DESTROYS;
    const OUTPUT: &'static [&'static str] = &["vm_id:str deleted:bool reason:str"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let vm = find(with, &self.vm_id)?;
        vm.delete().await?;
        Ok(json!({ "vm_id": vm.id(), "deleted": true, "reason": "explicit_delete" }))
    }
}

impl Action for Status {
    const NAME: &'static str = "vm_status";
    const TITLE: &'static str = "Show a VM";
    const DESCRIPTION: &'static str =
        "Show how a VM is: created, started or stopped, its resources and when it expires.";
    const HINTS: Hints = Hints::READS;
    const OUTPUT: &'static [&'static str] = &[fields::VM];

    async fn run(self, with: &Context<'_>) -> Outcome {
        record(&find(with, &self.vm_id)?).await
    }
}

impl Action for NetworkInfo {
    const NAME: &'static str = "vm_network_info";
    const TITLE: &'static str = "Show a VM's network";
    const DESCRIPTION: &'static str =
        "Show which network a VM has, and whether connections out of it can be expected to work.";
    const HINTS: Hints = Hints::READS;
    const OUTPUT: &'static [&'static str] = &[
        "vm_id:str network_enabled:bool tap_name:str? guest_ip:str? gateway_ip:str? subnet_cidr:str? mac_address:str? \
         dns_servers:list outbound_connectivity_expected:bool reason:str?",
    ];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let record = record(&find(with, &self.vm_id)?).await?;
        let enabled = record["network_enabled"] == true;
        let reason = (!enabled).then_some("the VM was made without a network, and has no device for one");
        Ok(json!({
            "vm_id": record["vm_id"],
            "network_enabled": enabled,
            "tap_name": record["tap_name"],
            "guest_ip": record["guest_ip"],
            "gateway_ip": null,
            "subnet_cidr": null,
            "mac_address": null,
            "dns_servers": [],
            "outbound_connectivity_expected": enabled,
            "reason": reason,
        }))
    }
}

impl Action for ReapExpired {
    const NAME: &'static str = "vm_reap_expired";
    const TITLE: &'static str = "Remove expired VMs";
    const DESCRIPTION: &'static str = "Delete the VMs whose time to live is over, whoever made them. Workspaces are not \
        touched.";
    const HINTS: Hints = Hints::DESTROYS;
    const OUTPUT: &'static [&'static str] = &["deleted_vm_ids:list count:int"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let all = with.workspaces()?;
        let mut deleted = Vec::new();
        for listed in all.list()? {
            let is_over =
                listed.document.as_ref().is_ok_and(|document| is_vm(document) && is_expired(document));
            if is_over {
                let vm = all.open_listed(&listed);
                vm.delete().await?;
                deleted.push(vm.id().to_string());
            }
        }
        Ok(json!({ "count": deleted.len(), "deleted_vm_ids": deleted }))
    }
}

/// A VM; a workspace that is none is nobody's VM.
fn find(with: &Context<'_>, given: &str) -> Result<Workspace, OperationError> {
    let unknown = || {
        OperationError::new(code::WORKSPACE_UNKNOWN, format!("there is no VM '{given}'"))
            .hint("vm_exec removes a VM when it is done; vm_create makes another")
    };
    let vm = with
        .find(given)
        .map_err(|error| if error.code == code::WORKSPACE_UNKNOWN { unknown() } else { error })?;
    if is_vm(&vm.document()?) { Ok(vm) } else { Err(unknown()) }
}

fn label(document: &Document) -> Option<&str> {
    document.labels.iter().find(|(key, _)| key.as_str() == LABEL).map(|(_, value)| value.as_str())
}

fn is_vm(document: &Document) -> bool {
    label(document).is_some()
}

fn is_created(document: &Document) -> bool {
    label(document) == Some(CREATED)
}

/// When the VM is over: counted from when it was made, whatever it did since.
fn expires_at(document: &Document) -> Option<UnixSeconds> {
    let ttl = Duration::from_secs(document.ttl_seconds.into());
    (document.ttl_seconds > 0).then(|| document.created_at.after(ttl))
}

fn is_expired(document: &Document) -> bool {
    expires_at(document).is_some_and(|when| when.0 <= UnixSeconds::now().0)
}

/// The contract's record of a VM.
async fn record(vm: &Workspace) -> Outcome {
    let (of, document) = (vm.record(false).await?, vm.document()?);
    let (state, execution_mode) = match &of["state"] {
        _ if is_created(&document) => (json!(CREATED), json!("pending")),
        state if state == "started" => (json!("started"), of["execution_mode"].clone()),
        _ => (json!("stopped"), of["execution_mode"].clone()),
    };
    let mut record = json!({
        "vm_id": vm.id(),
        "expires_at": expires_at(&document),
        "state": state,
        "execution_mode": execution_mode,
    });
    for name in [
        "environment",
        "environment_version",
        "vcpu_count",
        "mem_mib",
        "ttl_seconds",
        "created_at",
        "network_enabled",
        "allow_host_compat",
        "guest_ip",
        "tap_name",
        "metadata",
    ] {
        record[name] = of[name].clone();
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(label: Option<&str>, ttl_seconds: u32, age: f64) -> Document {
        let now = UnixSeconds::now();
        let labels = label.map(|value| json!({ LABEL: value })).unwrap_or_else(|| json!({}));
        serde_json::from_value(json!({
            "schema": 1, "workspace_id": "3fa2c19b04de", "name": null, "labels": labels, "environment": "debian:12",
            "environment_version": "1", "rootfs_digest": "x", "size": pyro::machine::Size::default(),
            "ttl_seconds": ttl_seconds, "created_at": now.0 - age, "last_activity_at": now.0, "stage": "ready",
            "network_policy": "off", "chain": [], "machine_id": "x",
            "workspace_seed": pyro::workspace::Seed::empty(),
        }))
        .unwrap()
    }

    #[test]
    fn a_vm_is_over_when_its_time_is_up_whatever_it_did_and_a_workspace_never_is() {
        let fresh = document(Some(CREATED), 60, 10.0);
        assert!(is_vm(&fresh) && is_created(&fresh) && !is_expired(&fresh));
        assert!(is_expired(&document(Some(USED), 60, 61.0)));
        assert!(!is_created(&document(Some(USED), 60, 61.0)));
        assert!(!is_expired(&document(Some(USED), 0, 1e9)));
        assert!(!is_vm(&document(None, 60, 61.0)));
    }
}
