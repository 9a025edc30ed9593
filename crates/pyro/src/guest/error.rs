//! What can go wrong between a host and its guest's agent.

use pyro_proto::message::ErrorCode;
use pyro_proto::message::MessageError;
use pyro_proto::message::WireError;
use std::sync::Arc;

/// What can go wrong between a host and its guest's agent.
#[derive(Clone, Debug, thiserror::Error)]
pub enum GuestError {
    /// The channel ended: the guest or its engine is gone.
    #[error("the guest channel closed")]
    Closed,
    /// Reading or writing the channel failed.
    #[error("reading or writing the guest channel")]
    Channel(#[source] Arc<std::io::Error>),
    /// The guest broke the protocol; the channel was closed.
    #[error("the guest broke the protocol: {reason}")]
    Protocol {
        /// What it did.
        reason: String,
    },
    /// A message did not fit or could not be encoded.
    #[error("encoding a message to the guest")]
    Encode(#[source] Arc<MessageError>),
    /// The other end of a connection gave up.
    #[error("the connection was reset in the guest: {reason}")]
    Reset {
        /// The guest's reason.
        reason: String,
    },
    /// The agent refused a request.
    #[error("{}", .0.message)]
    Refused(WireError),
}

impl GuestError {
    /// The stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Closed | Self::Channel(_) => "guest_channel_closed",
            Self::Protocol { .. } => "guest_protocol",
            Self::Reset { .. } => "connection_reset",
            Self::Encode(_) => "command_too_large",
            Self::Refused(error) => match error.code {
                ErrorCode::NotFound => "command_not_found",
                ErrorCode::NotExecutable => "command_not_executable",
                ErrorCode::BadCwd => "bad_cwd",
                ErrorCode::BadUser => "bad_user",
                ErrorCode::LimitReached => "guest_limit_reached",
                ErrorCode::NoSuchJob => "no_such_job",
                ErrorCode::ConnectionRefused => "connection_refused",
                ErrorCode::BadRequest
                | ErrorCode::NotAttached
                | ErrorCode::Quiesced
                | ErrorCode::System
                | ErrorCode::AlreadyExists
                | ErrorCode::NotADirectory
                | ErrorCode::IsADirectory
                | ErrorCode::NotEmpty
                | ErrorCode::NoSpace
                | ErrorCode::Truncated
                | ErrorCode::TooLarge
                | ErrorCode::Busy
                | ErrorCode::NotHeld
                | ErrorCode::Changed
                | ErrorCode::Unsupported => "guest_refused",
            },
        }
    }
}
