//! Why an archive cannot be taken in, and where in it that is. This file must not read archives.

use super::encode::Stop;
use super::member::Refusal;
use crate::code;
use crate::code::Coded;
use std::io;

/// Why an archive cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// Its first bytes cannot be read.
    #[error("reading the archive")]
    Read(#[source] io::Error),
    /// It is empty.
    #[error("the archive is empty")]
    Empty,
    /// It is compressed with something else.
    #[error("archives packed with {0} cannot be read")]
    Packing(&'static str),
    /// It is damaged, or no archive.
    #[error("the archive is damaged or no tar archive, {at}")]
    Damaged {
        /// The member before.
        at: At,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It ends too early.
    #[error("the archive is cut off, {at}")]
    Truncated {
        /// The last member.
        at: At,
    },
    /// A member would do harm.
    #[error("the archive's member '{member}' is refused: {refusal}")]
    Refused {
        /// Its path as the archive has it.
        member: String,
        /// Why.
        refusal: Refusal,
    },
    /// A member is of a kind that cannot be read.
    #[error("the archive's member '{member}' is {what}, which cannot be read")]
    Unsupported {
        /// Its path as the archive has it.
        member: String,
        /// What it is.
        what: &'static str,
    },
    /// There are too many members, with the folders on the way to them.
    #[error("the archive has more than {entries_max} members and folders")]
    TooMany {
        /// The limit.
        entries_max: u64,
    },
    /// There are too many bytes in it.
    #[error("the archive unpacks to more than {bytes_max} bytes, {at}")]
    TooLarge {
        /// The limit.
        bytes_max: u64,
        /// The last member.
        at: At,
    },
    /// It is far shorter than what comes out of it.
    #[error("the archive unpacks to more than {ratio_max} times its length, {at}")]
    Bomb {
        /// The limit.
        ratio_max: u64,
        /// The last member.
        at: At,
    },
    /// A member's headers are too long.
    #[error("the archive describes a member with more than {header_bytes_max} bytes, {at}")]
    Header {
        /// The limit.
        header_bytes_max: u64,
        /// The member before.
        at: At,
    },
    /// The receiver ended first: it knows why.
    #[error(transparent)]
    Stopped(#[from] Stop),
}

/// Where in an archive something went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// Before there was a member.
    Start,
    /// In a member's content.
    In(String),
    /// After a member, or in what describes the next.
    After(String),
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Start => f.write_str("at its beginning"),
            Self::In(member) => write!(f, "in '{member}'"),
            Self::After(member) => write!(f, "after '{member}'"),
        }
    }
}

impl Coded for TarError {
    fn code(&self) -> &'static str {
        match self {
            Self::Read(_) => code::SOURCE_UNREADABLE,
            Self::Empty
            | Self::Packing(_)
            | Self::Damaged { .. }
            | Self::Truncated { .. }
            | Self::Unsupported { .. } => code::ARCHIVE_INVALID,
            Self::Refused { .. } | Self::Bomb { .. } | Self::Header { .. } => code::ARCHIVE_REFUSED,
            Self::TooMany { .. } | Self::TooLarge { .. } => code::QUOTA_EXCEEDED,
            Self::Stopped(_) => code::CANCELLED,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Packing(_) => vec!["pack it as .tar, .tar.gz or .tar.zst".to_owned()],
            Self::Refused { .. } => {
                vec!["members must be relative paths that stay inside the archive".to_owned()]
            }
            Self::Unsupported { .. } => vec!["unpack it and use the folder".to_owned()],
            _ => Vec::new(),
        }
    }
}
