"""A backend for LangChain's ``deepagents``: the agent's files and commands are those of a workspace.

``pip install pyro-mcp[deepagents]``. Nothing has to be in the guest but a shell: files go through pyro's own operations. Failures
are answers, as the protocol has it, so that the model can do better. This file must not decide how long a workspace lives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepagents.backends.protocol import (
    FILE_NOT_FOUND,
    INVALID_PATH,
    IS_DIRECTORY,
    DeleteResult,
    EditResult,
    ExecuteResponse,
    FileData,
    FileDownloadResponse,
    FileInfo,
    FileUploadResponse,
    GlobResult,
    GrepMatch,
    GrepResult,
    LsResult,
    ReadResult,
    SandboxBackendProtocol,
    WriteResult,
)
from deepagents.backends.utils import normalize_read_bounds, perform_string_replacement
from wcmatch import glob as wcglob

from pyro_mcp.aio import AsyncWorkspace
from pyro_mcp.client import FILE_ENTRIES_MAX
from pyro_mcp.errors import NotFoundError, PyroError

if TYPE_CHECKING:
    from pyro_mcp.results import Document, ExecResult
    from pyro_mcp.sandbox import Workspace

ROOT = "/workspace"
#: Most bytes of a command's output that are given back.
OUTPUT_BYTES_MAX = 1 << 20
#: Most bytes of a text file that one read gives back, and of a file that is no text.
READ_BYTES_MAX = 500 << 10
#: Most bytes of a file that can be edited.
EDIT_BYTES_MAX = 4 << 20
MATCHES_MAX = 10_000


class _Output:
    """The beginning of what a command prints, both outputs in the order in which they came."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._truncated = False

    def take(self, chunk: bytes) -> None:
        room = OUTPUT_BYTES_MAX - len(self._kept)
        self._kept += chunk[:room]
        self._truncated |= len(chunk) > room

    def response(self, how: ExecResult) -> ExecuteResponse:
        output = self._kept.decode(errors="replace")
        return ExecuteResponse(output=output, exit_code=how.exit_code, truncated=self._truncated)


