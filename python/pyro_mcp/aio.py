"""Workspaces and sandboxes as objects, for asyncio. :mod:`pyro_mcp.sandbox` is the same for code that waits.

This file must not say what an operation takes or answers: ``_requests`` does.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from pyro_mcp import _native
from pyro_mcp import _requests as requests
from pyro_mcp._requests import (
    Command,
    CreateOptions,
    FileEntries,
    HostPath,
    Request,
    ServiceList,
    SignalName,
    SnapshotList,
)
from pyro_mcp.client import Pyro
from pyro_mcp.errors import error_from
from pyro_mcp.results import (
    Diff,
    Document,
    ExecResult,
    FileContent,
    ServiceInfo,
    ServiceOutput,
    ShellOutput,
    SnapshotInfo,
)

T = TypeVar("T")


async def _readable(descriptor: int) -> None:
    """Returns once something can be read there."""
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        if not readable.done():
            readable.set_result(None)

    loop.add_reader(descriptor, tell)
    try:
        await readable
    finally:
        loop.remove_reader(descriptor)


async def _answer(client: Pyro, request: Request[T]) -> Document:
    """Carries it out. A task that is cancelled meanwhile cancels it too."""
    call = client._begin(request.operation, request.arguments)
    try:
        await _readable(call.fileno())
    except BaseException:
        call.cancel()
        raise
    try:
        answer: Document = json.loads(call.result())
    except _native.OperationError as failure:
        raise error_from(*failure.args) from None
    return answer


class AsyncWorkspace:
    """A guest that stays. Made with :meth:`create`, found with :meth:`open`; an ``async with`` block stops it at its end and keeps
    its data."""

    def __init__(self, workspace_id: str | None, client: Pyro | None = None) -> None:
        self._client = client or Pyro()
        self._id = workspace_id
        self.files = AsyncFiles(self)
        self.services = AsyncServices(self)
        self.snapshots = AsyncSnapshots(self)

    @classmethod
    async def create(
        cls, environment: str = "debian:12", *, client: Pyro | None = None, **options: Unpack[CreateOptions]
    ) -> AsyncWorkspace:
        """Make a workspace and start its guest."""
        made = AsyncWorkspace(None, client)
        made._id = await made._ask(requests.create(environment, options))
        return made

    @classmethod
    async def open(cls, workspace: str, *, client: Pyro | None = None) -> AsyncWorkspace:
        """The workspace of this id or name, running or not."""
        found = AsyncWorkspace(None, client)
        found._id = await found._ask(requests.find(workspace))
        return found

    @property
    def id(self) -> str:
        """Its id."""
        return requests.id_of(self._id)

    async def _ask(self, request: Request[T]) -> T:
        return request.read(await _answer(self._client, request))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._id!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def info(self) -> Document:
        """How it is: the record of the contract."""
        return await self._ask(requests.simple("workspace_status", self.id))

    async def start(self) -> None:
        """Start a stopped one."""
        await self._ask(requests.simple("workspace_start", self.id))

    async def stop(self) -> None:
        """Stop its guest; its data stays."""
        await self._ask(requests.simple("workspace_stop", self.id))

    async def delete(self) -> None:
        """Delete it with everything in it."""
        await self._ask(requests.delete(self.id))

    async def reset(self, snapshot: str = "baseline") -> None:
        """Go back to a snapshot, the whole disk of it."""
        await self._ask(requests.reset(self.id, snapshot))

    async def push(self, source: HostPath, dest: str = "/workspace") -> Document:
        """Bring a folder or archive of this host in."""
        return await self._ask(requests.push(self.id, source, dest))

    async def export(self, path: str, output_path: HostPath) -> Document:
        """Copy a file or folder out, to a path where nothing is."""
        return await self._ask(requests.export(self.id, path, output_path))

    async def diff(self) -> Diff:
        """What changed since it began."""
        return await self._ask(requests.diff(self.id))

    async def exec(
        self,
        command: Command,
        *,
        timeout_seconds: int = 30,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        user: str | None = None,
        secret_env: Mapping[str, str] | None = None,
        check: bool = False,
    ) -> ExecResult:
        """Run a command: a string is the shell's, a sequence a program and its arguments.

        What it wrote is on the host's disk when this returns. With ``check``, :class:`pyro_mcp.CommandFailed` is raised
        unless it ended with 0.
        """
        request = requests.run(self.id, command, timeout_seconds, env, cwd, user, secret_env)
        result = await self._ask(request)
        return result.check() if check else result

    def exec_stream(
        self,
        command: Command,
        *,
        timeout_seconds: int | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        user: str | None = None,
        input: bytes | str | None = None,
        secret_env: Mapping[str, str] | None = None,
    ) -> AsyncExecStream:
        """Run a command and read what it prints while it runs: iterate over pairs of ``"stdout"`` or ``"stderr"`` and bytes."""
        asked = requests.asked(command, timeout_seconds, env, cwd, user, input, secret_env)
        return AsyncExecStream(self._client._begin_exec(self.id, asked))

    async def shell(
        self,
        *,
        cwd: str = "/workspace",
        cols: int = 120,
        rows: int = 30,
        secret_env: Mapping[str, str] | None = None,
    ) -> AsyncShell:
        """Open a shell on a terminal of the workspace's own."""
        return AsyncShell(self, await self._ask(requests.shell_open(self.id, cwd, cols, rows, secret_env)))


