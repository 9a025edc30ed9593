"""What hangs on a workspace: its files, snapshots, services, ports, secrets, jobs and shells, for asyncio.
:mod:`pyro_mcp.parts` is the same for code that waits.

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
    from pyro_mcp.aio import AsyncWorkspace


class AsyncShell:
    """A shell on a terminal that belongs to its workspace. Leaving its ``async with`` block closes it."""

    def __init__(self, workspace: AsyncWorkspace, shell_id: str) -> None:
        self._workspace = workspace
        #: Its id in the workspace.
        self.id = shell_id
        #: Where the next :meth:`read` begins, in everything that it ever printed.
        self.cursor = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def write(self, text: str, *, append_newline: bool = True) -> None:
        """Type into it."""
        await self._workspace._ask(requests.shell_write(self._workspace.id, self.id, text, append_newline))

    async def read(
        self, *, wait_for_idle_ms: int | None = None, plain: bool = True, max_chars: int = 65536
    ) -> ShellOutput:
        """What it printed since the last call, after nothing was printed for ``wait_for_idle_ms`` if that is given."""
        request = requests.shell_read(
            self._workspace.id, self.id, self.cursor, max_chars, plain, wait_for_idle_ms
        )
        output = await self._workspace._ask(request)
        self.cursor = output.next_cursor
        return output

    async def signal(self, signal_name: SignalName = "INT") -> None:
        """Send a signal to what runs in it."""
        await self._workspace._ask(requests.shell_signal(self._workspace.id, self.id, signal_name))

    async def close(self) -> None:
        """End it with everything that runs in it."""
        await self._workspace._ask(requests.shell_close(self._workspace.id, self.id))


class AsyncFiles:
    """The files of a running workspace. Relative paths are below ``/workspace``."""

    def __init__(self, workspace: AsyncWorkspace) -> None:
        self._workspace = workspace

    async def list(self, path: str = "/workspace", *, recursive: bool = False) -> FileEntries:
        """The entries of a folder."""
        return await self._workspace._ask(requests.file_list(self._workspace.id, path, recursive))

    async def read(self, path: str, *, max_bytes: int = 65536) -> FileContent:
        """The beginning of a file, and whether that is all of it."""
        return await self._workspace._ask(requests.file_read(self._workspace.id, path, max_bytes))

    async def write(self, path: str, text: str) -> None:
        """Write a file, with the folders above it."""
        await self._workspace._ask(requests.file_write(self._workspace.id, path, text))

    async def stat(self, path: str) -> FileEntry:
        """What is at a path; a link is described itself."""
        return await self._workspace._ask(requests.file_stat(self._workspace.id, path))

    async def move(self, path: str, to: str, *, replace: bool = False) -> None:
        """Give something another path."""
        await self._workspace._ask(requests.file_move(self._workspace.id, path, to, replace))

    async def delete(self, path: str, *, recursive: bool = False) -> None:
        """Delete a file or link; a folder with everything in it if ``recursive``."""
        await self._workspace._ask(requests.file_delete(self._workspace.id, path, recursive))

    async def search(
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
        return await self._workspace._ask(request)

    async def patch(self, text: str) -> Document:
        """Apply a unified or git patch: all of it, or nothing."""
        return await self._workspace._ask(requests.patch(self._workspace.id, text))


class AsyncSnapshots:
    """The snapshots of a workspace: whole disks."""

    def __init__(self, workspace: AsyncWorkspace) -> None:
        self._workspace = workspace

    async def create(self, name: str, *, memory: bool = False) -> SnapshotInfo:
        """Keep the disk as it is now, and memory and processes too if asked."""
        return await self._workspace._ask(requests.snapshot_create(self._workspace.id, name, memory))

    async def list(self) -> SnapshotList:
        """The baseline first, then the newest."""
        return await self._workspace._ask(requests.snapshot_list(self._workspace.id))

    async def delete(self, name: str) -> None:
        """Forget one."""
        await self._workspace._ask(requests.snapshot_delete(self._workspace.id, name))


class AsyncServices:
    """Commands of a workspace that stay, by name."""

    def __init__(self, workspace: AsyncWorkspace) -> None:
        self._workspace = workspace

    async def start(
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
        return await self._workspace._ask(request)

    async def list(self) -> ServiceList:
        """All of them."""
        return await self._workspace._ask(requests.service_list(self._workspace.id))

    async def status(self, name: str) -> ServiceInfo:
        """How one is."""
        return await self._workspace._ask(requests.service("service_status", self._workspace.id, name))

    async def logs(self, name: str, *, tail_lines: int | None = 200) -> ServiceOutput:
        """The last lines that one printed; all that is kept for ``None``."""
        return await self._workspace._ask(requests.service_logs(self._workspace.id, name, tail_lines))

    async def stop(self, name: str) -> ServiceInfo:
        """Stop one."""
        return await self._workspace._ask(requests.service("service_stop", self._workspace.id, name))


class AsyncPorts:
    """AsyncPorts of a workspace's guest on this host. They need no network, and stay through stops and resets."""

    def __init__(self, workspace: AsyncWorkspace) -> None:
        self._workspace = workspace

    async def publish(self, guest_port: int, host_port: int | None = None) -> PortInfo:
        """Publish one at 127.0.0.1; a free port of the host is chosen if none is given."""
        return await self._workspace._ask(requests.port_publish(self._workspace.id, guest_port, host_port))

    async def list(self) -> PortList:
        """Those that are published."""
        return await self._workspace._ask(requests.port_list(self._workspace.id))

    async def remove(self, host_port: int) -> None:
        """Publish one no longer."""
        await self._workspace._ask(requests.port_remove(self._workspace.id, host_port))


class AsyncSecrets:
    """Values that commands of a workspace may use, and that nothing it says shows."""

    def __init__(self, workspace: AsyncWorkspace) -> None:
        self._workspace = workspace

    async def set(self, name: str, value: str) -> None:
        """Give it a secret, or another value for one; the guest has it only while something may use it."""
        await self._workspace._ask(requests.secret_set(self._workspace.id, name, value))

    async def list(self) -> Names:
        """Their names."""
        return await self._workspace._ask(requests.secret_list(self._workspace.id))

    async def remove(self, name: str) -> None:
        """Forget one."""
        await self._workspace._ask(requests.secret_remove(self._workspace.id, name))


class AsyncJob:
    """A command that nobody waits for. It outlives this object and this process."""

    def __init__(self, workspace: AsyncWorkspace, job_id: int) -> None:
        self._workspace = workspace
        #: Its number in the workspace.
        self.id = job_id

    async def wait(self, timeout_seconds: int = 30) -> JobInfo:
        """Wait for its end, or until the time is up: then its state is still ``running``, and so is the command."""
        return await self._workspace._ask(requests.job_wait(self._workspace.id, self.id, timeout_seconds))

    async def output(self) -> JobOutput:
        """What it has printed so far, up to 8 MiB of either output, and how it ended if it has."""
        return await self._workspace._ask(requests.job_output(self._workspace.id, self.id))

    async def signal(self, signal_name: str = "TERM") -> None:
        """Send a signal to it."""
        await self._workspace._ask(requests.job_signal(self._workspace.id, self.id, signal_name))
