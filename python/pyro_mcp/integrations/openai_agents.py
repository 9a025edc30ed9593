"""A sandbox client for the OpenAI Agents SDK: a ``SandboxAgent``'s shell and files are those of a workspace.

``pip install pyro-mcp[openai-agents]``. A session that is shut down leaves a stopped workspace, to which ``resume`` comes back;
``delete`` deletes it. This file must not keep anything of a session but the workspace's id.
"""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any, Literal

from agents.sandbox import Manifest
from agents.sandbox.errors import (
    ExecTimeoutError,
    ExecTransportError,
    ExposedPortUnavailableError,
    WorkspaceArchiveReadError,
    WorkspaceArchiveWriteError,
    WorkspaceReadNotFoundError,
    WorkspaceWriteTypeError,
)
from agents.sandbox.session.base_sandbox_session import BaseSandboxSession
from agents.sandbox.session.runtime_helpers import RESOLVE_WORKSPACE_PATH_HELPER, RuntimeHelperScript
from agents.sandbox.session.sandbox_client import BaseSandboxClient, BaseSandboxClientOptions
from agents.sandbox.session.sandbox_session import SandboxSession
from agents.sandbox.session.sandbox_session_state import SandboxSessionState
from agents.sandbox.snapshot import SnapshotBase, SnapshotSpec, resolve_snapshot
from agents.sandbox.types import ExecResult, ExposedPortEndpoint, User
from agents.sandbox.util.tar_utils import UnsafeTarMemberError, validate_tar_bytes

from pyro_mcp.aio import AsyncWorkspace
from pyro_mcp.client import Pyro
from pyro_mcp.errors import NotFoundError, PyroError

#: Most bytes of each output of a command that are given back.
OUTPUT_BYTES_MAX = 16 << 20


class PyroSandboxClientOptions(BaseSandboxClientOptions):
    """What a session's workspace is made with."""

    type: Literal["pyro"] = "pyro"
    environment: str = "debian:12"
    vcpu_count: int = 1
    mem_mib: int = 1024
    #: Ports of the guest that may be asked for; each is published at 127.0.0.1 when it is.
    exposed_ports: tuple[int, ...] = ()


class PyroSandboxSessionState(SandboxSessionState):
    """What a session can be resumed from."""

    type: Literal["pyro"] = "pyro"
    workspace_id: str
    options: PyroSandboxClientOptions


