//! A shell while its workspace is paused: what is written down of it, beside the memory that has its program. This file must
//! not ask the guest.
//!
//! ```text
//!   suspended/  sessions.json          among the rest, a record of each shell
//!               sh-….recent            the last that it printed
//!               sh-….spilled           what it printed before that, where there is any
//!               sh-….input             what was typed and not yet read
//! ```

use super::Shell;
use super::kept::Kept;
use super::kept::Place;
use super::record::Ended;
use super::record::Facts;
use crate::guest::Exec;
use crate::terminal::TerminalSize;
use pyro_proto::message::RequestId;
use serde::Deserialize;
use serde::Serialize;
use std::fs;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;

/// What is written down of a shell.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::workspace::supervisor) struct SavedShell {
    pub(super) facts: Facts,
    pub(super) size: TerminalSize,
    pub(super) ended: Option<Ended>,
    /// The guest's name for one that has not.
    pub(in crate::workspace::supervisor) job: Option<RequestId>,
    output: Place,
}

/// The same, with what is in its files.
#[derive(Debug)]
pub(in crate::workspace::supervisor) struct LoadedShell {
    pub(in crate::workspace::supervisor) saved: SavedShell,
    pub(super) kept: Kept,
    pub(super) input: Vec<u8>,
}

fn path(folder: &Path, facts: &Facts, what: &str) -> PathBuf {
    folder.join(format!("{}.{what}", facts.id))
}

impl Shell {
    /// Writes down what of it is not in the guest, of which nothing comes any more.
    pub(super) fn save(&self, folder: &Path) -> io::Result<SavedShell> {
        let file = |what| path(folder, &self.facts, what);
        let rest = self.input.close();
        if !rest.is_empty() {
            write(&file("input"), &rest)?;
        }
        let output = self.kept.save(&file("recent"), &file("spilled"))?;
        let ended = self.ended();
        let lives = ended.is_none() && *self.parted.borrow();
        let job = self.exec.as_ref().filter(|_| lives).map(Exec::job);
        Ok(SavedShell { facts: self.facts.clone(), size: self.size(), ended, job, output })
    }
}

impl SavedShell {
    /// Reads its files; what it prints more will be kept in `home`. An output that is not there any more counts as dropped.
    pub(in crate::workspace::supervisor) fn load(self, folder: &Path, home: &Path) -> LoadedShell {
        let file = |what| path(folder, &self.facts, what);
        let kept = Kept::load(home.to_owned(), self.output, &file("recent"), &file("spilled"));
        let input = fs::read(file("input")).unwrap_or_default();
        LoadedShell { kept, input, saved: self }
    }
}

/// Writes a file of its owner's.
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_data()
}
