//! Tools: work on the guest's files that the agent itself does, in a fork of its own that no program of the guest can
//! replace. A tool is a job like a command: it has streams, a time-out and a request number, ends with
//! [`crate::message::ReplyBody::Exited`], and is killed with its request. Its output is always a stream of
//! [`crate::tree::Record`]s whose last is `Done` or `Failed`. This file must not do any of the work.

use crate::bytes::ByteString;
use crate::exec::Stdio;
use serde::Deserialize;
use serde::Serialize;

/// A tool to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// Which, and on what.
    pub tool: Tool,
    /// Its streams; a tool has no terminal and no standard error.
    pub stdio: Stdio,
    /// After this many milliseconds it is killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// What a tool does. Roots are absolute guest paths, resolved as the guest would; below them no link is followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum Tool {
    /// Lists a tree without content: an `Entry` for each thing, folders before what is in them, names in byte order.
    /// `Done` is a [`ScanDone`].
    Scan {
        /// Where; may be a file.
        root: ByteString,
        /// Globs of what to leave out, with everything below it: see [`crate::glob`].
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        exclude: Vec<ByteString>,
        /// How deep to go: 0 is the root alone, 1 what is in it; without it, all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        depth_max: Option<u32>,
        /// Entries after which to stop.
        entries_max: u64,
    },
    /// Reads `Path`s from its input until it ends, answers each with a `Digest`, or nothing if it is no regular file.
    Hash {
        /// What the paths are below.
        root: ByteString,
    },
    /// Reads a tree from its input (`Entry`, `Data`, `Hole`, `End`, `Delete`, `Expect`, `Prune`, then `Done` with an empty document: an input that
    /// ends without it changes nothing) and makes it so below the root, which is made if it is not there. Things of
    /// another kind in the way are replaced. Answers with `Done`, a [`ReceiveDone`], after everything is flushed.
    Receive {
        /// Where.
        root: ByteString,
        /// Collect everything beside the tree and put it in place by renames at the end, taking all back if one fails; otherwise
        /// write in place, for trees that nobody has seen yet.
        staged: bool,
        /// Answer, before `Done`, with the `Entry` of each regular file as it lies there in the end, so that nobody has to scan
        /// for it; of a file that gets another name, again. The answers come while the input is read.
        #[serde(default)]
        report: bool,
    },
    /// Writes a tree with content: as in a scan, and content after each regular file. Special files are named by a `Warning`.
    /// `Done` is a [`ScanDone`].
    Send {
        /// Where; may be a file.
        root: ByteString,
        /// Globs of what to leave out.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        exclude: Vec<ByteString>,
        /// Take the paths from the input (`Path`, until it ends) instead of walking; those that do not exist are left out.
        #[serde(default)]
        listed: bool,
        /// Bytes of content after which it fails.
        bytes_max: u64,
    },
    /// One file's content from `offset`: an `Entry`, then `Data`. Follows links, as the guest would. `Done` is a [`ReadDone`].
    Read {
        /// Absolute path.
        path: ByteString,
        /// First byte.
        offset: u64,
        /// Most bytes.
        length: u64,
    },
    /// Replaces one file's content by the `Data` of its input, which must end with `Done`: written aside, flushed, renamed. Mode
    /// and owner stay when it was there. Follows links. `Done` is a [`WriteDone`].
    Write {
        /// Absolute path.
        path: ByteString,
        /// Permission bits; 0644 for a new file when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mode: Option<u32>,
        /// Make missing folders.
        #[serde(default)]
        make_parents: bool,
        /// Fail if there is something already.
        #[serde(default)]
        create_new: bool,
    },
    /// Describes one thing: an `Entry` with an empty path. Does not follow a link at the end.
    Stat {
        /// Absolute path.
        path: ByteString,
    },
    /// Renames. Fails when there is something at `to`, unless `replace`.
    Move {
        /// Absolute path.
        from: ByteString,
        /// Absolute path.
        to: ByteString,
        /// Replace a file that is at `to`.
        #[serde(default)]
        replace: bool,
    },
    /// Removes a file or link, or, if `recursive`, a folder with all that is in it. Never the root or a mount point.
    Delete {
        /// Absolute path.
        path: ByteString,
        /// Folders too.
        #[serde(default)]
        recursive: bool,
    },
    /// Makes an empty folder, in one that is there.
    MakeDirectory {
        /// Absolute path.
        path: ByteString,
        /// Permission bits; 0755 when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mode: Option<u32>,
    },
    /// Removes an empty folder. Never the root or a mount point.
    RemoveDirectory {
        /// Absolute path.
        path: ByteString,
    },
    /// Makes a symbolic link.
    MakeLink {
        /// Absolute path of the link.
        path: ByteString,
        /// What it says.
        target: ByteString,
    },
    /// Changes attributes of what a path leads to, and leaves those that are absent. Follows links.
    Change {
        /// Absolute path.
        path: ByteString,
        /// Permission bits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mode: Option<u32>,
        /// Owner.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uid: Option<u32>,
        /// Group.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gid: Option<u32>,
        /// When its content was last changed, in seconds since the Unix epoch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mtime_s: Option<i64>,
    },
    /// Looks for a regular expression in regular files. `Done` is a [`SearchDone`].
    Search {
        /// Where; may be a file.
        root: ByteString,
        /// The expression; plain text if `fixed`.
        pattern: String,
        /// The pattern is plain text.
        #[serde(default)]
        fixed: bool,
        /// Letters match whatever their case.
        #[serde(default)]
        ignore_case: bool,
        /// Only files whose path one of these globs matches; all when empty.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        include: Vec<ByteString>,
        /// Globs of what to leave out.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        exclude: Vec<ByteString>,
        /// Matching lines after which to stop.
        matches_max: u32,
    },
    /// Flushes everything written so far to the guest's disk.
    Sync,
    /// Takes back what staged receives had put in place when they, or the guest, were killed; those under way are left alone.
    Recover,
}

