"""The MCP server for a client that starts it from Python. This file must not speak the protocol: the program does."""

from __future__ import annotations

import os

from pyro_mcp._program import program
from pyro_mcp.errors import InvalidArgumentError

#: Which tools a server offers.
PROFILES = ("vm-run", "workspace-core", "workspace-full")


class Server:
    """An MCP server that has not been started yet."""

    def __init__(self, profile: str = "workspace-full", *, environment: dict[str, str] | None = None) -> None:
        if profile not in PROFILES:
            raise InvalidArgumentError(
                f"{profile!r} is no profile", code="usage", hint=f"use {', '.join(PROFILES)}"
            )
        self.profile = profile
        self._environment = dict(environment or {})

    def command(self, transport: str = "stdio") -> list[str]:
        """The command line that ``run`` starts, for a client that starts servers itself."""
        if transport != "stdio":
            raise InvalidArgumentError(
                f"{transport!r} is no transport of this server", code="usage", hint="use stdio"
            )
        return [program(), "mcp", "serve", "--profile", self.profile]

    def run(self, transport: str = "stdio") -> None:
        """Serve on this process's standard input and output until the client goes away."""
        import subprocess

        subprocess.run(self.command(transport), env={**os.environ, **self._environment}, check=True)
