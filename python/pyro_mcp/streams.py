"""Commands whose output is read while they run, waited for. This file must not keep what was read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from pyro_mcp import _native
from pyro_mcp import _requests as requests
from pyro_mcp.errors import error_from
from pyro_mcp.results import Document, ExecResult


def end(native: _native.Exec) -> Document:
    """How it ended, or why it could not be run."""
    try:
        how: Document = json.loads(native.result())
    except _native.OperationError as failure:
        raise error_from(*failure.args) from None
    return how


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
            end(self._native)
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
        return requests.exec_result(end(self._native), bytes(rest["stdout"]), bytes(rest["stderr"]))
