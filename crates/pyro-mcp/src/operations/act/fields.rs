//! The fields of records that several operations give back, as schemas have them. This file must not hold a value.

/// A workspace.
pub(super) const WORKSPACE: &str = "workspace_id:str name:str? labels:obj environment:str environment_version:str \
    vcpu_count:int mem_mib:int disk_mib:int ttl_seconds:int retention_seconds:int created_at:num last_activity_at:num \
    expires_at:num? state:str stopped_at:num? stop_reason:str? network_policy:str network_enabled:bool \
    allow_host_compat:bool guest_ip:str? tap_name:str? execution_mode:str workspace_path:str workspace_seed:obj \
    secrets:list command_count:int last_command:obj? reset_count:int last_reset_at:num? service_count:int \
    running_service_count:int published_ports:list forked_from:str? disk_layers:int disk_bytes:int metadata:obj";

/// A VM.
pub(super) const VM: &str = "vm_id:str environment:str environment_version:str vcpu_count:int mem_mib:int ttl_seconds:int \
    created_at:num expires_at:num? state:str network_enabled:bool allow_host_compat:bool guest_ip:str? tap_name:str? \
    execution_mode:str metadata:obj";

/// What a command printed and how it ended.
pub(super) const COMMAND: &str = "environment:str environment_version:str command:str stdout:str stderr:str exit_code:int \
    duration_ms:int execution_mode:str timed_out:bool signal:int? stdout_bytes:int stderr_bytes:int \
    stdout_truncated:bool stderr_truncated:bool ~stdout_base64:str ~stderr_base64:str";

/// A shell.
pub(super) const SHELL: &str = "workspace_id:str shell_id:str command:str cwd:str cols:int rows:int state:str \
    started_at:num ended_at:num? exit_code:int? execution_mode:str output_bytes:int kept_from:int";

/// A service.
pub(super) const SERVICE: &str = "workspace_id:str service_name:str state:str command:str cwd:str started_at:num \
    ended_at:num? exit_code:int? pid:int? execution_mode:str readiness:obj? ready_at:num? stop_reason:str? \
    published_ports:list healthy:bool? restart:str restart_count:int ~code:str ~hint:str";

/// Something in the guest's file system.
pub(super) const ENTRY: &str = "path:str artifact_type:str size_bytes:int mode:str mtime:num uid:int gid:int";

/// An environment.
pub(super) const ENVIRONMENT: &str = "name:str version:str description:str default_packages:list distribution:str \
    distribution_version:str installed:bool cache_dir:str";
