//! `pyro workspace file stat|delete|move`.

use super::guest_path;
use super::line;
use super::text;
use super::with;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use std::ffi::OsString;

/// Describe one thing. A link is described itself.
#[derive(Debug, clap::Args)]
pub struct Stat {
    /// Id or name of the workspace.
    workspace: String,

    /// Anything.
    path: OsString,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Remove a file or a link, or a directory with everything in it. /workspace itself stays, and so does what is mounted.
#[derive(Debug, clap::Args)]
pub struct Delete {
    /// Id or name of the workspace.
    workspace: String,

    /// File, link or directory.
    path: OsString,

    /// A directory, too, with everything in it.
    #[arg(long)]
    recursive: bool,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Rename a file or a directory, within one file system.
#[derive(Debug, clap::Args)]
pub struct Move {
    /// Id or name of the workspace.
    workspace: String,

    /// What there is.
    from: OsString,

    /// Where it shall be: the new path itself, not a directory to put it in.
    to: OsString,

    /// Replace a file that is there.
    #[arg(long)]
    replace: bool,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Stat {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        let path = guest_path(&self.path)?;
        let document = with(engine, &self.workspace, async |workspace| workspace.stat_file(&path).await)?;
        if self.json {
            output::json(&document);
        } else {
            let [uid, gid, mtime] = ["uid", "gid", "mtime"].map(|name| text(&document, name));
            output::line(&format!("{} uid={uid} gid={gid} mtime={mtime}", line(&document)));
        }
        Ok(exit::OK)
    }
}

impl Delete {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        let path = guest_path(&self.path)?;
        let recursive = self.recursive;
        let document =
            with(engine, &self.workspace, async |workspace| workspace.delete_file(&path, recursive).await)?;
        if self.json {
            output::json(&document);
        } else {
            let [id, path] = ["workspace_id", "path"].map(|name| text(&document, name));
            output::line(&format!("[workspace-file-delete] workspace_id={id} path={path}"));
        }
        Ok(exit::OK)
    }
}

impl Move {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        let (from, to) = (guest_path(&self.from)?, guest_path(&self.to)?);
        let replace = self.replace;
        let document =
            with(engine, &self.workspace, async |workspace| workspace.move_file(&from, &to, replace).await)?;
        if self.json {
            output::json(&document);
        } else {
            let [id, from, to] = ["workspace_id", "path", "to"].map(|name| text(&document, name));
            output::line(&format!("[workspace-file-move] workspace_id={id} path={from} to={to}"));
        }
        Ok(exit::OK)
    }
}
