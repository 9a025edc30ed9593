"""Workspaces and sandboxes as objects, for code that waits. :mod:`pyro_mcp.aio` is the same for code that awaits.

This file must not say what an operation takes or answers: ``_requests`` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self, TypeVar, Unpack

from pyro_mcp import _requests as requests
from pyro_mcp._requests import Command, CreateOptions, HostPath, Request
from pyro_mcp.client import Pyro
from pyro_mcp.parts import Files, Job, Ports, Secrets, Services, Shell, Snapshots
from pyro_mcp.results import Diff, Document, ExecResult
from pyro_mcp.streams import ExecStream

T = TypeVar("T")


class Workspace:
    """A guest that stays. Made with :meth:`create`, found with :meth:`open`; a ``with`` block stops it at its end and keeps
    its data."""

    def __init__(self, workspace_id: str | None, client: Pyro | None = None) -> None:
        self._client = client or Pyro()
        self._id = workspace_id
        self.files = Files(self)
        self.ports = Ports(self)
        self.secrets = Secrets(self)
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

    def stop(self, *, keep_memory: bool = False) -> None:
        """Stop its guest; its data stays, and memory and processes too if asked."""
        self._ask(requests.stop(self.id, keep_memory))

    def delete(self) -> None:
        """Delete it with everything in it."""
        self._ask(requests.delete(self.id))

    def reset(self, snapshot: str = "baseline") -> None:
        """Go back to a snapshot, the whole disk of it."""
        self._ask(requests.reset(self.id, snapshot))

    def fork(self, count: int = 1, *, name_prefix: str | None = None) -> list[Workspace]:
        """Make running workspaces that begin where this one is, processes included; each has an identity of its own."""
        made = self._ask(requests.fork(self.id, count, name_prefix))
        return [Workspace(child, self._client) for child in made]

    def push(
        self,
        source: HostPath,
        dest: str = "/workspace",
        *,
        delete: bool = False,
        exclude: Sequence[str] = (),
    ) -> Document:
        """Bring a folder or archive of this host in: only what differs, whole or not at all."""
        return self._ask(requests.push(self.id, source, dest, delete, list(exclude)))

    def pull(
        self, source: str, target: HostPath, *, delete: bool = False, exclude: Sequence[str] = ()
    ) -> Document:
        """Bring a folder of this host up to date with one of the guest."""
        return self._ask(requests.pull(self.id, source, target, delete, list(exclude)))

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

    def exec_detached(
        self,
        command: Command,
        *,
        timeout_seconds: int = 0,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        user: str | None = None,
        secret_env: Mapping[str, str] | None = None,
    ) -> Job:
        """Start a command and do not wait for it; 0 is no time limit."""
        request = requests.run_detached(self.id, command, timeout_seconds, env, cwd, user, secret_env)
        return Job(self, self._ask(request))

    def job(self, job_id: int) -> Job:
        """A command that was started before: its number is its result's ``sequence``, or the job's ``id``."""
        return Job(self, job_id)

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
