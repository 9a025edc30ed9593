//! `pyro workspace shell`: one file per command. This one only calls them, and holds what they share.

mod attach;
mod change;
mod open;
mod read;
mod write;

pub(in crate::commands::workspace) use attach::join;

use crate::exit;
use crate::failure::Failure;
use crate::output;
use clap::Subcommand;
use pyro::terminal::TerminalSize;
use serde_json::Value;

/// Open, use and leave shells: programs on a terminal that go on without you.
///
/// A shell is `bash` (or `sh`) on a terminal in the guest. It belongs to the workspace, not to who opened it, and ends with its own
/// `exit`, with `close`, or with the guest: at a stop or a reset. What it printed stays readable until then, the last 64 MiB of it,
/// and of the last 32 shells that have ended. A shell keeps its workspace from being stopped for idleness while somebody reads,
/// writes or is attached, and while it prints.
#[derive(Debug, Subcommand)]
pub enum Shell {
    /// Open a shell.
    Open(open::Open),
    /// List the shells of a workspace, those that run and the last that have ended.
    List(change::List),
    /// Print what a shell has printed, at once or when something has come.
    Read(read::Read),
    /// Type into a shell, without waiting until it reads.
    Write(write::Write),
    /// Send a signal to the foreground job of a shell.
    Signal(change::Signal),
    /// Change the size of a shell's terminal.
    Resize(change::Resize),
    /// End a shell with everything it has started.
    Close(change::Close),
    /// Sit down at a shell's terminal.
    Attach(attach::Attach),
}

impl Shell {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        match self {
            Self::Open(command) => command.call(engine),
            Self::List(command) => command.call(engine),
            Self::Read(command) => command.call(engine),
            Self::Write(command) => command.call(engine),
            Self::Signal(command) => command.call(engine),
            Self::Resize(command) => command.call(engine),
            Self::Close(command) => command.call(engine),
            Self::Attach(command) => command.call(engine),
        }
    }
}

/// Which shell.
#[derive(Debug, clap::Args)]
struct Which {
    /// Workspace, by id or name.
    workspace: String,

    /// Shell, by its id.
    shell: String,
}

/// A terminal's size, as it is asked for.
fn size(cols: u64, rows: u64) -> Result<TerminalSize, Failure> {
    TerminalSize::new(cols, rows).map_err(|error| {
        Failure::plain("usage", error.to_string(), "name another number of --cols or --rows", exit::USAGE)
    })
}

/// A record with what a command adds to it, as JSON or as the contract's line for people.
fn show(json: bool, tag: &str, mut record: Value, added: &[(&str, Value)], fields: &[&str]) {
    for (name, value) in added {
        record[*name] = value.clone();
    }
    if json {
        output::json(&record);
    } else {
        let fields = fields.iter().map(|name| format!(" {name}={}", super::render::text(&record, name)));
        output::error_line(&format!("[workspace-shell-{tag}]{}", fields.collect::<String>()));
    }
}
