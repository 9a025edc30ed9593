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
use pyro::signal;
use pyro::workspace::Offsets;
use pyro::workspace::Workspace;
use pyro::workspace::history::Ended;
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
    #[arg(long, short = 's', value_name = "SIGNAL", default_value = "TERM", value_parser = signal::number)]
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
            output::json(&workspace.describe_jobs(&jobs));
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
            output::json(&workspace.describe_job_signal(self.job, self.signal));
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
            let Some(ended) = ended else { return Ok(exit::FAILED) };
            output::json(&workspace.describe_job_end(self.job, &ended));
            return Ok(ended.exit_code);
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
