//! Why a file system cannot be read. It must not know how one is.

use std::io;

/// Why a file system, or something in it, cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Ext4Error {
    /// There is no superblock.
    #[error("it is no ext4 file system")]
    NotExt4,
    /// It has features that none of ours has.
    #[error("the file system has features that are not supported (incompat {bits:#x})")]
    Features {
        /// Those of `s_feature_incompat` that are unknown here.
        bits: u32,
    },
    /// A file is stored in a way that none of ours is.
    #[error("inode {inode} has {what}, which is not supported")]
    Unsupported {
        /// Which.
        inode: u32,
        /// What it has.
        what: &'static str,
    },
    /// The superblock contradicts itself or the size of the disk.
    #[error("the superblock is damaged: {what}")]
    Superblock {
        /// What is wrong.
        what: &'static str,
    },
    /// A file's or folder's description is no good.
    #[error("inode {inode} is damaged: {what}")]
    Corrupt {
        /// Which.
        inode: u32,
        /// What is wrong.
        what: &'static str,
    },
    /// The journal needs to be played back and cannot be.
    #[error("the journal cannot be played back: {what}")]
    Journal {
        /// What is wrong, or what is not supported.
        what: &'static str,
    },
    /// Something else was asked for than the inode is.
    #[error("inode {inode} is no {wanted}")]
    Kind {
        /// Which.
        inode: u32,
        /// What was asked for.
        wanted: &'static str,
    },
    /// The disk cannot be read.
    #[error("reading the disk at byte {offset}")]
    Read {
        /// Where.
        offset: u64,
        /// What the layer below said.
        source: io::Error,
    },
}
