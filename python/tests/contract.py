"""The methods of the public contract, as signatures. This file must not be changed to fit the package."""

METHODS = """
list_environments()
inspect_environment(environment)
pull_environment(environment)
prune_environments()
run_in_vm(*, environment, command, vcpu_count=1, mem_mib=1024, timeout_seconds=30, ttl_seconds=600, network=False, allow_host_compat=False)
create_vm(*, environment, vcpu_count=1, mem_mib=1024, ttl_seconds=600, network=False, allow_host_compat=False)
start_vm(vm_id)
exec_vm(vm_id, *, command, timeout_seconds=30)
stop_vm(vm_id)
delete_vm(vm_id)
status_vm(vm_id)
network_info_vm(vm_id)
reap_expired()
create_workspace(*, environment, vcpu_count=1, mem_mib=1024, ttl_seconds=600, network_policy='off', allow_host_compat=False, seed_path=None, secrets=None, name=None, labels=None)
status_workspace(workspace_id)
stop_workspace(workspace_id)
start_workspace(workspace_id)
logs_workspace(workspace_id)
delete_workspace(workspace_id)
exec_workspace(workspace_id, *, command, timeout_seconds=30, secret_env=None)
push_workspace_sync(workspace_id, source_path, *, dest='/workspace')
export_workspace(workspace_id, path, *, output_path)
diff_workspace(workspace_id)
create_snapshot(workspace_id, snapshot_name)
list_snapshots(workspace_id)
delete_snapshot(workspace_id, snapshot_name)
reset_workspace(workspace_id, *, snapshot='baseline')
export_workspace_disk(workspace_id, *, output_path)
list_workspace_disk(workspace_id, *, path='/workspace', recursive=False)
read_workspace_disk(workspace_id, path, *, max_bytes=65536)
open_shell(workspace_id, *, cwd='/workspace', cols=120, rows=30, secret_env=None)
read_shell(workspace_id, shell_id, *, cursor=0, max_chars=65536, plain=False, wait_for_idle_ms=None)
write_shell(workspace_id, shell_id, *, input, append_newline=True)
signal_shell(workspace_id, shell_id, *, signal_name='INT')
close_shell(workspace_id, shell_id)
start_service(workspace_id, service_name, *, command, cwd='/workspace', readiness=None, ready_timeout_seconds=30, ready_interval_ms=500, secret_env=None, published_ports=None)
list_services(workspace_id)
status_service(workspace_id, service_name)
logs_service(workspace_id, service_name, *, tail_lines=200, all=False)
stop_service(workspace_id, service_name)
create_server(profile='workspace-full')
list_workspaces()
update_workspace(workspace_id, *, name=None, clear_name=False, labels=None, clear_labels=None)
list_workspace_files(workspace_id, *, path='/workspace', recursive=False)
read_workspace_file(workspace_id, path, *, max_bytes=65536)
write_workspace_file(workspace_id, path, *, text)
apply_workspace_patch(workspace_id, *, patch)
"""

CONSTRUCTOR = "Pyro(manager=None, *, backend_name=None, base_dir=None, cache_dir=None, max_active_vms=4)"


def methods() -> dict[str, str]:
    """Each method's name and its signature, as Python shows it."""
    lines = METHODS.split("\n")
    return {line[: line.index("(")]: line[line.index("(") :] for line in lines if line}
