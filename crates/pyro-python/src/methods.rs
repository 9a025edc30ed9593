//! What who writes Python calls what the operations do: methods of `Pyro`, and of a `Workspace` what only that has. This file must
//! not do any of it.

use pyro_mcp::wording::Terms;
use pyro_mcp::wording::With;

/// Methods and their arguments.
pub(crate) const METHODS: Terms = Terms { name: |tool| method(tool).map(str::to_owned), call };

fn method(tool: &str) -> Option<&'static str> {
    Some(match tool {
        "vm_list_environments" => "pyro.list_environments",
        "environment_inspect" => "pyro.inspect_environment",
        "environment_pull" => "pyro.pull_environment",
        "environment_prune" => "pyro.prune_environments",
        "vm_run" => "pyro.run_in_vm",
        "vm_create" => "pyro.create_vm",
        "vm_start" => "pyro.start_vm",
        "vm_exec" => "pyro.exec_vm",
        "vm_stop" => "pyro.stop_vm",
        "vm_delete" => "pyro.delete_vm",
        "vm_status" => "pyro.status_vm",
        "vm_network_info" => "pyro.network_info_vm",
        "vm_reap_expired" => "pyro.reap_expired",
        "workspace_create" => "pyro.create_workspace",
        "workspace_list" => "pyro.list_workspaces",
        "workspace_update" => "pyro.update_workspace",
        "workspace_status" => "pyro.status_workspace",
        "workspace_stop" => "pyro.stop_workspace",
        "workspace_start" => "pyro.start_workspace",
        "workspace_reset" => "pyro.reset_workspace",
        "workspace_logs" => "pyro.logs_workspace",
        "workspace_delete" => "pyro.delete_workspace",
        "workspace_exec" => "pyro.exec_workspace",
        "workspace_fork" => "workspace.fork",
        "workspace_sync_push" => "pyro.push_workspace_sync",
        "workspace_sync_pull" => "workspace.pull",
        "workspace_export" => "pyro.export_workspace",
        "workspace_diff" => "pyro.diff_workspace",
        "workspace_file_list" => "pyro.list_workspace_files",
        "workspace_file_read" => "pyro.read_workspace_file",
        "workspace_file_write" => "pyro.write_workspace_file",
        "workspace_file_stat" => "workspace.files.stat",
        "workspace_file_move" => "workspace.files.move",
        "workspace_file_delete" => "workspace.files.delete",
        "workspace_file_search" => "workspace.files.search",
        "workspace_patch_apply" => "pyro.apply_workspace_patch",
        "workspace_disk_list" => "pyro.list_workspace_disk",
        "workspace_disk_read" => "pyro.read_workspace_disk",
        "workspace_disk_export" => "pyro.export_workspace_disk",
        "snapshot_create" => "pyro.create_snapshot",
        "snapshot_list" => "pyro.list_snapshots",
        "snapshot_delete" => "pyro.delete_snapshot",
        "shell_open" => "pyro.open_shell",
        "shell_read" => "pyro.read_shell",
        "shell_write" => "pyro.write_shell",
        "shell_signal" => "pyro.signal_shell",
        "shell_close" => "pyro.close_shell",
        "service_start" => "pyro.start_service",
        "service_list" => "pyro.list_services",
        "service_status" => "pyro.status_service",
        "service_logs" => "pyro.logs_service",
        "service_stop" => "pyro.stop_service",
        "port_publish" => "workspace.ports.publish",
        "port_list" => "workspace.ports.list",
        "port_remove" => "workspace.ports.remove",
        "secret_set" => "workspace.secrets.set",
        "secret_list" => "workspace.secrets.list",
        "secret_remove" => "workspace.secrets.remove",
        _ => return None,
    })
}

fn call(name: &str, with: &[With<'_>]) -> String {
    let given = with.iter().map(|with| match with {
        With::Argument(name) => format!("{name}=..."),
        With::Word(word) => format!("'{word}'"),
    });
    let given: Vec<String> = given.collect();
    format!("{name}({})", if given.is_empty() { "...".to_owned() } else { given.join(", ") })
}
