//! Where builds run: a process, mount and, for an ordinary user, user namespace of their own. This file must not know what
//! is built.
//!
//! Killing the one process we start kills everything inside, whatever it forked, and every mount goes with it: a build that
//! ends in any way leaves files only. The files of an ordinary user's build belong to that user's subordinate ids, so that
//! removing them takes such a namespace too.

use crate::cancel::Cancel;
use crate::child::Ended;
use crate::child::Task;
use crate::config::Config;
use crate::error::At;
use crate::error::ImageError;
use crate::program;
use crate::program::Program;
use std::io;
use std::path::Path;
use std::process::Command;

/// Whether this process may do without a user namespace.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Who is root in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ids {
    /// This user, root included: for what we trust as much as our own code.
    Own,
    /// For root, the first of its subordinate ids, and no network; for others as above: for what we do not trust.
    Subordinate,
}

/// `program` inside namespaces of its own; arguments are to be added.
pub(crate) fn command(config: &Config, program: Program) -> Result<Command, ImageError> {
    with_ids(config, program, Ids::Own)
}

/// The same, as one of `ids`.
pub(crate) fn with_ids(config: &Config, program: Program, ids: Ids) -> Result<Command, ImageError> {
    let inside = program.find(config)?;
    let mut command = program::UNSHARE.command(config)?;
    if !is_root() || ids == Ids::Subordinate {
        program::NEWUIDMAP.find(config)?;
        program::NEWGIDMAP.find(config)?;
        command.arg("--map-auto");
    }
    if !is_root() {
        command.arg("--map-root-user");
    } else if ids == Ids::Subordinate {
        command.args(["--setuid", "0", "--setgid", "0"]);
    }
    if ids == Ids::Subordinate {
        command.args(["--net", "--ipc"]);
    }
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]);
    command.arg(inside);
    Ok(command)
}

/// The error for a task that ended badly: that of the namespace, where that is what failed.
pub(crate) fn failure(operation: &'static str, ended: &Ended) -> ImageError {
    let tail = ended.tail();
    let refused = ended
        .stderr
        .lines()
        .any(|line| ["unshare: ", "newuidmap: ", "newgidmap: "].iter().any(|by| line.starts_with(by)));
    if refused {
        return ImageError::NamespaceUnavailable { reason: tail };
    }
    ImageError::Step { operation, status: ended.status.to_string(), tail }
}

/// Removes a tree of the store, whoever its files belong to. A tree that is not there is removed already.
pub(crate) fn remove_tree(config: &Config, path: &Path) -> Result<(), ImageError> {
    match std::fs::remove_dir_all(path) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !is_root() => {}
        Err(error) => return Err(error).at("removing", path),
    }
    let mut command = command(config, program::RM)?;
    command.args(["-rf", "--one-file-system", "--"]).arg(path);
    let cancel = Cancel::new().at("opening an event for", path)?;
    let operation = "removing a build's files";
    let ended = Task::new(operation, command, &cancel).end(&mut |_| {})?;
    if ended.status.success() { Ok(()) } else { Err(failure(operation, &ended)) }
}
