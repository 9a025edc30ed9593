//! Why there is no SSH server. This file must not tell a client anything.

use pyro::Coded;
use pyro::code;
use std::io;
use std::path::PathBuf;

/// Why there is no SSH server.
#[derive(Debug, thiserror::Error)]
pub enum SshError {
    /// A key file could not be made, read or written.
    #[error("{operation} {path}", path = .path.display())]
    File {
        /// What was being done.
        operation: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A key file holds no key.
    #[error("{path} holds no SSH key: {reason}", path = .path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The client broke the protocol, or is gone.
    #[error("the SSH connection failed: {reason}")]
    Connection {
        /// Why.
        reason: String,
    },
}

impl Coded for SshError {
    fn code(&self) -> &'static str {
        match self {
            Self::File { .. } => code::STATE_IO,
            Self::Key { .. } => code::DOCUMENT_INVALID,
            Self::Connection { .. } => code::CONNECTION_RESET,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::File { .. } => "check the free space and the owner of the state folder",
            Self::Key { .. } => "remove the file, and have 'pyro workspace ssh-config' make a new one",
            Self::Connection { .. } => {
                "this is for ssh's ProxyCommand; 'pyro workspace ssh-config' prints an entry"
            }
        };
        vec![hint.to_owned()]
    }
}
