//! Why a run failed before or besides its command.

use crate::code;
use crate::code::Coded;
use crate::guest::GuestError;
use crate::machine::MachineError;
use crate::state::StateError;
use pyro_engine::ChooseError;
use pyro_image::ImageError;
use std::io;

/// Why a run failed before or besides its command.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A network was asked for, and there is none yet.
    #[error("this release has no guest network: only the network policy 'off' is possible")]
    NetworkUnavailable,
    /// No engine works.
    #[error(transparent)]
    Choose(#[from] ChooseError),
    /// The environment is not usable.
    #[error(transparent)]
    Environment(#[from] ImageError),
    /// The host-compat scratch folder could not be made.
    #[error(transparent)]
    State(#[from] StateError),
    /// The scratch folder or the agent for the host-compat mode could not be made.
    #[error("preparing the host-compat mode")]
    HostCompat(#[source] io::Error),
    /// The environment's installation could not be begun, or was lost.
    #[error("beginning to install the environment")]
    Pull(#[source] io::Error),
    /// The guest did not come up.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The command could not be started.
    #[error("running {command}")]
    Command {
        /// The command.
        command: String,
        /// The guest's reason.
        #[source]
        source: GuestError,
    },
    /// The guest went away while the command ran.
    #[error("the guest ended while the command ran ({exit}); its console ends with: {console}")]
    GuestLost {
        /// How the engine ended.
        exit: String,
        /// The last lines of its console.
        console: String,
    },
    /// The guest did not answer within its time-out and the grace after it.
    #[error("the guest stopped answering; it was ended")]
    GuestHung,
    /// The guest stood still until its time-out and the grace after it: the host had no room for what it wrote.
    #[error(
        "the host's disk is full, and the guest waited for room on it for as long as it may take; it was ended"
    )]
    NoRoom,
    /// The caller's output could not be written.
    #[error("writing the command's output")]
    Output(#[source] io::Error),
    /// The caller was interrupted by a signal.
    #[error("interrupted by signal {signal}")]
    Interrupted {
        /// Its number.
        signal: i32,
    },
}

impl Coded for RunError {
    fn code(&self) -> &'static str {
        match self {
            Self::NetworkUnavailable => code::NETWORK_UNAVAILABLE,
            Self::Choose(error) => error.code(),
            Self::Environment(error) => error.code(),
            Self::State(_) => code::STATE_UNWRITABLE,
            Self::HostCompat(_) => code::HOST_COMPAT_FAILED,
            Self::Pull(_) => code::HOST_FAILED,
            Self::Machine(error) => error.code(),
            Self::Command { source, .. } => source.code(),
            Self::GuestLost { .. } => code::GUEST_LOST,
            Self::GuestHung => code::GUEST_HUNG,
            Self::NoRoom => code::DISK_FULL,
            Self::Output(_) => code::OUTPUT_FAILED,
            Self::Interrupted { .. } => code::INTERRUPTED,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NetworkUnavailable => vec!["leave out --network, or pass --network-policy off".to_owned()],
            Self::Choose(error) => error.hints(),
            Self::Environment(error) => error.hints(),
            Self::State(_) => vec!["set PYRO_STATE_DIR to a folder you own and can write to".to_owned()],
            Self::Machine(error) => error.hints(),
            Self::Command { source, .. } => command_hints(source),
            Self::GuestLost { .. } => {
                vec!["a guest that runs out of memory ends like this: try a larger --mem-mib".to_owned()]
            }
            Self::NoRoom => vec!["free some space in the state folder, and run it again".to_owned()],
            _ => Vec::new(),
        }
    }
}

impl RunError {
    /// The exit code a process should end with: 127 and 126 for a command that is not there or not executable, 128 and the
    /// signal's number when interrupted, 125 for the rest.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Command { source, .. } if source.code() == "command_not_found" => 127,
            Self::Command { source, .. } if source.code() == "command_not_executable" => 126,
            Self::Interrupted { signal } => 128 + signal,
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 128 + 13,
            _ => 125,
        }
    }
}

fn command_hints(error: &GuestError) -> Vec<String> {
    match error.code() {
        "command_not_found" => {
            vec!["several words after -- are a program and its arguments; quote them as one word for shell syntax".to_owned()]
        }
        "bad_cwd" => vec!["--cwd names a folder in the guest".to_owned()],
        "bad_user" => vec!["--user takes a name or number from the guest's /etc/passwd".to_owned()],
        _ => Vec::new(),
    }
}
