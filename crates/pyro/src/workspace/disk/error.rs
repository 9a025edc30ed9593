//! Why a workspace's files cannot be read from its layers. This file must not read anything.

use crate::code;
use crate::code::Coded;
use pyro_image::disk::Ext4Error;
use pyro_image::disk::LayersError;
use pyro_image::disk::MergedError;

/// Why a workspace's files cannot be read from its layers.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The environment's disk cannot be read.
    #[error("opening the environment's disk")]
    Environment(#[source] Ext4Error),
    /// The environment's image cannot be opened.
    #[error("opening the environment's image")]
    Image(#[source] std::io::Error),
    /// The layers cannot be put together.
    #[error("opening the layers of the workspace's disk")]
    Layers(#[source] LayersError),
    /// The workspace's disk cannot be read.
    #[error("opening the workspace's disk")]
    Workspace(#[source] Ext4Error),
    /// Something on the disks cannot be read, or is not there.
    #[error(transparent)]
    Merged(#[from] MergedError),
    /// It took longer than a disk may be held.
    #[error("reading took longer than the disk of a running guest may be held")]
    HoldExpired,
    /// A path is a folder.
    #[error("'{path}' is a folder")]
    IsAFolder {
        /// The path, for people.
        path: String,
    },
    /// A path is neither a file nor a link.
    #[error("'{path}' is no regular file")]
    NotAFile {
        /// The path, for people.
        path: String,
    },
    /// There is more than was to be taken.
    #[error("there are more bytes than were to be taken")]
    TooLarge,
    /// A pattern is none.
    #[error("'{pattern}' is no pattern: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An image of the disk could not be made.
    #[error(transparent)]
    Build(#[from] pyro_image::disk::BuildError),
}

impl Coded for FilesError {
    fn code(&self) -> &'static str {
        match self {
            Self::Merged(MergedError::NotFound { .. }) => code::PATH_NOT_FOUND,
            Self::Merged(MergedError::NotAFolder { .. }) => code::NOT_A_DIRECTORY,
            Self::Merged(MergedError::Path { .. } | MergedError::Links { .. }) | Self::NotAFile { .. } => {
                code::PATH_UNSUITABLE
            }
            Self::IsAFolder { .. } => code::IS_A_DIRECTORY,
            Self::Pattern { .. } => code::PATTERN_INVALID,
            Self::TooLarge => code::QUOTA_EXCEEDED,
            Self::HoldExpired => code::DISK_HOLD_EXPIRED,
            Self::Build(pyro_image::disk::BuildError::Write { source })
                if source.kind() == std::io::ErrorKind::StorageFull =>
            {
                code::DISK_FULL
            }
            Self::Environment(_)
            | Self::Image(_)
            | Self::Layers(_)
            | Self::Workspace(_)
            | Self::Merged(_)
            | Self::Build(_) => code::DISK_UNREADABLE,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Merged(MergedError::NotFound { .. } | MergedError::NotAFolder { .. }) => {
                "'pyro workspace disk list' shows what there is"
            }
            Self::Merged(MergedError::Path { .. } | MergedError::Links { .. }) | Self::NotAFile { .. } => {
                "name another path"
            }
            Self::IsAFolder { .. } => "'pyro workspace disk list' shows what is in it",
            Self::Pattern { .. } => "patterns are as in 'src/**/*.rs' or '*.txt'",
            Self::TooLarge => "name a smaller folder",
            Self::HoldExpired => "stop the workspace, or take a snapshot and name that",
            Self::Environment(_) | Self::Image(_) => "'pyro env pull' installs the environment again",
            Self::Build(_) => "check the free space where the image goes",
            Self::Layers(_) | Self::Workspace(_) | Self::Merged(_) => {
                "a snapshot may be whole: 'pyro workspace reset' goes back to one"
            }
        };
        vec![hint.to_owned()]
    }
}
