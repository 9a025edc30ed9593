"""What hangs on a workspace: its files, snapshots, services, ports, secrets, jobs and shells, for code that waits.
:mod:`pyro_mcp.aio_parts` is the same for code that awaits.

This file must not say what an operation takes or answers: ``_requests`` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from pyro_mcp import _requests as requests
from pyro_mcp._requests import FileEntries, Found, Names, PortList, ServiceList, SignalName, SnapshotList
from pyro_mcp.results import (
    Document,
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

if TYPE_CHECKING:
    from pyro_mcp.sandbox import Workspace


class Shell:
    """A shell on a terminal that belongs to its workspace. Leaving its ``with`` block closes it."""

    def __init__(self, workspace: Workspace, shell_id: str) -> None:
        self._workspace = workspace
        #: Its id in the workspace.
        self.id = shell_id
        #: Where the next :meth:`read` begins, in everything that it ever printed.
        self.cursor = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, text: str, *, append_newline: bool = True) -> None:
        """Type into it."""
        self._workspace._ask(requests.shell_write(self._workspace.id, self.id, text, append_newline))

    def read(
        self, *, wait_for_idle_ms: int | None = None, plain: bool = True, max_chars: int = 65536
    ) -> ShellOutput:
        """What it printed since the last call, after nothing was printed for ``wait_for_idle_ms`` if that is given."""
        request = requests.shell_read(
            self._workspace.id, self.id, self.cursor, max_chars, plain, wait_for_idle_ms
        )
        output = self._workspace._ask(request)
        self.cursor = output.next_cursor
        return output

    def signal(self, signal_name: SignalName = "INT") -> None:
        """Send a signal to what runs in it."""
        self._workspace._ask(requests.shell_signal(self._workspace.id, self.id, signal_name))

    def close(self) -> None:
        """End it with everything that runs in it."""
        self._workspace._ask(requests.shell_close(self._workspace.id, self.id))


class Files:
    """The files of a running workspace. Relative paths are below ``/workspace``."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def list(self, path: str = "/workspace", *, recursive: bool = False) -> FileEntries:
        """The entries of a folder."""
        return self._workspace._ask(requests.file_list(self._workspace.id, path, recursive))

    def read(self, path: str, *, max_bytes: int = 65536) -> FileContent:
        """The beginning of a file, and whether that is all of it."""
        return self._workspace._ask(requests.file_read(self._workspace.id, path, max_bytes))

    def write(self, path: str, text: str) -> None:
        """Write a file, with the folders above it."""
        self._workspace._ask(requests.file_write(self._workspace.id, path, text))

    def stat(self, path: str) -> FileEntry:
        """What is at a path; a link is described itself."""
        return self._workspace._ask(requests.file_stat(self._workspace.id, path))

    def move(self, path: str, to: str, *, replace: bool = False) -> None:
        """Give something another path."""
        self._workspace._ask(requests.file_move(self._workspace.id, path, to, replace))

    def delete(self, path: str, *, recursive: bool = False) -> None:
        """Delete a file or link; a folder with everything in it if ``recursive``."""
        self._workspace._ask(requests.file_delete(self._workspace.id, path, recursive))

    def search(
        self,
        pattern: str,
        path: str = "/workspace",
        *,
        fixed: bool = False,
        ignore_case: bool = False,
        glob: Sequence[str] = (),
        limit: int = 200,
    ) -> Found:
        """The lines of text files that a regular expression matches, or a plain text if ``fixed``: dicts of ``path``, ``line``
        and more."""
        request = requests.file_search(
            self._workspace.id, pattern, path, fixed, ignore_case, list(glob), limit
        )
        return self._workspace._ask(request)

    def patch(self, text: str) -> Document:
        """Apply a unified or git patch: all of it, or nothing."""
        return self._workspace._ask(requests.patch(self._workspace.id, text))


