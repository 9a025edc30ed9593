"""What the object layers ask for, said once for the one that waits and the one that awaits: an operation, its arguments, and
how its answer is read.

This file must not carry anything out.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypedDict, TypeVar

from pyro_mcp.client import DIFF_BYTES_MAX, DIFF_ENTRIES_MAX, FILE_ENTRIES_MAX
from pyro_mcp.errors import ConflictError
from pyro_mcp.results import (
    Diff,
    Document,
    ExecResult,
    FileContent,
    FileEntry,
    JobInfo,
    JobOutput,
    PortInfo,
    ServiceInfo,
    ServiceOutput,
    ShellOutput,
    SnapshotInfo,
)

T = TypeVar("T")

FileEntries = list[FileEntry]
SnapshotList = list[SnapshotInfo]
ServiceList = list[ServiceInfo]
PortList = list[PortInfo]
Found = list[Document]
Names = list[str]

HostPath = str | os.PathLike[str]
Command = str | Sequence[str]
SignalName = Literal["HUP", "INT", "TERM", "KILL"]


class CreateOptions(TypedDict, total=False):
    """What a workspace may be made with."""

    vcpu_count: int
    mem_mib: int
    ttl_seconds: int
    network_policy: Literal["off", "egress", "egress+published-ports"]
    seed_path: HostPath
    secrets: Sequence[Mapping[str, str]]
    name: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Request(Generic[T]):
    """An operation, its arguments, and how its answer is read."""

    operation: str
    arguments: Document
    read: Callable[[Document], T]


def same(document: Document) -> Document:
    """The answer as it is."""
    return document


def nothing(_: Document) -> None:
    """No answer."""


def _id(document: Document) -> str:
    return str(document["workspace_id"])


def _each(name: str, read: Callable[[Document], T]) -> Callable[[Document], list[T]]:
    return lambda document: [read(entry) for entry in document[name]]


def _path(path: HostPath) -> str:
    return os.path.abspath(path)


def _mapping(given: Mapping[str, str] | None) -> dict[str, str] | None:
    return None if given is None else dict(given)


def id_of(workspace_id: str | None) -> str:
    """The id, of a workspace that has one."""
    if workspace_id is None:
        raise ConflictError(
            "the sandbox has not been started",
            code="workspace_not_running",
            hint="use it in a with block, or call start()",
        )
    return workspace_id


# The workspace itself


def create(environment: str, options: CreateOptions) -> Request[str]:
    """Its id."""
    arguments: Document = {"environment": environment, **options}
    if "seed_path" in options:
        arguments["seed_path"] = _path(options["seed_path"])
    if "labels" in options:
        arguments["labels"] = dict(options["labels"])
    if "secrets" in options:
        arguments["secrets"] = [_secret(secret) for secret in options["secrets"]]
    return Request("workspace_create", arguments, _id)


def _secret(secret: Mapping[str, str]) -> dict[str, str]:
    return {key: _path(value) if key == "file_path" else value for key, value in secret.items()}


def find(workspace: str) -> Request[str]:
    """The id of a workspace, by id or name."""
    return Request("workspace_status", {"workspace_id": workspace}, _id)


def simple(operation: str, workspace_id: str) -> Request[Document]:
    """An operation that needs nothing but the workspace."""
    return Request(operation, {"workspace_id": workspace_id}, same)


def delete(workspace_id: str) -> Request[None]:
    return Request("workspace_delete", {"workspace_id": workspace_id}, nothing)


def reset(workspace_id: str, snapshot: str) -> Request[Document]:
    return Request("workspace_reset", {"workspace_id": workspace_id, "snapshot": snapshot}, same)


def stop(workspace_id: str, keep_memory: bool) -> Request[Document]:
    return Request("workspace_stop", {"workspace_id": workspace_id, "keep_memory": keep_memory}, same)


def fork(workspace_id: str, count: int, name_prefix: str | None) -> Request[list[str]]:
    """The children's ids."""
    arguments = {"workspace_id": workspace_id, "count": count, "name_prefix": name_prefix}
    return Request("workspace_fork", arguments, _each("children", _id))


def push(
    workspace_id: str, source: HostPath, dest: str, delete: bool, exclude: list[str]
) -> Request[Document]:
    arguments = {
        "workspace_id": workspace_id,
        "source_path": _path(source),
        "dest": dest,
        "delete": delete,
        "exclude": exclude,
    }
    return Request("workspace_sync_push", arguments, same)


def pull(
    workspace_id: str, source: str, target: HostPath, delete: bool, exclude: list[str]
) -> Request[Document]:
    arguments = {
        "workspace_id": workspace_id,
        "source": source,
        "target_path": _path(target),
        "delete": delete,
        "exclude": exclude,
    }
    return Request("workspace_sync_pull", arguments, same)


def export(workspace_id: str, path: str, output_path: HostPath) -> Request[Document]:
    arguments = {"workspace_id": workspace_id, "path": path, "output_path": _path(output_path)}
    return Request("workspace_export", arguments, same)


