"""A computer of its own for a coding agent: real Linux guests in microVMs, from Python.

``Pyro`` is the whole contract as methods that take plain values and return dicts. ``Sandbox`` and ``Workspace``, and
``AsyncSandbox`` and ``AsyncWorkspace`` for asyncio, are the same as objects with typed results. Failures are
``PyroError`` with a stable ``code`` and a ``hint``.

This file must not import what not everybody needs: the object layers are loaded when they are first asked for.
"""

from __future__ import annotations

from pyro_mcp._native import __version__
from pyro_mcp.client import Pyro
from pyro_mcp.errors import (
    CancelledCallError,
    CommandError,
    CommandFailed,
    ConflictError,
    EngineError,
    GuestError,
    HostError,
    InstallError,
    InvalidArgumentError,
    NotFoundError,
    PathError,
    PyroError,
    RefusedError,
)
from pyro_mcp.server import Server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyro_mcp.aio import AsyncSandbox, AsyncWorkspace
    from pyro_mcp.aio_parts import AsyncJob, AsyncShell
    from pyro_mcp.aio_streams import AsyncExecStream
    from pyro_mcp.parts import Job, Shell
    from pyro_mcp.results import (
        Diff,
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
    from pyro_mcp.sandbox import Sandbox, Workspace
    from pyro_mcp.streams import ExecStream

__all__ = [
    "AsyncExecStream",
    "AsyncJob",
    "AsyncSandbox",
    "AsyncShell",
    "AsyncWorkspace",
    "CancelledCallError",
    "CommandError",
    "CommandFailed",
    "ConflictError",
    "Diff",
    "EngineError",
    "ExecResult",
    "ExecStream",
    "FileContent",
    "FileEntry",
    "GuestError",
    "HostError",
    "InstallError",
    "InvalidArgumentError",
    "Job",
    "JobInfo",
    "JobOutput",
    "NotFoundError",
    "PathError",
    "PortInfo",
    "Pyro",
    "PyroError",
    "RefusedError",
    "Sandbox",
    "Server",
    "ServiceInfo",
    "ServiceOutput",
    "Shell",
    "ShellOutput",
    "SnapshotInfo",
    "Workspace",
    "__version__",
]

_LATER = {
    "pyro_mcp.aio": "AsyncSandbox AsyncWorkspace",
    "pyro_mcp.aio_parts": "AsyncJob AsyncShell",
    "pyro_mcp.aio_streams": "AsyncExecStream",
    "pyro_mcp.parts": "Job Shell",
    "pyro_mcp.results": """
        Diff ExecResult FileContent FileEntry JobInfo JobOutput PortInfo ServiceInfo ServiceOutput ShellOutput SnapshotInfo
    """,
    "pyro_mcp.sandbox": "Sandbox Workspace",
    "pyro_mcp.streams": "ExecStream",
}
_HOME = {name: module for module, names in _LATER.items() for name in names.split()}


def __getattr__(name: str) -> object:
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(module), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