class PyroBackend(SandboxBackendProtocol):
    """The files and commands of a workspace or sandbox that somebody else made and will delete.

    ``timeout_seconds`` is for commands whose caller names no time; 0 is no limit.
    """

    def __init__(self, workspace: Workspace, *, timeout_seconds: int = 120) -> None:
        self._workspace = workspace
        self._timeout_seconds = timeout_seconds

    @property
    def id(self) -> str:
        """The workspace's id."""
        return self._workspace.id

    # Commands

    def execute(self, command: str, *, timeout: int | None = None) -> ExecuteResponse:
        """Run a shell command in ``/workspace``; 124 is the exit code when its time was up."""
        output = _Output()
        try:
            with self._workspace.exec_stream(command, timeout_seconds=self._seconds(timeout)) as stream:
                for _, chunk in stream:
                    output.take(chunk)
                return output.response(stream.result())
        except PyroError as error:
            return ExecuteResponse(output=_said(error), exit_code=None)

    async def aexecute(self, command: str, *, timeout: int | None = None) -> ExecuteResponse:  # noqa: ASYNC109
        """The same for asyncio: a task that is cancelled ends the command."""
        output = _Output()
        workspace = AsyncWorkspace(self._workspace.id, self._workspace._client)
        try:
            async with workspace.exec_stream(command, timeout_seconds=self._seconds(timeout)) as stream:
                async for _, chunk in stream:
                    output.take(chunk)
                return output.response(await stream.result())
        except PyroError as error:
            return ExecuteResponse(output=_said(error), exit_code=None)

    def _seconds(self, timeout: int | None) -> int | None:
        seconds = self._timeout_seconds if timeout is None else timeout
        return seconds or None

    # Files

    def _call(self, operation: str, **arguments: object) -> Document:
        return self._workspace._client._call(operation, workspace_id=self._workspace.id, **arguments)

    def ls(self, path: str) -> LsResult:
        """The entries of a folder."""
        try:
            listed = self._call("workspace_file_list", path=path, limit=FILE_ENTRIES_MAX)
        except PyroError as error:
            return LsResult(error=_said(error))
        return LsResult(entries=[_info(entry) for entry in listed["entries"]])

    def read(self, file_path: str, offset: int = 0, limit: int = 2000) -> ReadResult:
        """Lines of a text file, or a file that is no text in base64."""
        offset, limit = normalize_read_bounds(offset, limit)
        where = {"path": file_path, "max_bytes": READ_BYTES_MAX}
        try:
            if limit == 0:
                self._workspace.files.stat(file_path)
                return ReadResult(file_data=FileData(content="", encoding="utf-8"), no_lines_requested=True)
            # One more, which tells whether there are more.
            read = self._call("workspace_file_read", line_start=offset + 1, line_count=limit + 1, **where)
            if read["encoding"] == "base64":
                read = self._call("workspace_file_read", base64=True, **where)
        except PyroError as error:
            return ReadResult(error=_said(error))
        return _binary(read) if read["encoding"] == "base64" else _lines(read, offset, limit)

    def write(self, file_path: str, content: str) -> WriteResult:
        """Write a file, with the folders above it; its mode stays when it is there."""
        try:
            self._workspace.files.write(file_path, content)
        except PyroError as error:
            return WriteResult(error=_said(error))
        return WriteResult(path=file_path)

    def edit(self, file_path: str, old_string: str, new_string: str, replace_all: bool = False) -> EditResult:
        """Replace a text that is in a file once, or everywhere."""
        try:
            read = self._call("workspace_file_read", path=file_path, max_bytes=EDIT_BYTES_MAX)
            if read["encoding"] != "utf-8" or read["truncated"]:
                return EditResult(error=f"Error: {file_path} is no text of at most {EDIT_BYTES_MAX} bytes")
            edited = _replaced(read["content"], old_string, new_string, replace_all)
            if isinstance(edited, str):
                return EditResult(error=edited)
            self._workspace.files.write(file_path, edited[0])
        except PyroError as error:
            return EditResult(error=_said(error))
        return EditResult(path=file_path, occurrences=edited[1])

    def delete(self, file_path: str) -> DeleteResult:
        """Delete a file, or a folder with everything in it."""
        try:
            self._workspace.files.delete(file_path, recursive=True)
        except NotFoundError:
            return DeleteResult(error=f"Error: '{file_path}' not found")
        except PyroError as error:
            return DeleteResult(error=_said(error))
        return DeleteResult(path=file_path)

    def grep(
        self, pattern: str, path: str | None = None, glob: str | None = None, *, max_count: int | None = None
    ) -> GrepResult:
        """The lines of text files that have a text in them."""
        limit = MATCHES_MAX if max_count is None else min(max_count, MATCHES_MAX)
        try:
            found = self._call(
                "workspace_file_search",
                pattern=pattern,
                fixed=True,
                path=path or ROOT,
                glob=[glob] if glob else [],
                # One more, which tells whether there are more.
                limit=max(limit, 0) + 1,
            )
        except PyroError as error:
            return GrepResult(error=_said(error))
        matches = [_match(one) for one in found["matches"]]
        return GrepResult(matches=matches[:limit], truncated=found["truncated"] or len(matches) > limit)

    def glob(self, pattern: str, path: str | None = None) -> GlobResult:
        """The files that a pattern matches: by name if it has no slash, else by path below ``path``."""
        if ".." in pattern.split("/"):
            return GlobResult(error=f"Error: the pattern {pattern!r} leads out of its folder")
        root = path or ROOT
        try:
            listed = self._call("workspace_file_list", path=root, recursive=True, limit=FILE_ENTRIES_MAX)
            entries = [entry for entry in listed["entries"] if entry["artifact_type"] != "directory"]
            matches = [_info(entry) for entry in entries if _matches(entry["path"], root, pattern)]
        except wcglob.PatternLimitException:
            return GlobResult(error=f"Error: the pattern {pattern!r} stands for too many")
        except PyroError as error:
            return GlobResult(error=_said(error))
        truncated = bool(listed["truncated"])
        return GlobResult(matches=matches, truncated=truncated, truncation_reason="budget" if truncated else None)

    def upload_files(self, files: list[tuple[str, bytes]]) -> list[FileUploadResponse]:
        """Write files that need not be text."""
        return [FileUploadResponse(path=path, error=self._upload(path, content)) for path, content in files]

    def _upload(self, path: str, content: bytes) -> str | None:
        if not path.startswith("/"):
            return INVALID_PATH
        script = 'mkdir -p -- "$(dirname -- "$1")" && exec cat >"$1"'
        try:
            with self._workspace.exec_stream(["/bin/sh", "-c", script, "sh", path], input=content) as stream:
                how = stream.result()
        except PyroError as error:
            return _said(error)
        if how.ok:
            return None
        return IS_DIRECTORY if "Is a directory" in how.stderr else how.stderr.strip() or f"exit code {how.exit_code}"

    def download_files(self, paths: list[str]) -> list[FileDownloadResponse]:
        """The whole contents of files."""
        return [self._download(path) for path in paths]

    def _download(self, path: str) -> FileDownloadResponse:
        if not path.startswith("/"):
            return FileDownloadResponse(path=path, error=INVALID_PATH)
        content = bytearray()
        try:
            # Whatever it is: a link is followed as `cat` does.
            with self._workspace.exec_stream(["cat", "--", path]) as stream:
                complaint = bytearray()
                for source, chunk in stream:
                    (content if source == "stdout" else complaint).extend(chunk)
                how = stream.result()
        except PyroError as error:
            return FileDownloadResponse(path=path, error=_said(error))
        if how.ok:
            return FileDownloadResponse(path=path, content=bytes(content))
        said = complaint.decode(errors="replace").strip()
        known = {"No such file": FILE_NOT_FOUND, "Not a directory": FILE_NOT_FOUND, "Is a directory": IS_DIRECTORY}
        return FileDownloadResponse(path=path, error=next((name for part, name in known.items() if part in said), said))