def diff(workspace_id: str) -> Request[Diff]:
    arguments = {"workspace_id": workspace_id, "limit": DIFF_ENTRIES_MAX, "max_bytes": DIFF_BYTES_MAX}
    return Request("workspace_diff", arguments, Diff.read)


# Commands


def _command(
    workspace_id: str,
    command: Command,
    timeout_seconds: int,
    env: Mapping[str, str] | None,
    cwd: str | None,
    user: str | None,
    secret_env: Mapping[str, str] | None,
) -> Document:
    return {
        "workspace_id": workspace_id,
        "command": command if isinstance(command, str) else shlex.join(command),
        "timeout_seconds": timeout_seconds,
        "env": _mapping(env),
        "cwd": cwd,
        "user": user,
        "secret_env": _mapping(secret_env),
    }


def run(workspace_id: str, command: Command, *how: Any) -> Request[ExecResult]:
    return Request("workspace_exec", _command(workspace_id, command, *how), ExecResult.read)


def run_detached(workspace_id: str, command: Command, *how: Any) -> Request[int]:
    """The job's number."""
    arguments = {**_command(workspace_id, command, *how), "detach": True}
    return Request("workspace_exec", arguments, lambda begun: int(begun["job_id"]))


def _job(workspace_id: str, job_id: int) -> Document:
    return {"workspace_id": workspace_id, "job_id": job_id}


def job_wait(workspace_id: str, job_id: int, timeout_seconds: int) -> Request[JobInfo]:
    arguments = {**_job(workspace_id, job_id), "timeout_seconds": timeout_seconds}
    return Request("workspace_job_wait", arguments, JobInfo.read)


def job_output(workspace_id: str, job_id: int) -> Request[JobOutput]:
    return Request("workspace_job_logs", _job(workspace_id, job_id), JobOutput.read)


def job_signal(workspace_id: str, job_id: int, signal_name: str) -> Request[None]:
    return Request("workspace_job_signal", {**_job(workspace_id, job_id), "signal": signal_name}, nothing)


def asked(
    command: Command,
    timeout_seconds: int | None,
    env: Mapping[str, str] | None,
    cwd: str | None,
    user: str | None,
    input: bytes | str | None,
    secret_env: Mapping[str, str] | None,
) -> Any:
    """A command as the native half takes it: a string is the shell's, a sequence a program and its arguments."""
    return {
        "command": [command] if isinstance(command, str) else list(command),
        "shell": isinstance(command, str),
        "timeout_seconds": timeout_seconds,
        "env": dict(env or {}),
        "cwd": cwd,
        "user": user,
        "input": input.encode() if isinstance(input, str) else input,
        "secret_env": dict(secret_env or {}),
    }


def exec_result(document: Document, stdout: bytes, stderr: bytes) -> ExecResult:
    """How a command ended whose output was kept here."""
    text = {"stdout": stdout.decode(errors="replace"), "stderr": stderr.decode(errors="replace")}
    return ExecResult.read({**document, **text})


# Files


def file_list(workspace_id: str, path: str, recursive: bool) -> Request[list[FileEntry]]:
    arguments = {
        "workspace_id": workspace_id,
        "path": path,
        "recursive": recursive,
        "limit": FILE_ENTRIES_MAX,
    }
    return Request("workspace_file_list", arguments, _each("entries", FileEntry.read))


def file_read(workspace_id: str, path: str, max_bytes: int) -> Request[FileContent]:
    arguments = {"workspace_id": workspace_id, "path": path, "max_bytes": max_bytes}
    return Request("workspace_file_read", arguments, FileContent.read)


def file_write(workspace_id: str, path: str, text: str) -> Request[None]:
    arguments = {"workspace_id": workspace_id, "path": path, "text": text}
    return Request("workspace_file_write", arguments, nothing)


def file_stat(workspace_id: str, path: str) -> Request[FileEntry]:
    return Request("workspace_file_stat", {"workspace_id": workspace_id, "path": path}, FileEntry.read)


def file_move(workspace_id: str, path: str, to: str, replace: bool) -> Request[None]:
    arguments = {"workspace_id": workspace_id, "path": path, "to": to, "replace": replace}
    return Request("workspace_file_move", arguments, nothing)


def file_delete(workspace_id: str, path: str, recursive: bool) -> Request[None]:
    arguments = {"workspace_id": workspace_id, "path": path, "recursive": recursive}
    return Request("workspace_file_delete", arguments, nothing)


def file_search(
    workspace_id: str,
    pattern: str,
    path: str,
    fixed: bool,
    ignore_case: bool,
    glob: list[str],
    limit: int,
) -> Request[Found]:
    arguments = {
        "workspace_id": workspace_id,
        "pattern": pattern,
        "path": path,
        "fixed": fixed,
        "ignore_case": ignore_case,
        "glob": glob,
        "limit": limit,
    }
    return Request("workspace_file_search", arguments, _each("matches", same))


def patch(workspace_id: str, text: str) -> Request[Document]:
    return Request("workspace_patch_apply", {"workspace_id": workspace_id, "patch": text}, same)


# Snapshots


