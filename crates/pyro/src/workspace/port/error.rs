//! Why a port cannot be published or reached. This file must not decide it.

use crate::code;
use crate::code::Coded;
use crate::guest::GuestError;
use pyro_proto::message::ErrorCode;
use std::io;
use std::net::SocketAddr;

/// Why a port cannot be published or reached.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Somebody listens there.
    #[error("the port {port} of the host is in use at {host}", port = .address.port(), host = .address.ip())]
    InUse {
        /// Where.
        address: SocketAddr,
    },
    /// The host does not allow it.
    #[error("listening on {address} is not permitted")]
    NotPermitted {
        /// Where.
        address: SocketAddr,
        /// The host's words.
        #[source]
        source: io::Error,
    },
    /// The address is none of the host's.
    #[error("{address} is no address of this host", address = .address.ip())]
    NoAddress {
        /// Where.
        address: SocketAddr,
    },
    /// The host refused for another reason.
    #[error("listening on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// There is no such published port.
    #[error("the workspace {workspace} does not publish a port {host_port} of the host")]
    Unknown {
        /// The workspace.
        workspace: String,
        /// The host's port.
        host_port: u16,
    },
    /// As many are published as may be.
    #[error("a workspace may publish {most} ports")]
    TooMany {
        /// How many it may.
        most: usize,
    },
    /// The guest was saved by an older pyro.
    #[error("the agent in the guest of the workspace {workspace} is too old to open connections")]
    OldAgent {
        /// The workspace.
        workspace: String,
    },
    /// The guest took too long.
    #[error("nothing in the guest answers at {name}")]
    NoAnswer {
        /// What was to answer.
        name: String,
    },
    /// The guest refused, or is gone.
    #[error(transparent)]
    Guest(GuestError),
}

impl PortError {
    /// Why listening failed.
    pub(in crate::workspace) fn listening(address: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { address },
            io::ErrorKind::AddrNotAvailable => Self::NoAddress { address },
            io::ErrorKind::PermissionDenied => Self::NotPermitted { address, source },
            _ => Self::Listen { address, source },
        }
    }

    /// Why the guest opened no connection.
    pub(in crate::workspace) fn guest(workspace: String, error: GuestError) -> Self {
        match error {
            GuestError::Refused(error) if error.code == ErrorCode::Unsupported => {
                Self::OldAgent { workspace }
            }
            other => Self::Guest(other),
        }
    }
}

impl Coded for PortError {
    fn code(&self) -> &'static str {
        match self {
            Self::InUse { .. } => code::PORT_IN_USE,
            Self::NotPermitted { .. } => code::PORT_NOT_PERMITTED,
            Self::NoAddress { .. } => code::ADDRESS_UNAVAILABLE,
            Self::Listen { .. } => code::HOST_FAILED,
            Self::Unknown { .. } => code::PORT_UNKNOWN,
            Self::TooMany { .. } => code::LIMIT_EXCEEDED,
            Self::OldAgent { .. } => code::AGENT_TOO_OLD,
            Self::NoAnswer { .. } => code::CONNECTION_REFUSED,
            Self::Guest(error) => error.code(),
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::InUse { .. } => "name another port of the host, or none to have a free one chosen",
            Self::NotPermitted { .. } | Self::Listen { .. } => "name another port of the host",
            Self::NoAddress { .. } => "leave out --bind to be reached from this host alone",
            Self::Unknown { .. } => "'pyro workspace port list' shows what there is",
            Self::TooMany { .. } => "remove one with 'pyro workspace port remove'",
            Self::OldAgent { .. } => "'pyro workspace stop' and 'start' give it the agent of this pyro",
            Self::NoAnswer { .. } => "look whether the server in the guest is well",
            Self::Guest(GuestError::Refused(error)) if error.code == ErrorCode::ConnectionRefused => {
                "start the server in the guest first, and have it listen on 127.0.0.1 or all addresses"
            }
            Self::Guest(_) => "'pyro workspace status' says how the guest is doing",
        };
        vec![hint.to_owned()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pyro_proto::message::WireError;

    #[test]
    fn an_agent_out_of_an_old_snapshot_is_named_as_that() {
        let refusal = |code| GuestError::Refused(WireError { code, message: "no".into(), errno: None });
        let old = PortError::guest("w".into(), refusal(ErrorCode::Unsupported));
        assert_eq!(old.code(), code::AGENT_TOO_OLD);
        assert!(old.to_string().contains("too old") && old.hints()[0].contains("stop"));
        let refused = PortError::guest("w".into(), refusal(ErrorCode::ConnectionRefused));
        assert_eq!(refused.code(), code::CONNECTION_REFUSED);
    }
}
