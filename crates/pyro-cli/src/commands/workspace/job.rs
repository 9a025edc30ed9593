//! `pyro workspace job`: coming back to commands, by number and offset.

use super::block_on;
use super::done;
use super::exec;
use super::find;
use super::render::text;
use crate::commands::run;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use crate::signals;
use clap::Subcommand;
use pyro::run::RunIo;
use pyro::workspace::Offsets;
use pyro::workspace::Workspace;
use pyro::workspace::history::Ended;
use serde_json::Value;
use serde_json::json;
use std::io::IsTerminal as _;

/// Come back to commands that run in a workspace, or have run.
#[derive(Debug, Subcommand)]
pub enum Job {
    /// List the commands of a workspace, what runs and what has run.
    List(List),
    /// Print what a command has printed.
    Logs(Logs),
    /// Follow a command to its end, with its input if nobody else has it; an interrupt leaves it running.
    Attach(Attach),
    /// Send a signal to a command that runs.
    Signal(Signal),
    /// Wait for a command's end and end with its exit code.
    Wait(Wait),
}

/// List the commands of a workspace, what runs and what has run.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Workspace, by id or name.
    workspace: String,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// From where on output is wanted.
#[derive(Clone, Copy, Debug, clap::Args)]
struct From {
    /// First byte of standard output that is wanted.
    #[arg(long, value_name = "BYTE", default_value = "0")]
    stdout_offset: u64,

    /// First byte of standard error that is wanted.
    #[arg(long, value_name = "BYTE", default_value = "0")]
    stderr_offset: u64,
}

/// Print what a command has printed, standard output and standard error each where it belongs.
#[derive(Debug, clap::Args)]
pub struct Logs {
    /// Workspace, by id or name.
    workspace: String,

    /// Number of the job.
    job: u64,

    #[command(flatten)]
    from: From,

    /// Go on until the command ends.
    #[arg(long, short = 'f')]
    follow: bool,
}

/// Follow a command to its end and end with its exit code. An interrupt leaves it running.
///
/// Standard input, unless it is a terminal, goes to the command if that was started with --detach --stdin and nobody is
/// attached yet.
#[derive(Debug, clap::Args)]
pub struct Attach {
    /// Workspace, by id or name.
    workspace: String,

    /// Number of the job.
    job: u64,

    #[command(flatten)]
    from: From,
}

/// Send a signal to a command that runs.
#[derive(Debug, clap::Args)]
pub struct Signal {
    /// Workspace, by id or name.
    workspace: String,

    /// Number of the job.
    job: u64,

    /// Signal, by name or number.
    #[arg(long, short = 's', value_name = "SIGNAL", default_value = "TERM", value_parser = signal_number)]
    signal: i32,

    /// To every process that the command has started.
    #[arg(long)]
    tree: bool,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Wait for a command's end and end with its exit code.
#[derive(Debug, clap::Args)]
pub struct Wait {
    /// Workspace, by id or name.
    workspace: String,

    /// Number of the job.
    job: u64,

    /// Print one JSON object, how it ended.
    #[arg(long)]
    json: bool,
}

impl Job {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        match self {
            Self::List(command) => command.call(engine),
            Self::Logs(command) => command.call(engine),
            Self::Attach(command) => command.call(engine),
            Self::Signal(command) => command.call(engine),
            Self::Wait(command) => command.call(engine),
        }
    }
}

impl List {
    fn call(self, engine: &str) -> Result<i32, Failure> {
        let workspace = find(engine, &self.workspace, exit::FAILED)?;
        let jobs = done(workspace.jobs())?;
        if self.json {
            output::json(&json!({ "workspace_id": workspace.id(), "count": jobs.len(), "jobs": jobs }));
            return Ok(exit::OK);
        }
        if jobs.is_empty() {
            output::line("No jobs.");
        }
        for job in &jobs {
            let text = |name| text(job, name);
            output::line(&format!(
                "[job] job_id={} state={} exit_code={} detached={} cwd={} $ {}",
                text("job_id"),
                text("state"),
                text("exit_code"),
                text("detached"),
                text("cwd"),
                text("command")
            ));
        }
        Ok(exit::OK)
    }
}

impl Logs {
    fn call(self, engine: &str) -> Result<i32, Failure> {
        let workspace = find(engine, &self.workspace, exit::FAILED)?;
        follow(&workspace, self.job, self.from, self.follow, false, run::stdio())?;
        Ok(exit::OK)
    }
}

