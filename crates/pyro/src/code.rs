//! The stable codes of public errors, and the trait that gives them out. Codes are never renamed or given another meaning;
//! `docs/reference/error-codes.md` is generated from [`ALL`].

/// An error that a user or a program may have to act on.
pub trait Coded: std::error::Error {
    /// Its stable code.
    fn code(&self) -> &'static str;
    /// What to do about it, most useful first; may be empty.
    fn hints(&self) -> Vec<String>;
}

/// An error and its causes, as one line; a cause that its effect already quotes is not said twice.
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    let text = causes.fold(error.to_string(), |text, cause| {
        let next = cause.to_string();
        if text.contains(&next) { text } else { format!("{text}: {next}") }
    });
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The stable code that reads like this; what another pyro made up is a failure of its supervisor.
pub(crate) fn known(text: &str) -> &'static str {
    let listed = ALL.iter().find(|(code, _)| *code == text);
    listed.map_or(SUPERVISOR_FAILED, |(code, _)| code)
}

impl Coded for pyro_image::ImageError {
    fn code(&self) -> &'static str {
        self.code()
    }

    fn hints(&self) -> Vec<String> {
        self.hints()
    }
}

impl Coded for pyro_engine::ChooseError {
    fn code(&self) -> &'static str {
        match self {
            Self::ProgramMissing { debian_package: Some(_), .. } => ENGINE_MISSING,
            Self::ProgramMissing { .. } | Self::NeedsKvm { .. } | Self::NotImplemented => ENGINE_UNAVAILABLE,
            Self::Engine(_) => ENGINE_FAILED,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::ProgramMissing { debian_package: Some(package), .. } => {
                vec![format!("install the package {package}")]
            }
            Self::ProgramMissing { .. } | Self::NeedsKvm { .. } | Self::NotImplemented => {
                vec!["leave out --engine and PYRO_ENGINE to take what works on this host".to_owned()]
            }
            Self::Engine(_) => vec!["'pyro doctor' checks what a guest needs on this host".to_owned()],
        }
    }
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal;)+) => {
        $($(#[doc = $doc])+ pub const $name: &str = $text;)+

        /// Every code this crate gives out itself, with its meaning.
        pub const ALL: &[(&str, &str)] = &[$(($text, concat!($($doc),+))),+];
    };
}

codes! {
    /// A network policy other than 'off' was asked for, and this release has no guest network.
    NETWORK_UNAVAILABLE = "network_unavailable";
    /// The state folder cannot be made, entered or written, or belongs to another user.
    STATE_UNWRITABLE = "state_unwritable";
    /// The agent could not be started on the host.
    HOST_COMPAT_FAILED = "host_compat_failed";
    /// There is no workspace of this id or name.
    WORKSPACE_UNKNOWN = "workspace_unknown";
    /// Another workspace has this name.
    WORKSPACE_NAME_TAKEN = "workspace_name_taken";
    /// There are as many workspaces as there may be.
    WORKSPACE_LIMIT_REACHED = "workspace_limit_reached";
    /// The workspace is stopped, and this needs its guest.
    WORKSPACE_NOT_RUNNING = "workspace_not_running";
    /// The workspace has no secret of this name.
    SECRET_UNKNOWN = "secret_unknown";
    /// The value of a secret is not known any more, or cannot be kept.
    SECRET_MISSING = "secret_missing";
    /// The key that secrets are kept on a disk with is not there.
    SECRETS_KEY_MISSING = "secrets_key_missing";
    /// The key that secrets are kept on a disk with is none, is for others to read, or is not the one that they were kept with.
    SECRETS_KEY_WRONG = "secrets_key_wrong";
    /// Secrets may be in the guest's memory, which is therefore not written to a disk.
    SECRETS_IN_MEMORY = "secrets_in_memory";
    /// The workspace was reset while the command ran in it.
    WORKSPACE_RESET = "workspace_reset";
    /// The workspace is stopped without its memory, so it cannot be resumed.
    WORKSPACE_NOT_SUSPENDED = "workspace_not_suspended";
    /// The workspace runs, and this can only be done while it is stopped.
    WORKSPACE_RUNNING = "workspace_running";
    /// Somebody else is changing the workspace.
    WORKSPACE_BUSY = "workspace_busy";
    /// The workspace's supervisor could not be started, or ended.
    SUPERVISOR_FAILED = "supervisor_failed";
    /// The environment that the workspace was made from is not installed any more, or is another one now.
    WORKSPACE_ENVIRONMENT_GONE = "workspace_environment_gone";
    /// Reading the disk of a running guest took longer than it may be held.
    DISK_HOLD_EXPIRED = "disk_hold_expired";
    /// A disk cannot be read: a layer is missing, damaged, or was used in a way that is not supported.
    DISK_UNREADABLE = "disk_unreadable";
    /// The file is no packed workspace, is damaged, or says what cannot be.
    PACK_INVALID = "pack_invalid";
    /// Memory was saved by another engine, or on another processor.
    ENGINE_DIFFERS = "engine_differs";
    /// Nothing would change.
    NOTHING_TO_CHANGE = "nothing_to_change";
    /// There is no snapshot of this name.
    SNAPSHOT_UNKNOWN = "snapshot_unknown";
    /// The workspace has a snapshot of this name already.
    SNAPSHOT_NAME_TAKEN = "snapshot_name_taken";
    /// The baseline snapshot can be neither made nor deleted.
    SNAPSHOT_PROTECTED = "snapshot_protected";
    /// A path is not of the kind that this needs.
    PATH_UNSUITABLE = "path_unsuitable";
    /// A push would have to remove a folder of the guest that holds what is excluded.
    PUSH_CONFLICT = "push_conflict";
    /// A name is malformed.
    NAME_INVALID = "name_invalid";
    /// A file of the state folder could not be read or written.
    STATE_IO = "state_io";
    /// A document of the state folder is broken, or was written by a newer pyro.
    DOCUMENT_INVALID = "document_invalid";
    /// The guest did not shut down by itself and was killed.
    SHUTDOWN_FORCED = "shutdown_forced";
    /// The host refused something ordinary: a thread, an open file, an event loop.
    HOST_FAILED = "host_failed";
    /// The host's random generator gave nothing.
    HOST_RANDOM = "host_random";
    /// The engine's program is not installed.
    ENGINE_MISSING = "engine_missing";
    /// The engine that was asked for cannot run guests on this host.
    ENGINE_UNAVAILABLE = "engine_unavailable";
    /// The engine could not start the guest.
    ENGINE_FAILED = "engine_failed";
    /// The guest's agent did not answer in time.
    GUEST_BOOT_TIMEOUT = "guest_boot_timeout";
    /// The guest ended, or refused the handshake, before it was ready.
    GUEST_BOOT_FAILED = "guest_boot_failed";
    /// The guest ended while its command ran.
    GUEST_LOST = "guest_lost";
    /// The guest did not answer after its command's time was up.
    GUEST_HUNG = "guest_hung";
    /// What was asked for has no snapshots.
    SNAPSHOT_UNSUPPORTED = "snapshot_unsupported";
    /// A snapshot could not be taken; the guest goes on as before.
    SNAPSHOT_FAILED = "snapshot_failed";
    /// A disk of the host is full.
    DISK_FULL = "disk_full";
    /// The channel to the guest closed.
    GUEST_CHANNEL_CLOSED = "guest_channel_closed";
    /// The guest broke the protocol.
    GUEST_PROTOCOL = "guest_protocol";
    /// The guest refused for a reason of its own.
    GUEST_REFUSED = "guest_refused";
    /// The guest is at one of its limits.
    GUEST_LIMIT_REACHED = "guest_limit_reached";
    /// The command and its environment are larger than a message may be.
    COMMAND_TOO_LARGE = "command_too_large";
    /// The program does not exist in the guest.
    COMMAND_NOT_FOUND = "command_not_found";
    /// The program exists in the guest and cannot be executed.
    COMMAND_NOT_EXECUTABLE = "command_not_executable";
    /// The working directory does not exist in the guest.
    BAD_CWD = "bad_cwd";
    /// The user does not exist in the guest.
    BAD_USER = "bad_user";
    /// The job does not exist or has ended.
    NO_SUCH_JOB = "no_such_job";
    /// Somebody listens on this port of the host already, or the workspace publishes it already.
    PORT_IN_USE = "port_in_use";
    /// The host does not permit listening on this port.
    PORT_NOT_PERMITTED = "port_not_permitted";
    /// The address to listen on is none of the host's.
    ADDRESS_UNAVAILABLE = "address_unavailable";
    /// The workspace does not publish this port.
    PORT_UNKNOWN = "port_unknown";
    /// There is no service of this name.
    SERVICE_UNKNOWN = "service_unknown";
    /// A service of this name runs already.
    SERVICE_RUNNING = "service_running";
    /// The service ended before it was ready, was not ready in time, or its port could not be published.
    SERVICE_FAILED = "service_failed";
    /// Nothing in the guest listens there, or answers.
    CONNECTION_REFUSED = "connection_refused";
    /// The other end of a connection to the guest gave up.
    CONNECTION_RESET = "connection_reset";
    /// The guest's agent came out of a snapshot of an older pyro and cannot do this.
    AGENT_TOO_OLD = "agent_too_old";
    /// There is no shell of this id, or it is forgotten.
    NO_SUCH_SHELL = "no_such_shell";
    /// The shell has ended; what it printed can still be read.
    SHELL_ENDED = "shell_ended";
    /// The shell's program does not read, and as much input waits for it as may; nothing of the new was taken.
    SHELL_INPUT_FULL = "shell_input_full";
    /// This needs a terminal, and standard input is none.
    NOT_A_TERMINAL = "not_a_terminal";
    /// There is nothing at this path of the guest.
    PATH_NOT_FOUND = "path_not_found";
    /// There is something at this path of the guest already.
    PATH_EXISTS = "path_exists";
    /// Something in the guest changed it between being looked at and being replaced; nothing was done.
    PATH_CHANGED = "path_changed";
    /// The cursor of a list is none, or lies beyond everything that a shell has printed.
    CURSOR_INVALID = "cursor_invalid";
    /// The bytes are no path of a guest.
    PATH_INVALID = "path_invalid";
    /// Something that is no directory is where one is needed; a link where no link is followed, too.
    NOT_A_DIRECTORY = "not_a_directory";
    /// A directory is where something else is needed.
    IS_A_DIRECTORY = "is_a_directory";
    /// The directory is not empty.
    DIRECTORY_NOT_EMPTY = "directory_not_empty";
    /// The guest's disk is full.
    GUEST_DISK_FULL = "guest_disk_full";
    /// The guest did not finish its work on files in time.
    GUEST_TOOL_TIMEOUT = "guest_tool_timeout";
    /// The caller's output could not be written.
    OUTPUT_FAILED = "output_failed";
    /// The caller was interrupted by a signal.
    INTERRUPTED = "interrupted";
    /// A size or time is out of its bounds.
    LIMIT_EXCEEDED = "limit_exceeded";
    /// There was no command to run.
    NO_COMMAND = "no_command";
    /// The command line, or an environment variable, was wrong.
    USAGE = "usage";
    /// Neither HOME nor the XDG variables say where things are kept.
    HOME_MISSING = "home_missing";
    /// The catalogue has no environment of this name.
    ENVIRONMENT_UNKNOWN = "environment_unknown";
    /// The environment is not installed.
    ENVIRONMENT_NOT_INSTALLED = "environment_not_installed";
    /// The catalogue file cannot be used.
    CATALOGUE_INVALID = "catalogue_invalid";
    /// No Debian mirror is configured.
    MIRROR_MISSING = "mirror_missing";
    /// The configured mirror is no address.
    MIRROR_INVALID = "mirror_invalid";
    /// The mirror does not answer.
    MIRROR_UNREACHABLE = "mirror_unreachable";
    /// The mirror's signatures cannot be verified.
    MIRROR_UNTRUSTED = "mirror_untrusted";
    /// The mirror does not have a package that the environment needs.
    PACKAGE_MISSING = "package_missing";
    /// A program that builds environments is not installed.
    PROGRAM_MISSING = "program_missing";
    /// A step of building an environment failed.
    IMAGE_BUILD_FAILED = "image_build_failed";
    /// No user namespace with a range of ids can be made to build in.
    NAMESPACE_UNAVAILABLE = "namespace_unavailable";
    /// The cache folder cannot be written to.
    CACHE_UNWRITABLE = "cache_unwritable";
    /// Reading or writing a file of the cache failed.
    IMAGE_IO = "image_io";
    /// An installed file is not as it was when it was installed.
    IMAGE_CORRUPT = "image_corrupt";
    /// The kernel package does not hold what a guest needs.
    KERNEL_INVALID = "kernel_invalid";
    /// The root file system archive cannot be used.
    ROOTFS_INVALID = "rootfs_invalid";
    /// No disk of this size can be made.
    DISK_SIZE_INVALID = "disk_size_invalid";
    /// The bytes are no patch, or none that can be applied to files.
    PATCH_INVALID = "patch_invalid";
    /// A path of the patch leads out of the folder that it is applied in, by itself or through a symbolic link.
    PATCH_PATH_ESCAPES = "patch_path_escapes";
    /// The patch does not fit the files; none was changed.
    PATCH_CONFLICT = "patch_conflict";
    /// The patch is larger than a patch may be, or takes too much work.
    PATCH_TOO_LARGE = "patch_too_large";
    /// The folder, archive or repository to read does not exist.
    SOURCE_MISSING = "source_missing";
    /// A file or folder of the host cannot be read.
    SOURCE_UNREADABLE = "source_unreadable";
    /// A pattern, of what to leave out or to wait for, is malformed or too large.
    PATTERN_INVALID = "pattern_invalid";
    /// The archive is damaged, cut off, or of a kind that cannot be read.
    ARCHIVE_INVALID = "archive_invalid";
    /// A member of the archive would leave its tree, pass through a link, or grow without bound.
    ARCHIVE_REFUSED = "archive_refused";
    /// There is something where the output is to go.
    OUTPUT_EXISTS = "output_exists";
    /// A symbolic link of the guest's tree leads out of that tree.
    LINK_ESCAPES = "link_escapes";
    /// A tree holds more files or bytes than it may.
    QUOTA_EXCEEDED = "quota_exceeded";
    /// Git could not read or copy the repository.
    GIT_FAILED = "git_failed";
    /// The repository is on the network, and the host side has none.
    GIT_REMOTE = "git_remote";
    /// The repository has no such branch, tag or commit.
    GIT_REF_UNKNOWN = "git_ref_unknown";
    /// The work was cancelled.
    CANCELLED = "cancelled";
    /// A path of the host lies outside of the folders that the server was given.
    PATH_OUTSIDE_ROOTS = "path_outside_roots";
    /// Running on the host, without isolation, is for the operator alone to allow.
    HOST_COMPAT_REFUSED = "host_compat_refused";
    /// The arguments of a tool are not what its schema says.
    ARGUMENTS_INVALID = "arguments_invalid";
    /// There is no tool of this name, or this server does not offer it.
    TOOL_UNKNOWN = "tool_unknown";
    /// A model's server could not be reached, refused, or did not answer as one.
    MODEL_FAILED = "model_failed";
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The codes that a room beside this one gives out are in the list from which the reference is generated.
    #[test]
    fn every_code_of_an_environment_error_is_listed() {
        let source = include_str!("../../pyro-image/src/error.rs");
        let after_arrow = source.lines().filter_map(|line| line.split_once("=> \"")).map(|(_, rest)| rest);
        let codes: Vec<&str> =
            after_arrow.filter_map(|rest| rest.split_once("\",")).map(|(code, _)| code).collect();
        assert!(codes.len() > 10, "the codes were not found: {codes:?}");
        for code in codes {
            assert!(ALL.iter().any(|(listed, _)| *listed == code), "{code} is not listed");
        }
    }
}
