//! `pyro workspace exec`.

use super::block_on;
use super::find;
use super::secret::secret_env;
use super::shell;
use crate::commands::run;
use crate::commands::run::capture;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use crate::signals;
use crate::terminal;
use crate::terminal::DetachKeys;
use pyro::Command;
use pyro::limits::TimeoutSeconds;
use pyro::run::RunIo;
use pyro::secret::SecretName;
use pyro::workspace::ExecReport;
use pyro::workspace::ExecSpec;
use pyro::workspace::ShellSpec;
use pyro::workspace::Workspace;
use pyro::workspace::WorkspaceError;
use std::ffi::OsString;
use std::io::IsTerminal as _;

/// What pyro's own failures end with.
const OWN: i32 = 125;

/// Run a command in a workspace.
///
/// One word after `--` is a shell string, run by /bin/sh -lc; several words are a program and its arguments, exactly as
/// given. The exit code is the command's own; 124 when its time was up, 125 when pyro itself failed, 126 and 127 when the
/// program could not be executed or found, 128+N for signal N. What a command has written to the disk is safe once its end
/// is told. The command ends with this program, unless it was detached.
#[derive(Debug, clap::Args)]
pub struct Exec {
    /// Workspace, by id or name.
    workspace: String,

    /// Time the command may take; then its whole process tree is ended and the exit code is 124. 0 for no limit.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = time_limit, conflicts_with = "tty")]
    timeout_seconds: TimeLimit,

    /// Pass standard input to the command, whatever it is: short for --stdin=always.
    #[arg(long, short = 'i')]
    interactive: bool,

    /// With -i: run the command on a terminal, the one you sit at. It becomes a shell of the workspace, which the detach keys leave
    /// running: `pyro workspace shell attach` comes back to it. Without a command, an interactive shell.
    #[arg(long, short = 't', requires = "interactive", conflicts_with_all = ["detach", "json"])]
    tty: bool,

    /// With -t: keys that leave the command running, with commas between them; none when empty.
    #[arg(long, value_name = "KEYS", default_value = terminal::DETACH_KEYS, value_parser = DetachKeys::parse)]
    detach_keys: DetachKeys,

    /// Set an environment variable in the guest; may be given several times.
    #[arg(long = "env", short = 'e', value_name = "NAME=VALUE", value_parser = clap::builder::OsStringValueParser::new())]
    env: Vec<OsString>,

    /// Give the command a secret of the workspace as a variable, named like the secret unless VARIABLE is given; may be given
    /// several times.
    #[arg(long = "secret-env", value_name = "SECRET[=VARIABLE]", value_parser = secret_env)]
    secret_env: Vec<(SecretName, String)>,

    /// Working directory in the guest [default: /workspace].
    #[arg(long, value_name = "DIR")]
    cwd: Option<OsString>,

    /// User in the guest, by name or number, with an optional group: USER[:GROUP] [default: root].
    #[arg(long, short = 'u', value_name = "USER")]
    user: Option<String>,

    /// Whether standard input is passed to the command; auto passes it unless it is a terminal. A detached command gets none
    /// but with `always`, and then from `pyro workspace job attach`.
    #[arg(long, value_name = "WHEN", default_value = "auto", default_missing_value = "always", num_args = 0..=1, require_equals = true, value_parser = ["auto", "always", "never"])]
    stdin: String,

    /// Print the number of the job and leave it running; `pyro workspace job` comes back to it.
    #[arg(long)]
    detach: bool,

    /// Print one JSON object with the output and how it ended, instead of streaming.
    #[arg(long)]
    json: bool,

    /// With --json: most bytes of each output in the object; the rest is counted, and in the file that is named.
    #[arg(long, value_name = "BYTES", default_value = "1048576")]
    max_output_bytes: usize,

    /// The command: one word for the shell, or a program and its arguments.
    #[arg(last = true, required_unless_present = "tty", value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// A time limit, or none.
#[derive(Clone, Copy, Debug)]
struct TimeLimit(Option<TimeoutSeconds>);

fn time_limit(text: &str) -> Result<TimeLimit, String> {
    let seconds = text.parse::<u64>().map_err(|_| "it must be a whole number".to_owned())?;
    if seconds == 0 {
        return Ok(TimeLimit(None));
    }
    TimeoutSeconds::new(seconds).map(|limit| TimeLimit(Some(limit))).map_err(|error| error.to_string())
}

impl Exec {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        if self.tty {
            return self.at_terminal(engine);
        }
        let workspace = find(engine, &self.workspace, OWN)?;
        let (detach, json, bytes_max) = (self.detach, self.json, self.max_output_bytes);
        let spec = self.spec()?;
        let command = spec.command.display();
        if detach {
            return detached(&workspace, spec, json);
        }
        if json {
            let (io, stdout, stderr) = capture::io_up_to(bytes_max);
            let report = execute(&workspace, spec, io)?;
            let document = workspace
                .describe_exec(&command, &report, &stdout.take(), &stderr.take())
                .map_err(|error| Failure::new(&error, OWN))?;
            output::json(&document);
            return Ok(report.ended.exit_code);
        }
        let report = execute(&workspace, spec, run::stdio())?;
        if let Some(warning) = &report.ended.warning {
            output::error_line(&format!("[warning] {warning}"));
        }
        output::error_line(&summary(&workspace, &report));
        Ok(report.ended.exit_code)
    }

