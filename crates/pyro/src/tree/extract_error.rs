//! Why a guest's tree cannot be made on the host. This file must not make anything.

use crate::code;
use crate::code::Coded;
use pyro_proto::tree::TreeError;
use std::io;
use std::path::PathBuf;

/// Why a tree was not made. Nothing of a new target is there then; an existing folder has what arrived before.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// There is something at the target.
    #[error("{path} exists already", path = .path.display())]
    Exists {
        /// The target.
        path: PathBuf,
    },
    /// The target, or the folder that it is to be in, cannot be used.
    #[error("opening {path}", path = .path.display())]
    Target {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something in it cannot be made.
    #[error("making {path}", path = .path.display())]
    Make {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("writing {path}", path = .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something cannot be removed.
    #[error("removing {path}", path = .path.display())]
    Remove {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The finished tree cannot be put in place.
    #[error("putting {path} in place", path = .path.display())]
    Finish {
        /// The target.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file would take the place of a folder that is not empty.
    #[error("{path} is a folder with something in it, and a file in the guest", path = .path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// A link leads out of the tree.
    #[error("the link '{path}' leads out of the tree, to '{target}'")]
    LinkEscapes {
        /// The link.
        path: String,
        /// What it says.
        target: String,
    },
    /// There are too many bytes in it.
    #[error("the tree holds more than {bytes_max} bytes")]
    TooLarge {
        /// The limit.
        bytes_max: u64,
    },
    /// There are too many entries in it.
    #[error("the tree holds more than {entries_max} files and folders")]
    TooMany {
        /// The limit.
        entries_max: u64,
    },
    /// An existing folder can only take folders.
    #[error("{path} is a folder, and what comes out of the guest is none", path = .path.display())]
    NotAFolder {
        /// The target.
        path: PathBuf,
    },
    /// What arrives is no tree.
    #[error("the guest sent no proper tree: {0}")]
    Stream(#[from] TreeError),
    /// A record came where it cannot be.
    #[error("the guest sent no proper tree: {0} out of place")]
    Order(&'static str),
    /// It ended early.
    #[error("the guest's tree is cut off")]
    Cut,
    /// The guest says why it could not send it.
    #[error("the guest could not send the tree: {0}")]
    Guest(String),
}

impl Coded for ExtractError {
    fn code(&self) -> &'static str {
        match self {
            Self::Exists { .. } => code::OUTPUT_EXISTS,
            Self::Target { source, .. }
            | Self::Make { source, .. }
            | Self::Write { source, .. }
            | Self::Remove { source, .. }
            | Self::Finish { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => code::DISK_FULL,
                _ => code::OUTPUT_FAILED,
            },
            Self::Occupied { .. } | Self::NotAFolder { .. } => code::OUTPUT_EXISTS,
            Self::LinkEscapes { .. } => code::LINK_ESCAPES,
            Self::TooLarge { .. } | Self::TooMany { .. } => code::QUOTA_EXCEEDED,
            Self::Stream(_) | Self::Order(_) | Self::Cut => code::GUEST_PROTOCOL,
            Self::Guest(_) => code::GUEST_REFUSED,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Exists { .. } => "name an output that does not exist yet",
            Self::Occupied { .. } => "remove it, or mirror with --delete",
            Self::LinkEscapes { .. } => {
                "leave such links out, keep them as they are, or export as a tar archive"
            }
            _ => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
}
