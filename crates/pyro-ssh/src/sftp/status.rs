//! Failures as SFTP tells them. This file must not decide what is one.

use pyro::Coded;
use pyro::code;
use pyro::code::chain;
use pyro::workspace::WorkspaceError;
use pyro::workspace::files::GuestPathError;
use russh_sftp::protocol::StatusCode;
use russh_sftp::server::StatusReply;
use std::io;

/// What a client is told.
#[derive(Debug)]
pub(super) struct Refusal {
    code: StatusCode,
    message: String,
}

impl Refusal {
    pub(super) fn new(code: StatusCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(super) fn failure(message: impl Into<String>) -> Self {
        Self::new(StatusCode::Failure, message)
    }

    /// There is no more.
    pub(super) fn end() -> Self {
        Self::new(StatusCode::Eof, "there is no more")
    }

    pub(super) fn no_handle() -> Self {
        Self::failure("there is no such handle")
    }

    pub(super) fn missing() -> Self {
        Self::new(StatusCode::NoSuchFile, "there is nothing at this path")
    }
}

impl From<WorkspaceError> for Refusal {
    fn from(error: WorkspaceError) -> Self {
        let status = match error.code() {
            code::PATH_NOT_FOUND | code::NOT_A_DIRECTORY => StatusCode::NoSuchFile,
            code::AGENT_TOO_OLD => StatusCode::OpUnsupported,
            _ => StatusCode::Failure,
        };
        Self::new(status, chain(&error))
    }
}

impl From<GuestPathError> for Refusal {
    fn from(error: GuestPathError) -> Self {
        Self::failure(error.to_string())
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::failure(error.to_string())
    }
}

impl From<Refusal> for StatusReply {
    fn from(refusal: Refusal) -> Self {
        Self {
            status_code: refusal.code,
            error_message: Some(refusal.message),
            language_tag: Some(String::new()),
        }
    }
}
