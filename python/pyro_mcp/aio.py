"""Workspaces and sandboxes as objects, for asyncio. :mod:`pyro_mcp.sandbox` is the same for code that waits.

This file must not say what an operation takes or answers: ``_requests`` does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self, TypeVar, Unpack

from pyro_mcp import _native
from pyro_mcp import _requests as requests
from pyro_mcp._requests import Command, CreateOptions, HostPath, Request
from pyro_mcp.aio_parts import (
    AsyncFiles,
    AsyncJob,
    AsyncPorts,
    AsyncSecrets,
    AsyncServices,
    AsyncShell,
    AsyncSnapshots,
)
from pyro_mcp.aio_streams import AsyncExecStream, readable
from pyro_mcp.client import Pyro
from pyro_mcp.errors import error_from
from pyro_mcp.results import Diff, Document, ExecResult

T = TypeVar("T")


async def _answer(client: Pyro, request: Request[T]) -> Document:
    """Carries it out. A task that is cancelled meanwhile cancels it too."""
    call = client._begin(request.operation, request.arguments)
    try:
        await readable(call.fileno())
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
        self.ports = AsyncPorts(self)
        self.secrets = AsyncSecrets(self)
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

    async def stop(self, *, keep_memory: bool = False) -> None:
        """Stop its guest; its data stays, and memory and processes too if asked."""
        await self._ask(requests.stop(self.id, keep_memory))

    async def delete(self) -> None:
        """Delete it with everything in it."""
        await self._ask(requests.delete(self.id))

    async def reset(self, snapshot: str = "baseline") -> None:
        """Go back to a snapshot, the whole disk of it."""
        await self._ask(requests.reset(self.id, snapshot))

    async def fork(self, count: int = 1, *, name_prefix: str | None = None) -> list[AsyncWorkspace]:
        """Make running workspaces that begin where this one is, processes included; each has an identity of its own."""
        made = await self._ask(requests.fork(self.id, count, name_prefix))
        return [AsyncWorkspace(child, self._client) for child in made]

    async def push(
        self,
        source: HostPath,
        dest: str = "/workspace",
        *,
        delete: bool = False,
        exclude: Sequence[str] = (),
    ) -> Document:
        """Bring a folder or archive of this host in: only what differs, whole or not at all."""
        return await self._ask(requests.push(self.id, source, dest, delete, list(exclude)))

    async def pull(
        self, source: str, target: HostPath, *, delete: bool = False, exclude: Sequence[str] = ()
    ) -> Document:
        """Bring a folder of this host up to date with one of the guest."""
        return await self._ask(requests.pull(self.id, source, target, delete, list(exclude)))

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

    async def exec_detached(
        self,
        command: Command,
        *,
        timeout_seconds: int = 0,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        user: str | None = None,
        secret_env: Mapping[str, str] | None = None,
    ) -> AsyncJob:
        """Start a command and do not wait for it; 0 is no time limit."""
        request = requests.run_detached(self.id, command, timeout_seconds, env, cwd, user, secret_env)
        return AsyncJob(self, await self._ask(request))

    def job(self, job_id: int) -> AsyncJob:
        """A command that was started before: its number is its result's ``sequence``, or the job's ``id``."""
        return AsyncJob(self, job_id)

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