impl Attach {
    fn call(self, engine: &str) -> Result<i32, Failure> {
        let workspace = find(engine, &self.workspace, exit::FAILED)?;
        let stdin = !std::io::stdin().is_terminal();
        let ended = follow(&workspace, self.job, self.from, true, stdin, run::stdio())?;
        ending(&workspace, self.job, ended.as_ref())
    }
}

impl Signal {
    fn call(self, engine: &str) -> Result<i32, Failure> {
        let workspace = find(engine, &self.workspace, exit::FAILED)?;
        done(workspace.signal(self.job, self.signal, self.tree))?;
        if self.json {
            output::json(
                &json!({ "workspace_id": workspace.id(), "job_id": self.job, "signal": self.signal }),
            );
        } else {
            output::line(&format!("[job-signal] job_id={} signal={}", self.job, self.signal));
        }
        Ok(exit::OK)
    }
}

impl Wait {
    fn call(self, engine: &str) -> Result<i32, Failure> {
        let workspace = find(engine, &self.workspace, exit::FAILED)?;
        let io = RunIo {
            stdout: Box::new(tokio::io::sink()),
            stderr: Box::new(tokio::io::sink()),
            ..run::stdio()
        };
        // Beyond all there will ever be: nothing is sent that nobody wants.
        let nothing = From { stdout_offset: u64::MAX, stderr_offset: u64::MAX };
        let ended = follow(&workspace, self.job, nothing, true, false, io)?;
        if self.json {
            let mut document: Value = json!(ended);
            document["workspace_id"] = json!(workspace.id());
            document["job_id"] = json!(self.job);
            output::json(&document);
            return Ok(ended.map_or(exit::FAILED, |ended| ended.exit_code));
        }
        ending(&workspace, self.job, ended.as_ref())
    }
}

fn follow(
    workspace: &Workspace,
    job: u64,
    from: From,
    wait: bool,
    stdin: bool,
    mut io: RunIo,
) -> Result<Option<Ended>, Failure> {
    let from = Offsets { stdout: from.stdout_offset, stderr: from.stderr_offset };
    let ended = block_on(async {
        io.interrupts = signals::listen();
        workspace.follow(job, from, wait, &mut io, stdin).await
    })?;
    ended.map_err(|error| exec::failed(&error))
}

/// How a command ended, as this program ends.
fn ending(workspace: &Workspace, job: u64, ended: Option<&Ended>) -> Result<i32, Failure> {
    let Some(ended) = ended else { return Ok(exit::OK) };
    if let Some((code, text)) = &ended.error {
        let message = format!("job {job} of the workspace {}: {text}", workspace.id());
        return Err(Failure::plain(
            code,
            message,
            "'pyro workspace job list' shows all of them",
            ended.exit_code,
        ));
    }
    output::error_line(&format!(
        "[job] job_id={job} exit_code={} duration_ms={}",
        ended.exit_code, ended.duration_ms
    ));
    Ok(ended.exit_code)
}

/// The signals that have names on every Linux this runs on.
const SIGNALS: [(&str, i32); 12] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("KILL", 9),
    ("USR1", 10),
    ("USR2", 12),
    ("ALRM", 14),
    ("TERM", 15),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("WINCH", 28),
];

pub(super) fn signal_number(text: &str) -> Result<i32, String> {
    if let Ok(number) = text.parse::<i32>()
        && (1..=64).contains(&number)
    {
        return Ok(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let known = SIGNALS.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
    known.ok_or_else(|| "it must be a signal's name, such as TERM, or its number, 1 to 64".to_owned())
}

/// A signal's name, or its number where it has none.
pub(super) fn signal_name(signal: i32) -> String {
    let known = SIGNALS.iter().find(|(_, number)| *number == signal);
    known.map_or_else(|| signal.to_string(), |(name, _)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        for text in ["TERM", "sigterm", "15"] {
            assert_eq!(signal_number(text), Ok(15));
        }
        assert_eq!((signal_name(15), signal_name(64)), ("TERM".to_owned(), "64".to_owned()));
        for text in ["", "0", "65", "-1", "NO"] {
            assert!(signal_number(text).is_err(), "{text}");
        }
    }
}
