//! Why a measurement was given up.

use crate::code;
use crate::code::Coded;
use crate::fork::ForkError;
use crate::guest::GuestError;
use crate::machine::MachineError;
use crate::machine::SnapshotError;
use crate::state::StateError;
use crate::template::TemplateError;
use pyro_engine::ChooseError;
use pyro_engine::EngineError;
use pyro_image::ImageError;
use std::io;
use std::path::PathBuf;

/// Why a measurement was given up.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// No engine works.
    #[error(transparent)]
    Choose(#[from] ChooseError),
    /// The environment is not usable.
    #[error(transparent)]
    Environment(#[from] ImageError),
    /// The state folder cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// There is no template to start from.
    #[error("making the template of {environment}")]
    Template {
        /// Whose.
        environment: String,
        /// Why.
        #[source]
        source: TemplateError,
    },
    /// The template is gone, or damaged, since it was made.
    #[error("the template in {path} is no longer whole", path = .path.display())]
    TemplateLost {
        /// Where it was.
        path: PathBuf,
    },
    /// A guest did not come up.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The engine alone did not do what is measured of it.
    #[error("measuring the engine alone")]
    Engine(#[source] EngineError),
    /// The template's disk could not be copied for the engine alone.
    #[error("copying the disk {path}", path = .path.display())]
    Disk {
        /// The template's.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A guest could not be saved.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A guest could not be forked.
    #[error("forking a guest into {children}")]
    Fork {
        /// How many there should have been.
        children: u32,
        /// Why.
        #[source]
        source: ForkError,
    },
    /// A command could not be run.
    #[error("running {command} in a guest")]
    Command {
        /// The command.
        command: String,
        /// The guest's reason.
        #[source]
        source: GuestError,
    },
    /// A command failed, so its time means nothing.
    #[error("{command} failed in a guest")]
    CommandFailed {
        /// The command.
        command: String,
    },
    /// A guest did not answer a request.
    #[error("asking a guest for an answer")]
    Ping(#[source] GuestError),
    /// What an engine uses could not be read.
    #[error("reading what the engine of guest {guest} uses")]
    Usage {
        /// Its id.
        guest: String,
        /// Why.
        #[source]
        source: EngineError,
    },
    /// One of several starts at once did not come to an end.
    #[error("starting several guests at once")]
    Task(#[source] tokio::task::JoinError),
}

impl Coded for BenchError {
    fn code(&self) -> &'static str {
        match self {
            Self::Choose(error) => error.code(),
            Self::Environment(error) => error.code(),
            Self::State(_) => code::STATE_UNWRITABLE,
            Self::Template { .. } | Self::TemplateLost { .. } | Self::Engine(_) | Self::Usage { .. } => {
                code::ENGINE_FAILED
            }
            Self::Machine(error) => error.code(),
            Self::Disk { .. } | Self::Task(_) => code::HOST_FAILED,
            Self::Snapshot(error) => error.code(),
            Self::Fork { source, .. } => fork_code(source),
            Self::Command { source, .. } | Self::Ping(source) => source.code(),
            Self::CommandFailed { .. } => code::GUEST_REFUSED,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Choose(error) => error.hints(),
            Self::Environment(error) => error.hints(),
            Self::Machine(error) => error.hints(),
            Self::Snapshot(error) => error.hints(),
            Self::State(_) => vec!["set PYRO_STATE_DIR to a folder you own and can write to".to_owned()],
            Self::TemplateLost { .. } => vec!["try again: it is made anew".to_owned()],
            Self::Fork { .. } | Self::Disk { .. } => {
                vec!["check the free space of the state folder's disk".to_owned()]
            }
            _ => vec!["'pyro doctor' checks what a guest needs on this host".to_owned()],
        }
    }
}

fn fork_code(error: &ForkError) -> &'static str {
    match error {
        ForkError::State(_) => code::STATE_UNWRITABLE,
        ForkError::Snapshot(error) => error.code(),
        ForkError::Child(error) => error.code(),
    }
}