impl Tool {
    /// Whether it may write to the guest's disk.
    pub const fn writes(&self) -> bool {
        match self {
            Self::Receive { .. }
            | Self::Write { .. }
            | Self::Move { .. }
            | Self::Delete { .. }
            | Self::MakeDirectory { .. }
            | Self::RemoveDirectory { .. }
            | Self::MakeLink { .. }
            | Self::Change { .. }
            | Self::Sync
            | Self::Recover => true,
            Self::Scan { .. }
            | Self::Hash { .. }
            | Self::Send { .. }
            | Self::Read { .. }
            | Self::Stat { .. }
            | Self::Search { .. } => false,
        }
    }
}

/// What a scan or send found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanDone {
    /// Entries written.
    pub entries: u64,
    /// Bytes of regular files among them.
    pub bytes: u64,
    /// It stopped at `entries_max`.
    #[serde(default)]
    pub truncated: bool,
}

/// What a receive did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiveDone {
    /// Entries put in place.
    pub entries: u64,
    /// Bytes of content written.
    pub bytes: u64,
    /// Things removed because they were asked to go, and folders that were in the way of something else.
    pub deleted: u64,
}

/// What a read found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadDone {
    /// Size of the whole file.
    pub size_bytes: u64,
    /// Bytes given.
    pub bytes: u64,
}

/// What a write did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteDone {
    /// Bytes written.
    pub bytes: u64,
    /// There was no such file before.
    pub created: bool,
}

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchDone {
    /// Matching lines, in order of path and line.
    pub matches: Vec<SearchMatch>,
    /// It stopped at `matches_max`.
    pub truncated: bool,
    /// Files looked at.
    pub files: u64,
}

/// One matching line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchMatch {
    /// Below the root.
    pub path: ByteString,
    /// From 1.
    pub line: u64,
    /// From 1, in bytes.
    pub column: u64,
    /// The line without its end, cut at 1 KiB.
    pub text: ByteString,
}