class PyroSandboxSession(BaseSandboxSession):
    """A session on a workspace. The client makes it."""

    state: PyroSandboxSessionState

    def __init__(self, *, state: PyroSandboxSessionState, workspace: AsyncWorkspace) -> None:
        self.state = state
        self.workspace = workspace

    async def _prepare_backend_workspace(self) -> None:
        root = ["mkdir", "-p", "--", self.state.manifest.root]
        try:
            await self.workspace.exec(root, cwd="/", check=True)
        except PyroError as error:
            raise ExecTransportError(command=root, message=str(error), cause=error) from error

    def _runtime_helpers(self) -> tuple[RuntimeHelperScript, ...]:
        return (RESOLVE_WORKSPACE_PATH_HELPER,)

    async def _validate_path_access(self, path: Path | str, *, for_write: bool = False) -> Path:
        return await self._validate_remote_path_access(path, for_write=for_write)

    def _prepare_exec_command(
        self, *command: str | Path, shell: bool | list[str], user: str | User | None
    ) -> list[str]:
        words = super()._prepare_exec_command(*command, shell=shell, user=None)
        name = user.name if isinstance(user, User) else user
        # A small guest has no sudo.
        return ["runuser", "-u", name, "--", *words] if name else words

    async def _exec_internal(self, *command: str | Path, timeout: float | None = None) -> ExecResult:  # noqa: ASYNC109
        words = [str(word) for word in command]
        try:
            async with asyncio.timeout(timeout):
                code, stdout, stderr = await self._run(words, output_bytes_max=OUTPUT_BYTES_MAX)
        except TimeoutError as error:
            raise ExecTimeoutError(command=words, timeout_s=timeout, cause=error) from error
        except PyroError as error:
            raise ExecTransportError(command=words, message=str(error), cause=error) from error
        return ExecResult(stdout=stdout, stderr=stderr, exit_code=code)

    async def _run(
        self, words: list[str], *, input: bytes | None = None, output_bytes_max: int | None = None
    ) -> tuple[int, bytes, bytes]:
        """Runs a command to its end, or as long as somebody waits. What does not fit is dropped."""
        kept = {"stdout": bytearray(), "stderr": bytearray()}
        environment = await self.state.manifest.environment.resolve()
        stream = self.workspace.exec_stream(words, env=environment, cwd=self.state.manifest.root, input=input)
        async with stream:
            async for source, chunk in stream:
                room = len(chunk) if output_bytes_max is None else output_bytes_max - len(kept[source])
                kept[source] += chunk[:room]
            how = await stream.result()
        return how.exit_code, bytes(kept["stdout"]), bytes(kept["stderr"])

    async def read(self, path: Path, *, user: str | User | None = None) -> io.IOBase:
        """The whole content of a file."""
        if user is not None:
            await self._check_read_with_exec(path, user=user)
        place = await self._validate_path_access(path)
        try:
            code, content, complaint = await self._run(["cat", "--", place.as_posix()])
        except PyroError as error:
            raise WorkspaceArchiveReadError(path=Path(path), cause=error) from error
        if code == 0:
            return io.BytesIO(content)
        if b"No such file" in complaint or b"Not a directory" in complaint:
            raise WorkspaceReadNotFoundError(path=Path(path))
        raise WorkspaceArchiveReadError(path=Path(path), context=_context(code, complaint))

    async def write(self, path: Path, data: io.IOBase, *, user: str | User | None = None) -> None:
        """Write a file, with the folders above it."""
        if user is not None:
            await self._check_write_with_exec(path, user=user)
        content = _bytes(data, Path(path))
        place = await self._validate_path_access(path, for_write=True)
        script = 'mkdir -p -- "$(dirname -- "$1")" && exec cat >"$1"'
        await self._feed(["/bin/sh", "-c", script, "sh", place.as_posix()], content, Path(path))

    async def _feed(self, words: list[str], content: bytes, path: Path) -> None:
        try:
            code, _, complaint = await self._run(words, input=content)
        except PyroError as error:
            raise WorkspaceArchiveWriteError(path=path, cause=error) from error
        if code != 0:
            raise WorkspaceArchiveWriteError(path=path, context=_context(code, complaint))

    async def running(self) -> bool:
        """Whether the guest runs."""
        try:
            info = await self.workspace.info()
        except NotFoundError:
            return False
        return bool(info["state"] == "started")

    async def persist_workspace(self) -> io.IOBase:
        """The files as a tar archive."""
        root = self._workspace_root_path()
        skipped = sorted(path.as_posix() for path in self._persist_workspace_skip_relpaths())
        excluded = [f"--exclude=./{path}" for path in skipped if path not in ("", ".")]
        try:
            code, archive, complaint = await self._run(["tar", "-C", root.as_posix(), *excluded, "-cf", "-", "."])
        except PyroError as error:
            raise WorkspaceArchiveReadError(path=root, cause=error) from error
        if code != 0:
            raise WorkspaceArchiveReadError(path=root, context=_context(code, complaint))
        return io.BytesIO(archive)

    async def hydrate_workspace(self, data: io.IOBase) -> None:
        """Unpack such an archive."""
        root = self._workspace_root_path()
        content = _bytes(data, root)
        try:
            validate_tar_bytes(content, allow_external_symlink_targets=False)
        except UnsafeTarMemberError as error:
            context = {"reason": "unsafe_or_invalid_tar", "member": error.member}
            raise WorkspaceArchiveWriteError(path=root, context=context, cause=error) from error
        await self._feed(["tar", "-C", root.as_posix(), "-xf", "-"], content, root)

    async def _resolve_exposed_port(self, port: int) -> ExposedPortEndpoint:
        try:
            published = [one for one in await self.workspace.ports.list() if one.guest_port == port]
            one = published[0] if published else await self.workspace.ports.publish(port)
        except PyroError as error:
            raise ExposedPortUnavailableError(
                port=port, exposed_ports=self.state.exposed_ports, reason="backend_unavailable", cause=error
            ) from error
        return ExposedPortEndpoint(host=one.host, port=one.host_port)

    async def _shutdown_backend(self) -> None:
        if await self.running():
            await self.workspace.stop()


