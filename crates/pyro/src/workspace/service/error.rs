//! Why something cannot be done with a service. How a service ended is no error but its record.

use crate::code;
use crate::code::Coded;

/// Why something cannot be done with a service.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// There never was one of this name.
    #[error("the workspace {workspace} has no service '{name}'")]
    Unknown {
        /// The workspace.
        workspace: String,
        /// The name.
        name: String,
    },
    /// One of this name runs.
    #[error("the service '{name}' of the workspace {workspace} runs already")]
    Running {
        /// The workspace.
        workspace: String,
        /// The name.
        name: String,
    },
    /// As many run as may.
    #[error("a workspace may have {most} services")]
    TooMany {
        /// How many it may have.
        most: usize,
    },
}

impl Coded for ServiceError {
    fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => code::SERVICE_UNKNOWN,
            Self::Running { .. } => code::SERVICE_RUNNING,
            Self::TooMany { .. } => code::LIMIT_EXCEEDED,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Unknown { .. } => "'pyro workspace service list' shows what there is",
            Self::Running { .. } => "'pyro workspace service restart' starts it again, 'stop' stops it",
            Self::TooMany { .. } => "stop some with 'pyro workspace service stop'",
        };
        vec![hint.to_owned()]
    }
}
