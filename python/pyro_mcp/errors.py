"""Failures as exceptions: one kind for each family of codes. The codes are listed in docs/reference/error-codes.md.

This file must not decide what a failure's code is.
"""

from __future__ import annotations


class PyroError(RuntimeError):
    """Something pyro was asked for did not happen."""

    #: Stable name of what went wrong; never renamed, never given another meaning.
    code: str
    #: What to do about it; may be empty.
    hint: str

    def __init__(self, message: str, *, code: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        return (_remake, (type(self), str(self), self.code, self.hint))


def _remake(kind: type[PyroError], message: str, code: str, hint: str) -> PyroError:
    return kind(message, code=code, hint=hint)


class InvalidArgumentError(PyroError, ValueError):
    """An argument cannot be: malformed, out of its bounds, or too large."""


class NotFoundError(PyroError, LookupError):
    """There is nothing of this name."""


class ConflictError(PyroError):
    """It does not go with how things are now: taken, busy, running, stopped, changed."""


class RefusedError(PyroError, PermissionError):
    """It is not allowed, or not in this release."""


class PathError(PyroError):
    """A path of the guest, or of an archive, is not of the kind that is needed."""


class CommandError(PyroError):
    """A command could not be started in the guest. One that ran and failed is a result, not an exception."""


class CommandFailed(PyroError):
    """A command ended with something else than 0, and ``check`` was asked for."""


class GuestError(PyroError):
    """The guest did not come up, went away, or does not answer."""


class EngineError(PyroError):
    """No engine can run guests on this host, or the one that should failed."""


class InstallError(PyroError):
    """An environment could not be installed."""


class HostError(PyroError):
    """The host failed: its disk, its files, its limits."""


class CancelledCallError(PyroError):
    """The call was given up before it ended."""


_FAMILIES: dict[type[PyroError], str] = {
    InvalidArgumentError: """
        archive_invalid arguments_invalid catalogue_invalid command_too_large cursor_invalid disk_size_invalid limit_exceeded
        mirror_invalid name_invalid no_command nothing_to_change pack_invalid patch_invalid patch_too_large path_invalid
        pattern_invalid usage
    """,
    NotFoundError: """
        environment_not_installed environment_unknown git_ref_unknown no_such_job no_such_shell path_not_found port_unknown
        secret_unknown service_unknown snapshot_unknown source_missing tool_unknown workspace_unknown
    """,
    ConflictError: """
        agent_too_old engine_differs guest_limit_reached output_exists patch_conflict path_changed path_exists port_in_use
        push_conflict secret_missing secrets_in_memory secrets_key_missing secrets_key_wrong service_failed service_running
        shell_ended shell_input_full snapshot_name_taken snapshot_protected workspace_busy workspace_environment_gone workspace_limit_reached
        workspace_name_taken workspace_not_running workspace_not_suspended workspace_reset workspace_running
    """,
    RefusedError: """
        address_unavailable archive_refused git_remote host_compat_refused link_escapes network_unavailable not_a_terminal
        patch_path_escapes path_outside_roots port_not_permitted quota_exceeded snapshot_unsupported
    """,
    PathError: "directory_not_empty is_a_directory not_a_directory path_unsuitable",
    CommandError: "bad_cwd bad_user command_not_executable command_not_found",
    GuestError: """
        connection_refused connection_reset disk_hold_expired guest_boot_failed guest_boot_timeout guest_channel_closed
        guest_disk_full guest_hung guest_lost guest_protocol guest_refused guest_tool_timeout shutdown_forced snapshot_failed
        supervisor_failed
    """,
    EngineError: "engine_failed engine_missing engine_unavailable host_compat_failed",
    InstallError: """
        image_build_failed image_corrupt kernel_invalid mirror_missing mirror_unreachable mirror_untrusted
        namespace_unavailable package_missing program_missing rootfs_invalid
    """,
    HostError: """
        cache_unwritable disk_full disk_unreadable document_invalid git_failed home_missing host_failed host_random image_io
        model_failed output_failed source_unreadable state_io state_unwritable
    """,
    CancelledCallError: "cancelled interrupted",
}

_KINDS = {code: kind for kind, codes in _FAMILIES.items() for code in codes.split()}


def kind_of(code: str) -> type[PyroError]:
    """The exception for a code; ``PyroError`` itself for one that this version does not know."""
    return _KINDS.get(code, PyroError)


def error_from(code: str, message: str, hint: str) -> PyroError:
    """The exception for a failure."""
    return kind_of(code)(message, code=code, hint=hint)
