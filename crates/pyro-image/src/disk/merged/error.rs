//! Why a workspace's files cannot be read. It must not know how they are.

use super::Disk;
use crate::disk::ext4::Ext4Error;

/// Why a workspace's files cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum MergedError {
    /// One of the disks cannot be read.
    #[error("reading the {disk}")]
    Disk {
        /// Which.
        disk: Disk,
        /// What is wrong.
        source: Ext4Error,
    },
    /// There is nothing.
    #[error("there is no '{path}'")]
    NotFound {
        /// Where, for people.
        path: String,
    },
    /// Something in the middle of the path is no folder.
    #[error("'{path}' leads through something that is no folder")]
    NotAFolder {
        /// The path, for people.
        path: String,
    },
    /// The path leads through too many links.
    #[error("'{path}' leads through too many symbolic links")]
    Links {
        /// The path, for people.
        path: String,
    },
    /// The path is none of a guest's.
    #[error("'{path}' is no absolute path of at most 4095 bytes")]
    Path {
        /// The beginning of it, for people.
        path: String,
    },
    /// A path below a folder is longer than a path may be.
    #[error("something in '{folder}' has too long a path")]
    TooLong {
        /// The folder, for people.
        folder: String,
    },
    /// The overlay was used in a way that ours is not.
    #[error("'{name}' has the attribute {attribute}, which is not supported")]
    Overlay {
        /// The name of what has it.
        name: String,
        /// The attribute.
        attribute: &'static str,
    },
    /// The same folder is in two places, which no file system allows.
    #[error("the {disk} is damaged: folder {inode} is in two places")]
    Twice {
        /// On which.
        disk: Disk,
        /// Its number.
        inode: u32,
    },
    /// So much changed that it is not kept in memory.
    #[error("more changed than can be listed: {bytes_max} bytes of paths and links")]
    TooManyChanges {
        /// The bound.
        bytes_max: usize,
    },
    /// The folders on the way to some place have more names than are kept in memory.
    #[error("folders have more names than can be walked: {bytes_max} bytes of them at once")]
    TooManyNames {
        /// The bound.
        bytes_max: usize,
    },
    /// Finding what a path leads to means reading too much.
    #[error("'{path}' leads through folders with more than {bytes_max} bytes together")]
    Laborious {
        /// The path, for people.
        path: String,
        /// The bound.
        bytes_max: u64,
    },
    /// Files or folders have more content than fits on their disk, or more holes, which only a forged one has.
    #[error("the {disk} is damaged: its files have more content than it has room for")]
    TooMuch {
        /// On which.
        disk: Disk,
    },
}

impl std::fmt::Display for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Base => "environment's disk",
            Self::Rw => "workspace's disk",
        })
    }
}

/// A path or name, for people.
pub(super) fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(&path[..path.len().min(256)]).into_owned()
}
