"""What operations give back, as types. Each has the whole document in ``raw``, which may have more in a later release.

This file must not carry anything out.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Self

from pyro_mcp.errors import CommandFailed

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Result:
    """Some fields of a document, and the document."""

    raw: Document = field(repr=False, compare=False, kw_only=True, default_factory=dict)

    @classmethod
    def read(cls, document: Document) -> Self:
        """Takes what the type has fields for; what the document lacks keeps its default."""
        known = {one.name for one in fields(cls)} - {"raw"}
        return cls(**{name: value for name, value in document.items() if name in known}, raw=document)


@dataclass(frozen=True, slots=True)
class ExecResult(Result):
    """How a command ended, and what it printed."""

    #: The command's own; 124 when its time was up, 128+N when signal N killed it.
    exit_code: int
    #: Empty for a command whose output was streamed. What is no UTF-8 is replaced; ``raw`` has the bytes in base64.
    stdout: str = ""
    stderr: str = ""
    command: str = ""
    cwd: str = "/workspace"
    #: The command's number in its workspace.
    sequence: int = 0
    timed_out: bool = False
    #: The signal that killed it.
    signal: int | None = None
    duration_ms: int = 0
    execution_mode: str = ""

    @property
    def ok(self) -> bool:
        """Whether it ended with 0."""
        return self.exit_code == 0

    def check(self) -> Self:
        """Raises :class:`CommandFailed` unless it ended with 0."""
        if not self.ok:
            last = (self.stderr or self.stdout).strip().rpartition("\n")[2]
            how = "its time was up" if self.timed_out else f"it ended with {self.exit_code}"
            raise CommandFailed(
                f"{self.command!r}: {how}" + (f": {last}" if last else ""),
                code="command_failed",
                hint="the output says why",
            )
        return self


@dataclass(frozen=True, slots=True)
class FileEntry(Result):
    """Something in a folder of the guest."""

    path: str
    #: ``file``, ``directory``, ``symlink`` or another kind.
    artifact_type: str
    size_bytes: int | None = None
    link_target: str | None = None


@dataclass(frozen=True, slots=True)
class FileContent(Result):
    """The beginning of a file."""

    path: str
    content: str
    size_bytes: int
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Diff(Result):
    """What changed since the workspace began."""

    changed: bool
    #: For ``git apply``.
    patch: str
    #: Counts, by kind of change.
    summary: Document = field(default_factory=dict)
    entries: list[Document] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SnapshotInfo(Result):
    """A snapshot of a workspace."""

    snapshot_name: str
    #: ``baseline`` or ``named``.
    kind: str = "named"
    created_at: float | None = None
    deletable: bool = True


@dataclass(frozen=True, slots=True)
class ServiceInfo(Result):
    """How a service is."""

    service_name: str
    #: ``starting``, ``running``, ``exited``, ``stopped`` or ``failed``.
    state: str
    command: str = ""
    cwd: str = "/workspace"
    exit_code: int | None = None
    stop_reason: str | None = None
    published_ports: list[Document] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ServiceOutput(Result):
    """What a service printed."""

    stdout: str
    stderr: str
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class ShellOutput(Result):
    """What a shell printed from one cursor to the next."""

    output: str
    next_cursor: int
    #: ``running`` or ``stopped``.
    state: str = "running"
    truncated: bool = False
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class PortInfo(Result):
    """A port of the guest on this host."""

    guest_port: int
    host_port: int
    host: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class JobInfo(Result):
    """How a command is that nobody waited for."""

    job_id: int
    #: ``running``, ``exited`` or ``lost``.
    state: str
    exit_code: int | None = None
    signal: int | None = None


@dataclass(frozen=True, slots=True)
class JobOutput(JobInfo):
    """What it has printed."""

    stdout: str = ""
    stderr: str = ""
    stdout_truncated: bool = False
    stderr_truncated: bool = False