def _said(error: PyroError) -> str:
    return f"Error: {error}" + (f" ({error.hint})" if error.hint else "")


def _info(entry: Document) -> FileInfo:
    return FileInfo(
        path=entry["path"],
        is_dir=entry["artifact_type"] == "directory",
        size=entry.get("size_bytes") or 0,
    )


def _match(found: Document) -> GrepMatch:
    return GrepMatch(path=found["path"], line=found["line"], text=found["text"])


def _binary(read: Document) -> ReadResult:
    if read["truncated"]:
        return ReadResult(error=f"Error: {read['path']} is no text, and has more than {READ_BYTES_MAX} bytes")
    return ReadResult(file_data=FileData(content=read["content"], encoding="base64"))


def _lines(read: Document, offset: int, limit: int) -> ReadResult:
    """Lines with ends as models write them, and where to read on. Of a line that is too long only the beginning can be read."""
    if read["line_count"] == 0:
        if offset == 0:
            return ReadResult(file_data=FileData(content="", encoding="utf-8"))
        return ReadResult(error=f"Error: {read['path']} ends before line {offset + 1}")
    lines = read["content"].replace("\r\n", "\n").removesuffix("\n").split("\n")
    shown = lines[:limit]
    end = offset + len(shown)
    return ReadResult(
        file_data=FileData(content="\n".join(shown), encoding="utf-8"),
        start_line=offset + 1,
        end_line=end,
        next_offset=end if read["truncated"] or len(lines) > limit else None,
    )


def _replaced(content: str, old: str, new: str, replace_all: bool) -> tuple[str, int] | str:
    """As a model saw the file, whose lines may end as Windows has it."""
    if old not in content and "\r\n" in content:
        old, new = (text.replace("\r\n", "\n").replace("\n", "\r\n") for text in (old, new))
    return perform_string_replacement(content, old, new, replace_all)


def _matches(path: str, root: str, pattern: str) -> bool:
    """A name that begins with a dot is matched only by a pattern that says so."""
    flags = wcglob.GLOBSTAR | wcglob.BRACE
    relative = path.removeprefix(root.rstrip("/") + "/")
    if "/" not in pattern:
        return bool(wcglob.globmatch(relative.rpartition("/")[2], pattern, flags=flags))
    return bool(wcglob.globmatch(relative, pattern.lstrip("/"), flags=flags))


__all__ = ["PyroBackend"]
