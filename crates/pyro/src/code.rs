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
    /// The work was cancelled.
    CANCELLED = "cancelled";
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
