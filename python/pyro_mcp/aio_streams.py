"""Commands whose output is read while they run, awaited. This file must not keep what was read."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from pyro_mcp import _native
from pyro_mcp import _requests as requests
from pyro_mcp.results import ExecResult
from pyro_mcp.streams import end


async def readable(descriptor: int) -> None:
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
                await readable(self._native.fileno())
                continue
            if chunk is None:
                # A command that could not be run has no end but this.
                end(self._native)
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
        return requests.exec_result(end(self._native), bytes(rest["stdout"]), bytes(rest["stderr"]))
