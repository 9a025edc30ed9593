//! Why a guest did not come up.

use crate::code;
use crate::code::Coded;
use crate::guest::GuestError;
use crate::state::StateError;
use pyro_engine::EngineError;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a guest did not come up.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// The state folder cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The guest's own disk could not be made.
    #[error("making the guest's disk")]
    Disk(#[source] pyro_image::ImageError),
    /// The guest's own disk could not be copied from a snapshot.
    #[error("copying the guest's disk from {path}", path = .path.display())]
    DiskCopy {
        /// The snapshot's disk.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The host has no random numbers.
    #[error("reading the host's random numbers")]
    Random(#[source] io::Error),
    /// The engine could not start it.
    #[error("starting the guest")]
    Engine(#[source] EngineError),
    /// The agent did not say hello in time.
    #[error("the guest did not come up within {} seconds{}", .deadline.as_secs(), said(.console))]
    Deadline {
        /// How long it had.
        deadline: Duration,
        /// The last lines of its console.
        console: String,
    },
    /// The engine or the kernel ended before the agent said hello, or the attachment failed.
    #[error("the guest did not come up{}", said(.console))]
    Greeting {
        /// The last lines of its console.
        console: String,
        /// What the channel said.
        #[source]
        source: GuestError,
    },
}

fn said(console: &str) -> String {
    if console.is_empty() { String::new() } else { format!("; its console ends with: {console}") }
}

impl Coded for MachineError {
    fn code(&self) -> &'static str {
        match self {
            Self::State(error) => error.code(),
            Self::Disk(error) => error.code(),
            Self::DiskCopy { .. } => code::HOST_FAILED,
            Self::Random(_) => code::HOST_RANDOM,
            Self::Engine(EngineError::ProgramMissing { .. }) => code::ENGINE_MISSING,
            Self::Engine(_) => code::ENGINE_FAILED,
            Self::Deadline { .. } => code::GUEST_BOOT_TIMEOUT,
            Self::Greeting { .. } => code::GUEST_BOOT_FAILED,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::State(error) => error.hints(),
            Self::Disk(error) => error.hints(),
            Self::Random(_) => Vec::new(),
            Self::DiskCopy { .. } => vec!["check the free space of the state folder's disk".to_owned()],
            Self::Engine(_) | Self::Deadline { .. } | Self::Greeting { .. } => {
                vec!["'pyro doctor' checks what a guest needs on this host".to_owned()]
            }
        }
    }
}
