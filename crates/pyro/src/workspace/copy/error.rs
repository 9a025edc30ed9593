//! Why a copy cannot be made, as far as it is known before anything is copied. This file must not look at files.

use crate::code;
use crate::code::Coded;
use std::io;
use std::path::Path;
use std::path::PathBuf;

/// Why a copy cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// An argument is empty.
    #[error("nothing is named")]
    Nothing,
    /// What stands before the colon cannot be a workspace.
    #[error("what stands before the colon of '{given}' is no name of a workspace")]
    Name {
        /// What was given.
        given: String,
    },
    /// Neither side is in a guest.
    #[error("neither the source nor the destination is in a workspace")]
    NoGuest,
    /// A path of the host cannot be looked at or read.
    #[error("reading {path}", path = .path.display())]
    Host {
        /// The path.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// There is nothing at the source.
    #[error("there is nothing at '{shown}'")]
    Missing {
        /// The source.
        shown: String,
    },
    /// There is no folder for what is copied.
    #[error("there is no folder '{shown}'")]
    NoFolder {
        /// The folder.
        shown: String,
    },
    /// A path ends with a slash, and is no folder.
    #[error("'{shown}' is no folder")]
    NotAFolder {
        /// The path.
        shown: String,
    },
    /// A folder would take the place of something that is none.
    #[error("a folder cannot take the place of '{shown}', which is none")]
    FolderOntoFile {
        /// What is there.
        shown: String,
    },
    /// A file would take the place of a folder.
    #[error("a file cannot take the place of the folder '{shown}'")]
    FileOntoFolder {
        /// The folder.
        shown: String,
    },
    /// What is neither file nor folder.
    #[error("'{shown}' is a socket, FIFO or device")]
    Special {
        /// What is there.
        shown: String,
    },
    /// A folder would be copied into itself.
    #[error("'{shown}' cannot be copied into itself")]
    IntoItself {
        /// The folder.
        shown: String,
    },
}

impl CopyError {
    pub(super) fn host(path: &Path, source: io::Error) -> Self {
        Self::Host { path: path.to_owned(), source }
    }
}

impl Coded for CopyError {
    fn code(&self) -> &'static str {
        match self {
            Self::Host { source, .. } if source.kind() == io::ErrorKind::NotFound => code::SOURCE_MISSING,
            Self::Host { .. } => code::SOURCE_UNREADABLE,
            Self::Nothing | Self::Name { .. } | Self::NoGuest => code::USAGE,
            Self::Missing { .. } | Self::NoFolder { .. } => code::PATH_NOT_FOUND,
            Self::NotAFolder { .. } => code::NOT_A_DIRECTORY,
            Self::FolderOntoFile { .. } => code::PATH_EXISTS,
            Self::FileOntoFolder { .. } => code::IS_A_DIRECTORY,
            Self::Special { .. } | Self::IntoItself { .. } => code::PATH_UNSUITABLE,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Nothing => "name a path of this host, NAME:PATH, or - for a tar archive",
            Self::Name { .. } => "name a workspace, or write a path of this host as ./a:b",
            Self::NoGuest => "name a path of a workspace as NAME:PATH; 'cp' copies on this host",
            Self::Host { .. } => "name a file or folder that you can read",
            Self::Missing { .. } => "check the path; relative ones of a workspace are below /workspace",
            Self::NoFolder { .. } => "make the folder first, or name another",
            Self::NotAFolder { .. } => "leave out the slash at its end, or name a folder",
            Self::FolderOntoFile { .. } | Self::FileOntoFolder { .. } => {
                "remove it first, or name another path"
            }
            Self::Special { .. } => "copy files and folders",
            Self::IntoItself { .. } => "name a folder outside of it",
        };
        vec![hint.to_owned()]
    }
}
