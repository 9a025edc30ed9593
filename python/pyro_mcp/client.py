"""``Pyro``: every operation of the public contract as a method. Values in, dicts out.

This file must not decide what an operation does or answers; it passes arguments on by name.
"""

from __future__ import annotations

import json
import os
from _thread import allocate_lock

from pyro_mcp import _native
from pyro_mcp._program import program
from pyro_mcp.errors import ConflictError, InvalidArgumentError, error_from
from pyro_mcp.server import Server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike
    from typing import Any, Literal, Protocol

    Document = dict[str, Any]
    HostPath = str | PathLike[str]

    class Manager(Protocol):
        """Whoever carries operations out: by name, with arguments and result as JSON."""

        def call(self, name: str, arguments: str) -> str: ...


#: As much as the command line shows at once, where the contract has no pages.
DIFF_ENTRIES_MAX = 10_000
DIFF_BYTES_MAX = 16 << 20
FILE_ENTRIES_MAX = 10_000
LOGGED_MAX = 1_000_000
LOGGED_BYTES_MAX = 1 << 16


def _host_path(path: HostPath | None) -> str | None:
    """A path of this host, from this process's working directory."""
    return None if path is None else os.path.abspath(path)


def _secret(secret: Mapping[str, str]) -> dict[str, str]:
    return {key: os.path.abspath(value) if key == "file_path" else value for key, value in secret.items()}


def _given(arguments: Document) -> str:
    """The arguments that were given: what is left out has the operation's own default."""
    return json.dumps({name: value for name, value in arguments.items() if value is not None})