class PyroSandboxClient(BaseSandboxClient[PyroSandboxClientOptions | None]):
    """Makes sessions, each with a workspace of its own. ``client`` says where workspaces are kept."""

    backend_id = "pyro"
    supports_default_options = True

    def __init__(self, client: Pyro | None = None) -> None:
        self._pyro = client or Pyro()

    async def create(
        self,
        *,
        snapshot: SnapshotSpec | SnapshotBase | None = None,
        manifest: Manifest | None = None,
        options: PyroSandboxClientOptions | None = None,
    ) -> SandboxSession:
        """Make a workspace and a session on it."""
        options = options or PyroSandboxClientOptions()
        manifest = self._validate_manifest_for_create(manifest or Manifest())
        workspace = await self._made(options)
        state = PyroSandboxSessionState(
            manifest=manifest,
            snapshot=resolve_snapshot(snapshot, workspace.id),
            exposed_ports=options.exposed_ports,
            workspace_id=workspace.id,
            options=options,
        )
        return self._wrap_session(PyroSandboxSession(state=state, workspace=workspace))

    async def _made(self, options: PyroSandboxClientOptions) -> AsyncWorkspace:
        return await AsyncWorkspace.create(
            options.environment, client=self._pyro, vcpu_count=options.vcpu_count, mem_mib=options.mem_mib
        )

    async def delete(self, session: SandboxSession) -> SandboxSession:
        """Delete a session's workspace, running or not."""
        inner = session._inner
        if not isinstance(inner, PyroSandboxSession):
            raise TypeError("the session is one of another client")
        try:
            await inner.workspace.delete()
        except NotFoundError:
            # That is what was wanted.
            pass
        return session

    async def resume(self, state: SandboxSessionState) -> SandboxSession:
        """A session on the workspace of another; on a new one, with the same options, when that is gone."""
        if not isinstance(state, PyroSandboxSessionState):
            raise TypeError("the state is one of another client")
        state.assert_path_grants_rebound()
        try:
            workspace = await AsyncWorkspace.open(state.workspace_id, client=self._pyro)
            found = True
        except NotFoundError:
            workspace = await self._made(state.options)
            found = False
        if found and (await workspace.info())["state"] != "started":
            await workspace.start()
        state.workspace_id = workspace.id
        session = PyroSandboxSession(state=state, workspace=workspace)
        session._set_start_state_preserved(found)
        return self._wrap_session(session)

    def deserialize_session_state(self, payload: dict[str, object]) -> SandboxSessionState:
        """What ``serialize_session_state`` made of a state."""
        return self._deserialize_session_state_payload(payload, PyroSandboxSessionState)


def _bytes(data: Any, path: Path) -> bytes:
    content = data.read()
    if isinstance(content, str):
        return content.encode()
    if not isinstance(content, bytes | bytearray):
        raise WorkspaceWriteTypeError(path=path, actual_type=type(content).__name__)
    return bytes(content)


def _context(code: int, complaint: bytes) -> dict[str, object]:
    return {"exit_code": code, "stderr": complaint.decode(errors="replace").strip()}


__all__ = ["PyroSandboxClient", "PyroSandboxClientOptions", "PyroSandboxSession", "PyroSandboxSessionState"]