class AsyncSandbox(AsyncWorkspace):
    """A guest for a while: an ``async with`` block begins with a new one and deletes it at its end, whatever happens in between.

    >>> async with AsyncSandbox("debian:12") as box:
    ...     print((await box.exec("git --version")).stdout)
    """

    def __init__(
        self, environment: str = "debian:12", *, client: Pyro | None = None, **options: Unpack[CreateOptions]
    ) -> None:
        super().__init__(None, client)
        self._request = requests.create(environment, options)

    @classmethod
    async def create(
        cls, environment: str = "debian:12", *, client: Pyro | None = None, **options: Unpack[CreateOptions]
    ) -> Self:
        """Make one and start it, for code that has no ``async with`` block; :meth:`delete` ends it."""
        made = cls(environment, client=client, **options)
        await made.start()
        return made

    async def start(self) -> None:
        """Make the guest, or start it again after a stop."""
        if self._id is None:
            self._id = await self._ask(self._request)
        else:
            await super().start()

    async def delete(self) -> None:
        """Delete the guest, if there is one; :meth:`start` makes another."""
        if self._id is not None:
            await super().delete()
            self._id = None

    async def __aenter__(self) -> Self:
        if self._id is None:
            await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.delete()


class AsyncExecStream:
    """A command under way: an asynchronous iterator over what it prints. Leaving its ``async with`` block, or forgetting it,
    ends the command."""

    def __init__(self, native: _native.Exec) -> None:
        self._native = native

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[str, bytes]:
        while True:
            try:
                chunk = self._native.try_read()
            except BlockingIOError:
                await _readable(self._native.fileno())
                continue
            if chunk is None:
                # A command that could not be run has no end but this.
                self._end()
                raise StopAsyncIteration
            return chunk

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the command with everything it started, if it still runs."""
        self._native.close()

    async def result(self) -> ExecResult:
        """How it ended, once it has: what has not been read by then is in the result's ``stdout`` and ``stderr``."""
        rest = {"stdout": bytearray(), "stderr": bytearray()}
        async for source, chunk in self:
            rest[source] += chunk
        return requests.exec_result(self._end(), bytes(rest["stdout"]), bytes(rest["stderr"]))

    def _end(self) -> Any:
        try:
            return json.loads(self._native.result())
        except _native.OperationError as failure:
            raise error_from(*failure.args) from None


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

    async def patch(self, text: str) -> Document:
        """Apply a unified or git patch: all of it, or nothing."""
        return await self._workspace._ask(requests.patch(self._workspace.id, text))


class AsyncSnapshots:
    """The snapshots of a workspace: whole disks."""

    def __init__(self, workspace: AsyncWorkspace) -> None:
        self._workspace = workspace

    async def create(self, name: str) -> SnapshotInfo:
        """Keep the disk as it is now."""
        return await self._workspace._ask(requests.snapshot_create(self._workspace.id, name))

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
