"""The native half of the package, over the Rust library. Not for use by itself."""

from os import PathLike
from typing import TypedDict, final

__version__: str

def in_terms_of_methods(text: str) -> str: ...

class OperationError(Exception):
    """A failure: ``args`` are its code, its text and its hint."""

class Asked(TypedDict):
    command: list[str]
    shell: bool
    timeout_seconds: int | None
    env: dict[str, str]
    cwd: str | None
    user: str | None
    input: bytes | None
    secret_env: dict[str, str]

@final
class Call:
    """An operation under way. Forgetting it cancels it."""

    def fileno(self) -> int: ...
    def wait(self) -> str: ...
    def result(self) -> str: ...
    def cancel(self) -> None: ...

@final
class Exec:
    """A command under way. Forgetting it ends the command."""

    def fileno(self) -> int: ...
    def read(self) -> tuple[str, bytes] | None: ...
    def try_read(self) -> tuple[str, bytes] | None: ...
    def result(self) -> str: ...
    def close(self) -> None: ...

@final
class Client:
    """The operations with one configuration, by name."""

    def __new__(
        cls,
        program: str | PathLike[str],
        *,
        engine: str | None = None,
        state_dir: str | PathLike[str] | None = None,
        cache_dir: str | PathLike[str] | None = None,
    ) -> Client: ...
    def call(self, name: str, arguments: str) -> str: ...
    def begin(self, name: str, arguments: str) -> Call: ...
    def exec(self, workspace: str, asked: Asked) -> Exec: ...
    @staticmethod
    def names() -> list[str]: ...
