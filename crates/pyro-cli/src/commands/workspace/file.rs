//! `pyro workspace file`: one file per command. This one only calls them, and holds what they share.

mod change;
mod list;
mod read;
mod search;
mod write;

pub(super) use write::unreadable;

use super::failed;
pub(super) use super::render::text;
use crate::exit;
use crate::failure::Failure;
use clap::Subcommand;
use pyro::workspace::Workspace as Handle;
use pyro::workspace::WorkspaceError;
use pyro::workspace::files::GuestPath;
use serde_json::Value;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::ffi::OsStringExt as _;

/// List, read, write, search, move and remove files of a running workspace.
///
/// A path that does not begin with '/' is below /workspace. Names need not be UTF-8; those that are not are shown with
/// replacement signs, and in JSON as they are in base64 beside that.
#[derive(Debug, Subcommand)]
pub enum File {
    /// List what is in a directory.
    List(list::List),
    /// Print a file, or a part of it.
    Read(read::Read),
    /// Write a file as a whole: whoever reads it sees the old content or the new.
    Write(write::Write),
    /// Describe one thing: kind, size, mode, owner, time.
    Stat(change::Stat),
    /// Search files for a pattern.
    Search(search::Search),
    /// Remove a file or a link, or a directory with everything in it.
    Delete(change::Delete),
    /// Rename a file or a directory.
    Move(change::Move),
}

impl File {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        match self {
            Self::List(command) => command.call(engine),
            Self::Read(command) => command.call(engine),
            Self::Write(command) => command.call(engine),
            Self::Stat(command) => command.call(engine),
            Self::Search(command) => command.call(engine),
            Self::Delete(command) => command.call(engine),
            Self::Move(command) => command.call(engine),
        }
    }
}

/// Finds a workspace and does something with it.
pub(super) fn with<T>(
    engine: &str,
    workspace: &str,
    work: impl AsyncFnOnce(&Handle) -> Result<T, WorkspaceError>,
) -> Result<T, Failure> {
    let workspace = super::find(engine, workspace, exit::FAILED)?;
    super::block_on(work(&workspace))?.map_err(|error| failed(&error))
}

/// A path of the guest.
pub(super) fn guest_path(given: &OsString) -> Result<GuestPath, Failure> {
    GuestPath::new(given.as_bytes()).map_err(|error| failed(&error))
}

/// Globs as the library takes them.
fn globs(given: Vec<OsString>) -> Vec<Vec<u8>> {
    given.into_iter().map(OsString::into_vec).collect()
}

/// An entry as people read it: `PATH [type] size=N -> target`.
fn line(entry: &Value) -> String {
    let target = entry["link_target"].as_str().map(|target| format!(" -> {target}")).unwrap_or_default();
    let [path, kind, size, mode] =
        ["path", "artifact_type", "size_bytes", "mode"].map(|name| text(entry, name));
    format!("{path} [{kind}] size={size} mode={mode}{target}")
}