class Pyro:
    """Real Linux guests: one-shot commands, virtual machines of one command, and workspaces that stay.

    Every method returns a dict and raises :class:`pyro_mcp.PyroError`. All of them may be called from several threads at
    once; none holds the interpreter while it waits, and Ctrl-C gives the call under way up.

    ``base_dir`` is where workspaces are kept and ``cache_dir`` where environments are; by default they are where the ``pyro``
    command has them, so both see the same. ``backend_name`` is an engine: ``auto``, ``qemu`` or ``firecracker``.
    ``max_active_vms`` bounds the guests of ``create_vm`` that there may be at once. ``manager`` takes the place of all this:
    an object with a method ``call(name, arguments_json)``.
    """

    def __init__(
        self,
        manager: Manager | None = None,
        *,
        backend_name: str | None = None,
        base_dir: HostPath | None = None,
        cache_dir: HostPath | None = None,
        max_active_vms: int = 4,
    ) -> None:
        self._surroundings = {
            name: value
            for name, value in (
                ("PYRO_ENGINE", backend_name),
                ("PYRO_STATE_DIR", _host_path(base_dir)),
                ("PYRO_CACHE_DIR", _host_path(cache_dir)),
            )
            if value is not None
        }
        self._guests_max = max_active_vms
        # One at a time, so that none is made that was not counted.
        self._making = allocate_lock()
        self._manager = manager or _native_client(backend_name, _host_path(base_dir), _host_path(cache_dir))

    @property
    def _direct(self) -> _native.Client:
        """What streams and awaits, which a manager of somebody else's does not."""
        if isinstance(self._manager, _native.Client):
            return self._manager
        raise InvalidArgumentError(
            "this Pyro has a manager of its own, which can neither stream nor be awaited",
            code="usage",
            hint="leave out the manager",
        )

    def _call(self, operation: str, /, **arguments: Any) -> Document:
        try:
            answer: Document = json.loads(self._manager.call(operation, _given(arguments)))
        except _native.OperationError as failure:
            raise error_from(*failure.args) from None
        return answer

    def _begin(self, operation: str, arguments: Document) -> _native.Call:
        """The same without waiting."""
        try:
            return self._direct.begin(operation, _given(arguments))
        except _native.OperationError as failure:
            raise error_from(*failure.args) from None

    def _begin_exec(self, workspace_id: str, asked: _native.Asked) -> _native.Exec:
        """A command whose output is read while it runs."""
        try:
            return self._direct.exec(workspace_id, asked)
        except _native.OperationError as failure:
            raise error_from(*failure.args) from None

    # Environments

    def list_environments(self) -> Document:
        """The environments of the catalogue, and which of them are installed."""
        return self._call("vm_list_environments")

    def inspect_environment(self, environment: str) -> Document:
        """One environment: where it comes from, what is in it, whether it is installed."""
        return self._call("environment_inspect", environment=environment)

    def pull_environment(self, environment: str) -> Document:
        """Install an environment, which the first guest of it does otherwise."""
        return self._call("environment_pull", environment=environment)

    def prune_environments(self) -> Document:
        """Remove what is left of environments that are not in the catalogue any more."""
        return self._call("environment_prune")

    # One command in one guest

    def run_in_vm(
        self,
        *,
        environment: str,
        command: str,
        vcpu_count: int = 1,
        mem_mib: int = 1024,
        timeout_seconds: int = 30,
        ttl_seconds: int = 600,
        network: bool = False,
        allow_host_compat: bool = False,
    ) -> Document:
        """Run a shell command in a guest of its own, and leave nothing.

        The result has ``stdout``, ``stderr`` and ``exit_code``, which is 124 when the time was up. ``allow_host_compat`` runs
        the command on the host, without any isolation, where no engine works.
        """
        return self._call(
            "vm_run",
            environment=environment,
            command=command,
            vcpu_count=vcpu_count,
            mem_mib=mem_mib,
            timeout_seconds=timeout_seconds,
            ttl_seconds=ttl_seconds,
            network=network,
            allow_host_compat=allow_host_compat,
        )

    # Guests of one command, step by step

    def create_vm(
        self,
        *,
        environment: str,
        vcpu_count: int = 1,
        mem_mib: int = 1024,
        ttl_seconds: int = 600,
        network: bool = False,
        allow_host_compat: bool = False,
    ) -> Document:
        """Make a guest for one command; ``start_vm`` starts it.

        It stays until ``exec_vm`` has used it, it is deleted, or ``reap_expired`` finds its time to live over.
        """
        with self._making:
            self._check_room()
            return self._call(
                "vm_create",
                environment=environment,
                vcpu_count=vcpu_count,
                mem_mib=mem_mib,
                ttl_seconds=ttl_seconds,
                network=network,
                allow_host_compat=allow_host_compat,
            )

    def _check_room(self) -> None:
        """One more guest of ``create_vm``, or not. Such a guest is known by its label."""
        listed = self.list_workspaces().get("workspaces", ())
        guests = sum("pyro/vm" in workspace.get("labels", ()) for workspace in listed)
        if guests >= self._guests_max:
            raise ConflictError(
                f"there are {guests} guests of create_vm already, and {self._guests_max} may be at once",
                code="workspace_limit_reached",
                hint="delete_vm one, or give Pyro a larger max_active_vms",
            )

    def start_vm(self, vm_id: str) -> Document:
        """Start a guest that was made."""
        return self._call("vm_start", vm_id=vm_id)

    def exec_vm(self, vm_id: str, *, command: str, timeout_seconds: int = 30) -> Document:
        """Run the one command of a guest. When this returns, the guest is deleted."""
        return self._call("vm_exec", vm_id=vm_id, command=command, timeout_seconds=timeout_seconds)

    def stop_vm(self, vm_id: str) -> Document:
        """Stop a guest."""
        return self._call("vm_stop", vm_id=vm_id)

    def delete_vm(self, vm_id: str) -> Document:
        """Delete a guest, running or not."""
        return self._call("vm_delete", vm_id=vm_id)

    def status_vm(self, vm_id: str) -> Document:
        """How a guest is."""
        return self._call("vm_status", vm_id=vm_id)

    def network_info_vm(self, vm_id: str) -> Document:
        """What network a guest has."""
        return self._call("vm_network_info", vm_id=vm_id)

    def reap_expired(self) -> Document:
        """Delete the guests whose time to live is over."""
        return self._call("vm_reap_expired")

    # Workspaces

    def create_workspace(
        self,
        *,
        environment: str,
        vcpu_count: int = 1,
        mem_mib: int = 1024,
        ttl_seconds: int = 600,
        network_policy: Literal["off", "egress", "egress+published-ports"] = "off",
        allow_host_compat: bool = False,
        seed_path: HostPath | None = None,
        secrets: Sequence[Mapping[str, str]] | None = None,
        name: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Document:
        """Make a workspace, a guest that stays, and start it.

        ``seed_path`` is a folder or tar archive that its files begin with. ``secrets`` are dicts of ``name`` and either
        ``value`` or ``file_path``. Without use for ``ttl_seconds`` it is stopped and keeps its data; 0 is never.
        """
        return self._call(
            "workspace_create",
            environment=environment,
            vcpu_count=vcpu_count,
            mem_mib=mem_mib,
            ttl_seconds=ttl_seconds,
            network_policy=network_policy,
            allow_host_compat=allow_host_compat,
            seed_path=_host_path(seed_path),
            secrets=None if secrets is None else [_secret(secret) for secret in secrets],
            name=name,
            labels=None if labels is None else dict(labels),
        )

    def list_workspaces(self) -> Document:
        """All workspaces, the last used first."""
        return self._call("workspace_list")

    def update_workspace(
        self,
        workspace_id: str,
        *,
        name: str | None = None,
        clear_name: bool = False,
        labels: Mapping[str, str] | None = None,
        clear_labels: Sequence[str] | None = None,
    ) -> Document:
        """Change a workspace's name and labels. ``clear_labels`` are keys of labels to remove."""
        return self._call(
            "workspace_update",
            workspace_id=workspace_id,
            name=name,
            clear_name=clear_name,
            labels=None if labels is None else dict(labels),
            clear_labels=None if clear_labels is None else list(clear_labels),
        )

    def status_workspace(self, workspace_id: str) -> Document:
        """How a workspace is."""
        return self._call("workspace_status", workspace_id=workspace_id)

    def stop_workspace(self, workspace_id: str) -> Document:
        """Stop a workspace's guest; its data stays."""
        return self._call("workspace_stop", workspace_id=workspace_id)

    def start_workspace(self, workspace_id: str) -> Document:
        """Start a stopped workspace."""
        return self._call("workspace_start", workspace_id=workspace_id)

    def logs_workspace(self, workspace_id: str) -> Document:
        """The commands of a workspace and what they printed."""
        return self._call(
            "workspace_logs", workspace_id=workspace_id, last=LOGGED_MAX, max_output_bytes=LOGGED_BYTES_MAX
        )

    def delete_workspace(self, workspace_id: str) -> Document:
        """Delete a workspace with everything in it."""
        return self._call("workspace_delete", workspace_id=workspace_id)

    def exec_workspace(
        self,
        workspace_id: str,
        *,
        command: str,
        timeout_seconds: int = 30,
        secret_env: Mapping[str, str] | None = None,
    ) -> Document:
        """Run a shell command in a workspace; what it wrote is on the host's disk when this returns.

        ``secret_env`` gives it secrets of the workspace as variables: a dict from secrets to the variables' names.
        """
        return self._call(
            "workspace_exec",
            workspace_id=workspace_id,
            command=command,
            timeout_seconds=timeout_seconds,
            secret_env=None if secret_env is None else dict(secret_env),
        )

    def push_workspace_sync(
        self, workspace_id: str, source_path: HostPath, *, dest: str = "/workspace"
    ) -> Document:
        """Bring a folder or archive of this host into a workspace: only what differs, whole or not at all."""
        return self._call(
            "workspace_sync_push", workspace_id=workspace_id, source_path=_host_path(source_path), dest=dest
        )

    def export_workspace(self, workspace_id: str, path: str, *, output_path: HostPath) -> Document:
        """Copy a file or folder out of a workspace, to a path where nothing is."""
        return self._call(
            "workspace_export", workspace_id=workspace_id, path=path, output_path=_host_path(output_path)
        )

    def diff_workspace(self, workspace_id: str) -> Document:
        """What changed since the workspace was made, entry by entry and as a patch for ``git apply``."""
        return self._call(
            "workspace_diff", workspace_id=workspace_id, limit=DIFF_ENTRIES_MAX, max_bytes=DIFF_BYTES_MAX
        )

    # Files of a running workspace

    def list_workspace_files(
        self, workspace_id: str, *, path: str = "/workspace", recursive: bool = False
    ) -> Document:
        """The entries of a folder."""
        return self._call(
            "workspace_file_list",
            workspace_id=workspace_id,
            path=path,
            recursive=recursive,
            limit=FILE_ENTRIES_MAX,
        )

    def read_workspace_file(self, workspace_id: str, path: str, *, max_bytes: int = 65536) -> Document:
        """The beginning of a file, as text."""
        return self._call("workspace_file_read", workspace_id=workspace_id, path=path, max_bytes=max_bytes)

    def write_workspace_file(self, workspace_id: str, path: str, *, text: str) -> Document:
        """Write a file, with the folders above it."""
        return self._call("workspace_file_write", workspace_id=workspace_id, path=path, text=text)

    def apply_workspace_patch(self, workspace_id: str, *, patch: str) -> Document:
        """Apply a unified or git patch to ``/workspace``: all of it, or nothing."""
        return self._call("workspace_patch_apply", workspace_id=workspace_id, patch=patch)

    # Snapshots

    def create_snapshot(self, workspace_id: str, snapshot_name: str) -> Document:
        """Keep a workspace's whole disk as it is now."""
        return self._call("snapshot_create", workspace_id=workspace_id, snapshot_name=snapshot_name)

    def list_snapshots(self, workspace_id: str) -> Document:
        """The snapshots of a workspace: the baseline first, then the newest."""
        return self._call("snapshot_list", workspace_id=workspace_id)

    def delete_snapshot(self, workspace_id: str, snapshot_name: str) -> Document:
        """Forget a snapshot."""
        return self._call("snapshot_delete", workspace_id=workspace_id, snapshot_name=snapshot_name)

    def reset_workspace(self, workspace_id: str, *, snapshot: str = "baseline") -> Document:
        """Go back to a snapshot; ``baseline`` is how the workspace began."""
        return self._call("workspace_reset", workspace_id=workspace_id, snapshot=snapshot)

    # The disk of a stopped workspace

    def export_workspace_disk(self, workspace_id: str, *, output_path: HostPath) -> Document:
        """Write a stopped workspace's whole file system as an ext4 image."""
        return self._call(
            "workspace_disk_export", workspace_id=workspace_id, output_path=_host_path(output_path)
        )

    def list_workspace_disk(
        self, workspace_id: str, *, path: str = "/workspace", recursive: bool = False
    ) -> Document:
        """The entries of a folder on a stopped workspace's disk, any folder of the guest."""
        return self._call("workspace_disk_list", workspace_id=workspace_id, path=path, recursive=recursive)

    def read_workspace_disk(self, workspace_id: str, path: str, *, max_bytes: int = 65536) -> Document:
        """The beginning of a file on a stopped workspace's disk, as text."""
        return self._call("workspace_disk_read", workspace_id=workspace_id, path=path, max_bytes=max_bytes)

    # Shells

    def open_shell(
        self,
        workspace_id: str,
        *,
        cwd: str = "/workspace",
        cols: int = 120,
        rows: int = 30,
        secret_env: Mapping[str, str] | None = None,
    ) -> Document:
        """Open a shell on a terminal that belongs to the workspace and stays."""
        return self._call(
            "shell_open",
            workspace_id=workspace_id,
            cwd=cwd,
            cols=cols,
            rows=rows,
            secret_env=None if secret_env is None else dict(secret_env),
        )

    def read_shell(
        self,
        workspace_id: str,
        shell_id: str,
        *,
        cursor: int = 0,
        max_chars: int = 65536,
        plain: bool = False,
        wait_for_idle_ms: int | None = None,
    ) -> Document:
        """What a shell printed from ``cursor`` on; go on from the result's ``next_cursor``.

        ``plain`` is what a terminal would show; ``wait_for_idle_ms`` waits until nothing was printed for so long.
        """
        return self._call(
            "shell_read",
            workspace_id=workspace_id,
            shell_id=shell_id,
            cursor=cursor,
            max_chars=max_chars,
            plain=plain,
            wait_for_idle_ms=wait_for_idle_ms,
        )

    def write_shell(
        self, workspace_id: str, shell_id: str, *, input: str, append_newline: bool = True
    ) -> Document:
        """Type into a shell."""
        return self._call(
            "shell_write",
            workspace_id=workspace_id,
            shell_id=shell_id,
            input=input,
            append_newline=append_newline,
        )

    def signal_shell(
        self,
        workspace_id: str,
        shell_id: str,
        *,
        signal_name: Literal["HUP", "INT", "TERM", "KILL"] = "INT",
    ) -> Document:
        """Send a signal to what runs in a shell."""
        return self._call(
            "shell_signal", workspace_id=workspace_id, shell_id=shell_id, signal_name=signal_name
        )

    def close_shell(self, workspace_id: str, shell_id: str) -> Document:
        """End a shell and everything that runs in it."""
        return self._call("shell_close", workspace_id=workspace_id, shell_id=shell_id)

    # Services

    def start_service(
        self,
        workspace_id: str,
        service_name: str,
        *,
        command: str,
        cwd: str = "/workspace",
        readiness: Mapping[str, str] | None = None,
        ready_timeout_seconds: int = 30,
        ready_interval_ms: int = 500,
        secret_env: Mapping[str, str] | None = None,
        published_ports: Sequence[Mapping[str, int | None]] | None = None,
    ) -> Document:
        """Start a command that stays, and wait until it is ready.

        ``readiness`` is one of ``{"type": "file", "path": ...}``, ``{"type": "tcp", "address": ...}``, ``{"type": "http",
        "url": ...}`` and ``{"type": "command", "command": ...}``. ``published_ports`` are dicts of ``guest_port`` and, if
        it matters, ``host_port``.
        """
        return self._call(
            "service_start",
            workspace_id=workspace_id,
            service_name=service_name,
            command=command,
            cwd=cwd,
            readiness=None if readiness is None else dict(readiness),
            ready_timeout_seconds=ready_timeout_seconds,
            ready_interval_ms=ready_interval_ms,
            secret_env=None if secret_env is None else dict(secret_env),
            published_ports=None if published_ports is None else [dict(port) for port in published_ports],
        )

    def list_services(self, workspace_id: str) -> Document:
        """The services of a workspace."""
        return self._call("service_list", workspace_id=workspace_id)

    def status_service(self, workspace_id: str, service_name: str) -> Document:
        """How a service is."""
        return self._call("service_status", workspace_id=workspace_id, service_name=service_name)

    def logs_service(
        self, workspace_id: str, service_name: str, *, tail_lines: int = 200, all: bool = False
    ) -> Document:
        """The last lines that a service printed, or all that is kept."""
        return self._call(
            "service_logs",
            workspace_id=workspace_id,
            service_name=service_name,
            tail_lines=tail_lines,
            all=all,
        )

    def stop_service(self, workspace_id: str, service_name: str) -> Document:
        """Stop a service."""
        return self._call("service_stop", workspace_id=workspace_id, service_name=service_name)

    # MCP

    def create_server(
        self, profile: Literal["vm-run", "workspace-core", "workspace-full"] = "workspace-full"
    ) -> Server:
        """An MCP server with the same folders; its ``run()`` serves on standard input and output."""
        return Server(profile, environment=self._surroundings)


def _native_client(engine: str | None, state_dir: str | None, cache_dir: str | None) -> _native.Client:
    try:
        return _native.Client(program(), engine=engine, state_dir=state_dir, cache_dir=cache_dir)
    except _native.OperationError as failure:
        raise error_from(*failure.args) from None
