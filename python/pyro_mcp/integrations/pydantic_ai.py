"""A toolset for Pydantic AI: commands and files of one workspace.

``pip install pyro-mcp[pydantic-ai]``. What the model can mend is a retry; everything else is an exception of the run. This file
must not let a model choose anything of the host.
"""

from __future__ import annotations

import asyncio
from typing import Any, Self, Unpack

from pydantic_ai import ModelRetry
from pydantic_ai.toolsets import FunctionToolset

from pyro_mcp._requests import CreateOptions
from pyro_mcp.aio import AsyncSandbox, AsyncWorkspace
from pyro_mcp.client import Pyro
from pyro_mcp.errors import (
    CommandError,
    ConflictError,
    InvalidArgumentError,
    NotFoundError,
    PathError,
    PyroError,
    RefusedError,
)

#: Most characters of an output that the model is given: its end.
OUTPUT_CHARS_MAX = 20_000

_MENDABLE = (CommandError, ConflictError, InvalidArgumentError, NotFoundError, PathError, RefusedError)


class PyroToolset(FunctionToolset[Any]):
    """Tools on a sandbox that is made when the toolset is first entered, which an agent's run does, and deleted when it is left
    for the last time. ``async with agent:`` keeps it over several runs.

    With ``workspace`` the tools are on that one, which stays. ``options`` are those of :class:`pyro_mcp.AsyncSandbox`.
    """

    def __init__(
        self,
        environment: str = "debian:12",
        *,
        workspace: AsyncWorkspace | None = None,
        client: Pyro | None = None,
        id: str | None = "pyro",
        **options: Unpack[CreateOptions],
    ) -> None:
        tools = [self.run_command, self.read_file, self.write_file, self.list_files, self.search_files, self.apply_patch]
        super().__init__(tools, id=id)
        self._given = workspace
        self._made = None if workspace else AsyncSandbox(environment, client=client, **options)
        self._entered = 0
        self._entering = asyncio.Lock()

    @property
    def workspace(self) -> AsyncWorkspace:
        """The workspace of the tools."""
        workspace = self._given or self._made
        assert workspace is not None, "one of the two was set when this was made"
        return workspace

    async def __aenter__(self) -> Self:
        async with self._entering:
            if self._made and self._entered == 0:
                await self._made.start()
            self._entered += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        async with self._entering:
            self._entered -= 1
            if self._made and self._entered == 0:
                await self._made.delete()

    async def run_command(self, command: str, timeout_seconds: int = 60) -> str:
        """Run a shell command in the workspace, a Linux machine of its own. It begins in /workspace.

        Args:
            command: For /bin/sh; several lines are fine.
            timeout_seconds: It is ended when this is over, and the exit code is 124.
        """
        try:
            result = await self.workspace.exec(command, timeout_seconds=timeout_seconds)
        except PyroError as error:
            raise _retry(error) from error
        outputs = {"stdout": result.stdout, "stderr": result.stderr}
        shown = [f"{name}:\n{_end(text)}" for name, text in outputs.items() if text]
        return "\n".join([f"exit code {result.exit_code}", *shown])

    async def read_file(self, path: str, max_bytes: int = 65536) -> str:
        """Read the beginning of a text file of the workspace.

        Args:
            path: Relative paths are below /workspace.
            max_bytes: How much of it.
        """
        try:
            read = await self.workspace.files.read(path, max_bytes=max_bytes)
        except PyroError as error:
            raise _retry(error) from error
        if not read.truncated:
            return read.content
        return f"{read.content}\n[the beginning of {read.size_bytes} bytes]"

    async def write_file(self, path: str, text: str) -> str:
        """Write a whole text file of the workspace, with the folders above it.

        Args:
            path: Relative paths are below /workspace.
            text: All that is to be in it.
        """
        try:
            await self.workspace.files.write(path, text)
        except PyroError as error:
            raise _retry(error) from error
        return f"{path} is written"

    async def list_files(self, path: str = "/workspace", recursive: bool = False) -> list[str]:
        """List a folder of the workspace.

        Args:
            path: Relative paths are below /workspace.
            recursive: Everything below, too.
        """
        try:
            entries = await self.workspace.files.list(path, recursive=recursive)
        except PyroError as error:
            raise _retry(error) from error
        return [entry.path + ("/" if entry.artifact_type == "directory" else "") for entry in entries[:1000]]

    async def search_files(self, pattern: str, path: str = "/workspace") -> list[str]:
        """Find the lines of text files that a regular expression matches.

        Args:
            pattern: A regular expression.
            path: A folder or one file.
        """
        try:
            found = await self.workspace.files.search(pattern, path)
        except PyroError as error:
            raise _retry(error) from error
        return [f"{one['path']}:{one['line']}: {one['text']}" for one in found]

    async def apply_patch(self, patch: str) -> str:
        """Change files of the workspace by a unified or git patch: all of it is applied, or nothing.

        Args:
            patch: Paths are relative to /workspace.
        """
        try:
            await self.workspace.files.patch(patch)
        except PyroError as error:
            raise _retry(error) from error
        return "the patch is applied"


def _retry(error: PyroError) -> Exception:
    """What the model can mend is its to mend."""
    if not isinstance(error, _MENDABLE):
        return error
    return ModelRetry(f"{error}" + (f" (hint: {error.hint})" if error.hint else ""))


def _end(text: str) -> str:
    if len(text) <= OUTPUT_CHARS_MAX:
        return text
    return f"[{len(text) - OUTPUT_CHARS_MAX} characters before]{text[-OUTPUT_CHARS_MAX:]}"


__all__ = ["PyroToolset"]
