"""Workspaces and sandboxes as objects, for code that waits. :mod:`pyro_mcp.aio` is the same for code that awaits.

This file must not say what an operation takes or answers: ``_requests`` does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
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


class Workspace:
    """A guest that stays. Made with :meth:`create`, found with :meth:`open`; a ``with`` block stops it at its end and keeps
    its data."""

    def __init__(self, workspace_id: str | None, client: Pyro | None = None) -> None:
        self._client = client or Pyro()
        self._id = workspace_id
        self.files = Files(self)
        self.services = Services(self)
        self.snapshots = Snapshots(self)

    @classmethod
    def create(
        cls, environment: str = "debian:12", *, client: Pyro | None = None, **options: Unpack[CreateOptions]
    ) -> Workspace:
        """Make a workspace and start its guest."""
        made = Workspace(None, client)
        made._id = made._ask(requests.create(environment, options))
        return made

    @classmethod
    def open(cls, workspace: str, *, client: Pyro | None = None) -> Workspace:
        """The workspace of this id or name, running or not."""
        found = Workspace(None, client)
        found._id = found._ask(requests.find(workspace))
        return found

    @property
    def id(self) -> str:
        """Its id."""
        return requests.id_of(self._id)

    def _ask(self, request: Request[T]) -> T:
        return request.read(self._client._call(request.operation, **request.arguments))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._id!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def info(self) -> Document:
        """How it is: the record of the contract."""
        return self._ask(requests.simple("workspace_status", self.id))

    def start(self) -> None:
        """Start a stopped one."""
        self._ask(requests.simple("workspace_start", self.id))

    def stop(self) -> None:
        """Stop its guest; its data stays."""
        self._ask(requests.simple("workspace_stop", self.id))

    def delete(self) -> None:
        """Delete it with everything in it."""
        self._ask(requests.delete(self.id))

    def reset(self, snapshot: str = "baseline") -> None:
        """Go back to a snapshot, the whole disk of it."""
        self._ask(requests.reset(self.id, snapshot))

    def push(self, source: HostPath, dest: str = "/workspace") -> Document:
        """Bring a folder or archive of this host in."""
        return self._ask(requests.push(self.id, source, dest))

    def export(self, path: str, output_path: HostPath) -> Document:
        """Copy a file or folder out, to a path where nothing is."""
        return self._ask(requests.export(self.id, path, output_path))

    def diff(self) -> Diff:
        """What changed since it began."""
        return self._ask(requests.diff(self.id))

    def exec(
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
        result = self._ask(request)
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
    ) -> ExecStream:
        """Run a command and read what it prints while it runs: iterate over pairs of ``"stdout"`` or ``"stderr"`` and bytes."""
        asked = requests.asked(command, timeout_seconds, env, cwd, user, input, secret_env)
        return ExecStream(self._client._begin_exec(self.id, asked))

    def shell(
        self,
        *,
        cwd: str = "/workspace",
        cols: int = 120,
        rows: int = 30,
        secret_env: Mapping[str, str] | None = None,
    ) -> Shell:
        """Open a shell on a terminal of the workspace's own."""
        return Shell(self, self._ask(requests.shell_open(self.id, cwd, cols, rows, secret_env)))


class Sandbox(Workspace):
    """A guest for a while: a ``with`` block begins with a new one and deletes it at its end, whatever happens in between.

    >>> with Sandbox("debian:12") as box:
    ...     print(box.exec("git --version").stdout)
    """

    def __init__(
        self, environment: str = "debian:12", *, client: Pyro | None = None, **options: Unpack[CreateOptions]
    ) -> None:
        super().__init__(None, client)
        self._request = requests.create(environment, options)

    @classmethod
    def create(
        cls, environment: str = "debian:12", *, client: Pyro | None = None, **options: Unpack[CreateOptions]
    ) -> Self:
        """Make one and start it, for code that has no ``with`` block; :meth:`delete` ends it."""
        made = cls(environment, client=client, **options)
        made.start()
        return made

    def start(self) -> None:
        """Make the guest, or start it again after a stop."""
        if self._id is None:
            self._id = self._ask(self._request)
        else:
            super().start()

    def delete(self) -> None:
        """Delete the guest, if there is one; :meth:`start` makes another."""
        if self._id is not None:
            super().delete()
            self._id = None

    def __enter__(self) -> Self:
        if self._id is None:
            self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.delete()


class ExecStream:
    """A command under way: an iterator over what it prints. Leaving its ``with`` block, or forgetting it, ends the command."""

    def __init__(self, native: _native.Exec) -> None:
        self._native = native

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        return self

    def __next__(self) -> tuple[str, bytes]:
        chunk = self._native.read()
        if chunk is None:
            # A command that could not be run has no end but this.
            self._end()
            raise StopIteration
        return chunk

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the command with everything it started, if it still runs."""
        self._native.close()

    def result(self) -> ExecResult:
        """How it ended, once it has: what has not been read by then is in the result's ``stdout`` and ``stderr``."""
        rest = {"stdout": bytearray(), "stderr": bytearray()}
        for source, chunk in self:
            rest[source] += chunk
        return requests.exec_result(self._end(), bytes(rest["stdout"]), bytes(rest["stderr"]))

    def _end(self) -> Any:
        try:
            return json.loads(self._native.result())
        except _native.OperationError as failure:
            raise error_from(*failure.args) from None


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

    def patch(self, text: str) -> Document:
        """Apply a unified or git patch: all of it, or nothing."""
        return self._workspace._ask(requests.patch(self._workspace.id, text))


class Snapshots:
    """The snapshots of a workspace: whole disks."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def create(self, name: str) -> SnapshotInfo:
        """Keep the disk as it is now."""
        return self._workspace._ask(requests.snapshot_create(self._workspace.id, name))

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