class Snapshots:
    """The snapshots of a workspace: whole disks."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def create(self, name: str, *, memory: bool = False) -> SnapshotInfo:
        """Keep the disk as it is now, and memory and processes too if asked."""
        return self._workspace._ask(requests.snapshot_create(self._workspace.id, name, memory))

    def list(self) -> SnapshotList:
        """The baseline first, then the newest."""
        return self._workspace._ask(requests.snapshot_list(self._workspace.id))

    def delete(self, name: str) -> None:
        """Forget one."""
        self._workspace._ask(requests.snapshot_delete(self._workspace.id, name))


class Services:
    """Commands of a workspace that stay, by name."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def start(
        self,
        name: str,
        command: str,
        *,
        cwd: str = "/workspace",
        readiness: Mapping[str, str] | None = None,
        ready_timeout_seconds: int = 30,
        publish: Sequence[int | tuple[int, int]] = (),
        secret_env: Mapping[str, str] | None = None,
    ) -> ServiceInfo:
        """Start one and wait until it is ready. ``publish`` are ports of the guest, or pairs of the host's and the guest's."""
        request = requests.service_start(
            self._workspace.id, name, command, cwd, readiness, ready_timeout_seconds, publish, secret_env
        )
        return self._workspace._ask(request)

    def list(self) -> ServiceList:
        """All of them."""
        return self._workspace._ask(requests.service_list(self._workspace.id))

    def status(self, name: str) -> ServiceInfo:
        """How one is."""
        return self._workspace._ask(requests.service("service_status", self._workspace.id, name))

    def logs(self, name: str, *, tail_lines: int | None = 200) -> ServiceOutput:
        """The last lines that one printed; all that is kept for ``None``."""
        return self._workspace._ask(requests.service_logs(self._workspace.id, name, tail_lines))

    def stop(self, name: str) -> ServiceInfo:
        """Stop one."""
        return self._workspace._ask(requests.service("service_stop", self._workspace.id, name))


class Ports:
    """Ports of a workspace's guest on this host. They need no network, and stay through stops and resets."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def publish(self, guest_port: int, host_port: int | None = None) -> PortInfo:
        """Publish one at 127.0.0.1; a free port of the host is chosen if none is given."""
        return self._workspace._ask(requests.port_publish(self._workspace.id, guest_port, host_port))

    def list(self) -> PortList:
        """Those that are published."""
        return self._workspace._ask(requests.port_list(self._workspace.id))

    def remove(self, host_port: int) -> None:
        """Publish one no longer."""
        self._workspace._ask(requests.port_remove(self._workspace.id, host_port))


class Secrets:
    """Values that commands of a workspace may use, and that nothing it says shows."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def set(self, name: str, value: str) -> None:
        """Give it a secret, or another value for one; the guest has it only while something may use it."""
        self._workspace._ask(requests.secret_set(self._workspace.id, name, value))

    def list(self) -> Names:
        """Their names."""
        return self._workspace._ask(requests.secret_list(self._workspace.id))

    def remove(self, name: str) -> None:
        """Forget one."""
        self._workspace._ask(requests.secret_remove(self._workspace.id, name))


class Job:
    """A command that nobody waits for. It outlives this object and this process."""

    def __init__(self, workspace: Workspace, job_id: int) -> None:
        self._workspace = workspace
        #: Its number in the workspace.
        self.id = job_id

    def wait(self, timeout_seconds: int = 30) -> JobInfo:
        """Wait for its end, or until the time is up: then its state is still ``running``, and so is the command."""
        return self._workspace._ask(requests.job_wait(self._workspace.id, self.id, timeout_seconds))

    def output(self) -> JobOutput:
        """What it has printed so far, up to 8 MiB of either output, and how it ended if it has."""
        return self._workspace._ask(requests.job_output(self._workspace.id, self.id))

    def signal(self, signal_name: str = "TERM") -> None:
        """Send a signal to it."""
        self._workspace._ask(requests.job_signal(self._workspace.id, self.id, signal_name))
