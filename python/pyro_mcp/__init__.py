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
    from pyro_mcp.aio import AsyncExecStream, AsyncSandbox, AsyncShell, AsyncWorkspace
    from pyro_mcp.results import ExecResult, FileContent, FileEntry, ServiceInfo, ShellOutput, SnapshotInfo
    from pyro_mcp.sandbox import ExecStream, Sandbox, Shell, Workspace

__all__ = [
    "AsyncExecStream",
    "AsyncSandbox",
    "AsyncShell",
    "AsyncWorkspace",
    "CancelledCallError",
    "CommandError",
    "CommandFailed",
    "ConflictError",
    "EngineError",
    "ExecResult",
    "ExecStream",
    "FileContent",
    "FileEntry",
    "GuestError",
    "HostError",
    "InstallError",
    "InvalidArgumentError",
    "NotFoundError",
    "PathError",
    "Pyro",
    "PyroError",
    "RefusedError",
    "Sandbox",
    "Server",
    "ServiceInfo",
    "Shell",
    "ShellOutput",
    "SnapshotInfo",
    "Workspace",
    "__version__",
]

_LATER = {
    "pyro_mcp.aio": ("AsyncExecStream", "AsyncSandbox", "AsyncShell", "AsyncWorkspace"),
    "pyro_mcp.results": ("ExecResult", "FileContent", "FileEntry", "ServiceInfo", "ShellOutput", "SnapshotInfo"),
    "pyro_mcp.sandbox": ("ExecStream", "Sandbox", "Shell", "Workspace"),
}
_HOME = {name: module for module, names in _LATER.items() for name in names}


def __getattr__(name: str) -> object:
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(module), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
