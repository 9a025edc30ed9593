//! `pyro workspace shell write`.

use super::super::done;
use super::super::find;
use super::Which;
use super::show;
use crate::exit;
use crate::failure::Failure;
use serde_json::json;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::io::IsTerminal as _;
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

/// Most bytes that are read, one more than may be written: the library says what is wrong with more.
const READ_BYTES_MAX: u64 = (1 << 20) + 1;

/// Type into a shell: a text, a file, or standard input.
///
/// It is taken whole or not at all, and nobody waits until the shell's program has read it. At most 1 MiB waits for a program that
/// does not read; then it fails with shell_input_full.
#[derive(Debug, clap::Args)]
pub struct Write {
    #[command(flatten)]
    which: Which,

    /// What to type; a newline follows.
    #[arg(long, value_name = "TEXT", conflicts_with = "input_file")]
    input: Option<OsString>,

    /// With --input: no newline follows.
    #[arg(long, requires = "input")]
    no_newline: bool,

    /// A file with what to type, byte for byte.
    #[arg(long, value_name = "FILE")]
    input_file: Option<PathBuf>,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Write {
    pub(super) fn call(self, engine: &str) -> Result<i32, Failure> {
        let appends = self.input.is_some() && !self.no_newline;
        let mut input = match (self.input, &self.input_file) {
            (Some(text), _) => text.into_vec(),
            (None, Some(path)) => bounded(File::open(path), &format!("{}", path.display()))?,
            (None, None) if io::stdin().is_terminal() => {
                return Err(Failure::plain(
                    "usage",
                    "there is nothing to type",
                    "name --input TEXT or --input-file FILE, or attach to the shell",
                    exit::USAGE,
                ));
            }
            (None, None) => bounded(Ok(io::stdin()), "standard input")?,
        };
        let length = input.len();
        if appends {
            input.push(b'\n');
        }
        let workspace = find(engine, &self.which.workspace, exit::FAILED)?;
        let record = done(workspace.write_shell(&self.which.shell, &input))?;
        let added = [("input_length", json!(length)), ("append_newline", json!(appends))];
        show(self.json, "write", record, &added, &["shell_id", "state", "input_length", "append_newline"]);
        Ok(exit::OK)
    }
}

fn bounded(from: io::Result<impl io::Read>, name: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = from.and_then(|from| from.take(READ_BYTES_MAX).read_to_end(&mut bytes));
    read.map_err(|error| {
        Failure::plain(
            pyro::code::SOURCE_UNREADABLE,
            format!("reading {name}: {error}"),
            "name a file that you can read",
            exit::FAILED,
        )
    })?;
    Ok(bytes)
}
