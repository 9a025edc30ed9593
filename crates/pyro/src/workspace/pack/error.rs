//! Why a workspace cannot be packed or unpacked. This file must not read a pack.

use crate::code;
use crate::code::Coded;
use std::io;

/// Why a workspace cannot be packed or unpacked.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The file is no pack.
    #[error("the file is no packed workspace")]
    NotAPack,
    /// The pack was made by a newer pyro.
    #[error("the pack was made by a newer pyro (schema {schema})")]
    Newer {
        /// Its schema.
        schema: u32,
    },
    /// The pack ends early, or its bytes are not those that were written.
    #[error("the pack is damaged: {what}")]
    Damaged {
        /// Where and how.
        what: String,
    },
    /// The pack says something that no workspace can be like.
    #[error("the pack cannot be used: {what}")]
    Invalid {
        /// What it says.
        what: String,
    },
    /// Unpacked it would take more than allowed.
    #[error("the pack holds more than the {bytes_max} bytes allowed")]
    TooLarge {
        /// The bound.
        bytes_max: u64,
    },
    /// The environment is not installed, or is another one.
    #[error("the pack needs the environment {environment} with the image {digest}, which is not installed")]
    Environment {
        /// Its name.
        environment: String,
        /// Its digest.
        digest: String,
    },
    /// It holds memory, which this host's engine cannot bring back.
    #[error("the pack holds memory that another engine or processor saved")]
    Engine,
    /// There is no memory to pack.
    #[error("the workspace is stopped without its memory, so there is none to pack")]
    NoMemory,
    /// A file could not be read or written.
    #[error("{operation}")]
    File {
        /// What was being done.
        operation: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl PackError {
    pub(super) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged { what: what.into() }
    }

    pub(super) fn invalid(what: impl Into<String>) -> Self {
        Self::Invalid { what: what.into() }
    }

    pub(super) fn file(operation: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let operation = operation.into();
        move |source| Self::File { operation, source }
    }
}

impl Coded for PackError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotAPack | Self::Newer { .. } | Self::Damaged { .. } | Self::Invalid { .. } => {
                code::PACK_INVALID
            }
            Self::TooLarge { .. } => code::QUOTA_EXCEEDED,
            Self::Environment { .. } => code::WORKSPACE_ENVIRONMENT_GONE,
            Self::Engine => code::ENGINE_DIFFERS,
            Self::NoMemory => code::WORKSPACE_NOT_RUNNING,
            Self::File { source, .. } if source.kind() == io::ErrorKind::StorageFull => code::DISK_FULL,
            Self::File { .. } => code::STATE_IO,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::NotAPack => "'pyro workspace pack' makes packs",
            Self::Newer { .. } => "use the pyro that made it, or a newer one",
            Self::Damaged { .. } | Self::Invalid { .. } => "copy the pack again from where it came from",
            Self::TooLarge { .. } => "raise --max-bytes if you trust the pack",
            Self::Environment { .. } => {
                "install the same environment with 'pyro env pull', or where the pack was made use one that can be installed here"
            }
            Self::Engine => "unpack where it was packed, or pack it without --memory",
            Self::NoMemory => "leave out --memory",
            Self::File { .. } => "check the free space",
        };
        vec![hint.to_owned()]
    }
}