    /// Runs it where somebody sits.
    fn at_terminal(self, engine: &str) -> Result<i32, Failure> {
        terminal::required(OWN)?;
        let env = run::variables(self.env)?;
        let command = if self.command.is_empty() { None } else { Some(words(self.command)?) };
        let workspace = find(engine, &self.workspace, OWN)?;
        let spec = ShellSpec {
            command,
            cwd: self.cwd,
            env,
            user: self.user,
            size: terminal::size(),
            secret_env: self.secret_env,
        };
        let record = block_on(workspace.open_shell(spec))?.map_err(|error| failed(&error))?;
        shell::join(&workspace, record["shell_id"].as_str().unwrap_or_default(), self.detach_keys, true, OWN)
    }

    fn spec(self) -> Result<ExecSpec, Failure> {
        let env = run::variables(self.env)?;
        let command = words(self.command)?;
        let stdin = match self.stdin.as_str() {
            _ if self.interactive => true,
            "always" => true,
            "never" => false,
            // Nobody may ever come back to end the input of a job.
            _ => !self.detach && !std::io::stdin().is_terminal(),
        };
        let timeout = self.timeout_seconds.0;
        Ok(ExecSpec {
            command,
            timeout,
            env,
            cwd: self.cwd,
            user: self.user,
            stdin,
            secret_env: self.secret_env,
        })
    }
}

fn words(words: Vec<OsString>) -> Result<Command, Failure> {
    Command::from_words(words).map_err(|error| {
        Failure::plain("usage", error.to_string(), "write the command after --", exit::USAGE)
    })
}

fn detached(workspace: &Workspace, spec: ExecSpec, json: bool) -> Result<i32, Failure> {
    let command = spec.command.display();
    let job = block_on(workspace.exec_detached(spec))?.map_err(|error| failed(&error))?;
    if json {
        output::json(&workspace.describe_detached(job, &command));
    } else {
        output::line(&job.to_string());
    }
    Ok(exit::OK)
}

fn execute(workspace: &Workspace, spec: ExecSpec, mut io: RunIo) -> Result<ExecReport, Failure> {
    let report = block_on(async {
        io.interrupts = signals::listen();
        workspace.exec_noticing(spec, io, &mut |text| output::error_line(&format!("[pyro] {text}"))).await
    })?
    .map_err(|error| failed(&error))?;
    if let Some((code, text)) = &report.ended.error {
        let message = format!("command {} of the workspace {}: {text}", report.sequence, workspace.id());
        return Err(Failure::plain(code, message, "'pyro workspace status' says how the workspace is", OWN));
    }
    Ok(report)
}

/// A failure on the way to a command's end.
pub(super) fn failed(error: &WorkspaceError) -> Failure {
    failed_with(error, error.exit_code())
}

/// A failure that ends this program with `exit_code`; without a word when its reader has gone.
pub(super) fn failed_with(error: &WorkspaceError, exit_code: i32) -> Failure {
    let broken_pipe = |source: &std::io::Error| source.kind() == std::io::ErrorKind::BrokenPipe;
    let quiet = matches!(error, WorkspaceError::Caller { source, .. } if broken_pipe(source));
    Failure::new(error, exit_code).quietly(quiet)
}

fn summary(workspace: &Workspace, report: &ExecReport) -> String {
    let ended = &report.ended;
    let timed_out = if ended.timed_out { " timed_out=true" } else { "" };
    let left = match ended.detached_processes {
        0 => String::new(),
        count => format!(" detached_processes={count}"),
    };
    format!(
        "[workspace-exec] workspace_id={} sequence={} cwd={} execution_mode=guest_vsock exit_code={}{timed_out} duration_ms={}{left}",
        workspace.id(),
        report.sequence,
        report.cwd,
        ended.exit_code,
        ended.duration_ms,
    )
}