def snapshot_create(workspace_id: str, name: str, memory: bool) -> Request[SnapshotInfo]:
    arguments = {"workspace_id": workspace_id, "snapshot_name": name, "memory": memory}
    return Request("snapshot_create", arguments, lambda made: SnapshotInfo.read(made["snapshot"]))


def snapshot_list(workspace_id: str) -> Request[list[SnapshotInfo]]:
    return Request("snapshot_list", {"workspace_id": workspace_id}, _each("snapshots", SnapshotInfo.read))


def snapshot_delete(workspace_id: str, name: str) -> Request[None]:
    return Request("snapshot_delete", {"workspace_id": workspace_id, "snapshot_name": name}, nothing)


# Services


def service_start(
    workspace_id: str,
    name: str,
    command: str,
    cwd: str,
    readiness: Mapping[str, str] | None,
    ready_timeout_seconds: int,
    publish: Sequence[int | tuple[int, int]],
    secret_env: Mapping[str, str] | None,
) -> Request[ServiceInfo]:
    """A port to publish is the guest's, or the host's and the guest's."""
    ports = [
        {"guest_port": port} if isinstance(port, int) else {"host_port": port[0], "guest_port": port[1]}
        for port in publish
    ]
    arguments = {
        "workspace_id": workspace_id,
        "service_name": name,
        "command": command,
        "cwd": cwd,
        "readiness": _mapping(readiness),
        "ready_timeout_seconds": ready_timeout_seconds,
        "published_ports": ports or None,
        "secret_env": _mapping(secret_env),
    }
    return Request("service_start", arguments, ServiceInfo.read)


def service(operation: str, workspace_id: str, name: str) -> Request[ServiceInfo]:
    return Request(operation, {"workspace_id": workspace_id, "service_name": name}, ServiceInfo.read)


def service_list(workspace_id: str) -> Request[list[ServiceInfo]]:
    return Request("service_list", {"workspace_id": workspace_id}, _each("services", ServiceInfo.read))


def service_logs(workspace_id: str, name: str, tail_lines: int | None) -> Request[ServiceOutput]:
    """All that is kept when no number of lines is given."""
    amount: Document = {"all": True} if tail_lines is None else {"tail_lines": tail_lines}
    arguments = {"workspace_id": workspace_id, "service_name": name, **amount}
    return Request("service_logs", arguments, ServiceOutput.read)


# Ports and secrets


def port_publish(workspace_id: str, guest_port: int, host_port: int | None) -> Request[PortInfo]:
    arguments = {"workspace_id": workspace_id, "guest_port": guest_port, "host_port": host_port}
    return Request("port_publish", arguments, lambda made: PortInfo.read(made["published_port"]))


def port_list(workspace_id: str) -> Request[PortList]:
    return Request("port_list", {"workspace_id": workspace_id}, _each("published_ports", PortInfo.read))


def port_remove(workspace_id: str, host_port: int) -> Request[None]:
    return Request("port_remove", {"workspace_id": workspace_id, "host_port": host_port}, nothing)


def secret_set(workspace_id: str, name: str, value: str) -> Request[None]:
    arguments = {"workspace_id": workspace_id, "secrets": [{"name": name, "value": value}]}
    return Request("secret_set", arguments, nothing)


def secret_list(workspace_id: str) -> Request[Names]:
    return Request("secret_list", {"workspace_id": workspace_id}, _each("secrets", lambda one: str(one["name"])))


def secret_remove(workspace_id: str, name: str) -> Request[None]:
    return Request("secret_remove", {"workspace_id": workspace_id, "secret_name": name}, nothing)


# Shells


def shell_open(
    workspace_id: str, cwd: str, cols: int, rows: int, secret_env: Mapping[str, str] | None
) -> Request[str]:
    arguments = {
        "workspace_id": workspace_id,
        "cwd": cwd,
        "cols": cols,
        "rows": rows,
        "secret_env": _mapping(secret_env),
    }
    return Request("shell_open", arguments, lambda opened: opened["shell_id"])


def shell_read(
    workspace_id: str, shell_id: str, cursor: int, max_chars: int, plain: bool, wait_for_idle_ms: int | None
) -> Request[ShellOutput]:
    arguments = {
        "workspace_id": workspace_id,
        "shell_id": shell_id,
        "cursor": cursor,
        "max_chars": max_chars,
        "plain": plain,
        "wait_for_idle_ms": wait_for_idle_ms,
    }
    return Request("shell_read", arguments, ShellOutput.read)


def shell_write(workspace_id: str, shell_id: str, text: str, append_newline: bool) -> Request[None]:
    arguments = {
        "workspace_id": workspace_id,
        "shell_id": shell_id,
        "input": text,
        "append_newline": append_newline,
    }
    return Request("shell_write", arguments, nothing)


def shell_signal(workspace_id: str, shell_id: str, signal_name: SignalName) -> Request[None]:
    arguments = {"workspace_id": workspace_id, "shell_id": shell_id, "signal_name": signal_name}
    return Request("shell_signal", arguments, nothing)


def shell_close(workspace_id: str, shell_id: str) -> Request[None]:
    return Request("shell_close", {"workspace_id": workspace_id, "shell_id": shell_id}, nothing)
