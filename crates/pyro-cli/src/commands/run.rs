//! `pyro run`.

use crate::event_loop::EventLoop;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use crate::progress::Terminal;
use crate::settings;
use crate::signals;
use crate::terminal;
use crate::terminal::DetachKeys;
use pyro::Command;
use pyro::Config;
use pyro::limits::DiskMib;
use pyro::limits::LimitError;
use pyro::limits::MemMib;
use pyro::limits::TimeoutSeconds;
use pyro::limits::TtlSeconds;
use pyro::limits::VcpuCount;
use pyro::machine::Size;
use pyro::run::RunError;
use pyro::run::RunIo;
use pyro::run::RunReport;
use pyro::run::RunSpec;
use pyro::terminal::interactive_shell;
use pyro::workspace::Excerpt;
use serde_json::Value;
use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::ffi::OsStringExt as _;
use tokio::sync::mpsc;

pub(super) mod capture;

/// Run one command in a guest of its own, and leave nothing.
///
/// One word after `--` is a shell string, run by /bin/sh -lc: pyro run debian:12 -- 'git --version && pwd'. Several words
/// are a program and its arguments, exactly as given: pyro run debian:12 -- git --version.
///
/// Standard input is passed to the command unless it is a terminal. The exit code is the command's own; 124 when its time
/// was up, 125 when pyro itself failed, 126 and 127 when the program could not be executed or found, 128+N for signal N.
#[derive(Debug, clap::Args)]
pub struct Run {
    /// Environment to run in, as `pyro env list` names it.
    environment: String,

    /// Virtual processors.
    #[arg(long, value_name = "N", default_value = "1", value_parser = bounded(VcpuCount::new))]
    vcpu_count: VcpuCount,

    /// Memory in MiB.
    #[arg(long, value_name = "MIB", default_value = "1024", value_parser = bounded(MemMib::new))]
    mem_mib: MemMib,

    /// Size of the guest's own disk in MiB; it takes only what is written to it.
    #[arg(long, value_name = "MIB", default_value = "8192", value_parser = bounded(DiskMib::new))]
    disk_mib: DiskMib,

    /// Time the command may take; then its whole process tree is ended and the exit code is 124. With -t 604800 unless given.
    #[arg(long, value_name = "SECONDS", default_value = "30", default_value_if("tty", "true", "604800"), value_parser = bounded(TimeoutSeconds::new))]
    timeout_seconds: TimeoutSeconds,

    /// Time the guest may live, whatever the time-out; 0 for no limit. With -t no limit unless given.
    #[arg(long, value_name = "SECONDS", default_value = "600", default_value_if("tty", "true", "0"), value_parser = bounded(TtlSeconds::new))]
    ttl_seconds: TtlSeconds,

    /// Pass standard input to the command, even from a terminal.
    #[arg(long, short = 'i')]
    interactive: bool,

    /// With -i: run the command on a terminal, the one you sit at; without a command, an interactive shell.
    #[arg(long, short = 't', requires = "interactive", conflicts_with = "json")]
    tty: bool,

    /// Set an environment variable in the guest; may be given several times.
    #[arg(long = "env", short = 'e', value_name = "NAME=VALUE", value_parser = clap::builder::OsStringValueParser::new())]
    env: Vec<OsString>,

    /// Working directory in the guest [default: /workspace].
    #[arg(long, value_name = "DIR")]
    cwd: Option<OsString>,

    /// User in the guest, by name or number, with an optional group: USER[:GROUP] [default: root].
    #[arg(long, short = 'u', value_name = "USER")]
    user: Option<String>,

    /// Give the guest outbound network. This release has no guest network and refuses.
    #[arg(long, conflicts_with = "network_policy")]
    network: bool,

    /// What the guest may reach. This release refuses all but `off`.
    #[arg(long, value_name = "POLICY", default_value = "off", value_parser = ["off", "egress", "egress+published-ports"])]
    network_policy: String,

    /// Boot the guest's kernel instead of restoring a paused guest.
    #[arg(long)]
    no_template: bool,

    /// When no engine works here, run the command on the host, WITHOUT ANY ISOLATION.
    #[arg(long)]
    allow_host_compat: bool,

    /// Print one JSON object with the output and how it ended, instead of streaming.
    #[arg(long)]
    json: bool,

    /// Say on standard error how long each part took.
    #[arg(long)]
    timings: bool,

    /// The command: one word for the shell, or a program and its arguments.
    #[arg(last = true, required_unless_present = "tty", value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// A parser for a bounded number, whose error names the bounds.
pub(super) fn bounded<T: Clone + Send + Sync + 'static>(
    new: fn(u64) -> Result<T, LimitError>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| {
        let number = text.parse::<u64>().map_err(|_| "it must be a whole number".to_owned())?;
        new(number).map_err(|error| error.to_string())
    }
}

impl Run {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        if self.tty {
            terminal::required(125)?;
        }
        let config = settings::config(engine, 125)?;
        let (json, timings, tty) = (self.json, self.timings, self.tty);
        let spec = self.spec()?;
        let shown = Shown { environment: spec.environment.clone(), command: spec.command.display() };
        if json {
            let (io, stdout, stderr) = capture::io();
            let report = execute(&config, spec, io, Terminal::silent().environment(&shown.environment))?;
            output::json(&shown.document(&report, &stdout.take(), &stderr.take()));
            return Ok(report.exit_code());
        }
        let progress = if tty { Terminal::at_terminal() } else { Terminal::for_run() };
        let report = execute(&config, spec, stdio(), progress.environment(&shown.environment))?;
        if report.guest.is_some_and(|guest| guest.disk_full()) {
            output::error_line("[warning] the guest's disk is full; --disk-mib gives it a larger one");
        }
        output::error_line(&shown.summary(&report));
        if timings {
            output::error_line(&timing_line(&report));
        }
        Ok(report.exit_code())
    }

    fn spec(self) -> Result<RunSpec, Failure> {
        let usage = |message: String, hint: &str| Failure::plain("usage", message, hint, exit::USAGE);
        let env = variables(self.env)?;
        let command = if self.tty && self.command.is_empty() {
            interactive_shell()
        } else {
            Command::from_words(self.command)
                .map_err(|error| usage(error.to_string(), "write the command after --"))?
        };
        Ok(RunSpec {
            environment: self.environment,
            command,
            size: Size { vcpus: self.vcpu_count, mem: self.mem_mib, disk: self.disk_mib },
            timeout: self.timeout_seconds,
            ttl: self.ttl_seconds,
            env,
            cwd: self.cwd,
            user: self.user,
            stdin: self.interactive || !std::io::stdin().is_terminal(),
            terminal: self.tty.then(terminal::size),
            guest_status: self.json,
            network: self.network || self.network_policy != "off",
            template: !self.no_template,
            allow_host_compat: self.allow_host_compat,
        })
    }
}

/// The variables of `--env NAME=VALUE`.
pub(super) fn variables(given: Vec<OsString>) -> Result<Vec<(OsString, OsString)>, Failure> {
    let variable = |given: OsString| {
        let bytes = given.as_bytes();
        let at = bytes.iter().position(|byte| *byte == b'=').filter(|at| *at > 0).ok_or_else(|| {
            let message = format!("--env '{}' is not NAME=VALUE", given.to_string_lossy());
            Failure::plain("usage", message, "write --env NAME=VALUE", exit::USAGE)
        })?;
        let (name, value) = (&bytes[..at], &bytes[at + 1..]);
        Ok((OsString::from_vec(name.to_vec()), OsString::from_vec(value.to_vec())))
    };
    given.into_iter().map(variable).collect()
}

/// The calling process's own streams, whose signals are somebody else's.
pub(super) fn stdio() -> RunIo {
    RunIo {
        stdin: Box::new(tokio::io::stdin()),
        stdout: Box::new(tokio::io::stdout()),
        stderr: Box::new(tokio::io::stderr()),
        interrupts: signals::none(),
        sizes: mpsc::channel(1).1,
    }
}

/// Runs on this thread, which is the process's first and so outlives the guest.
pub(super) fn execute(
    config: &Config,
    spec: RunSpec,
    mut io: RunIo,
    mut observer: Terminal,
) -> Result<RunReport, Failure> {
    let runtime = EventLoop::new().map_err(Failure::event_loop(125))?;
    let result = runtime.block_on(async {
        if spec.terminal.is_some() {
            at_terminal(&mut io)?;
        } else {
            io.interrupts = signals::listen();
        }
        Ok(pyro::run::run(config, spec, io, &mut observer).await)
    });
    // A read of standard input may still be under way on another thread; it must not hold the process.
    runtime.leave();
    result?.map_err(|error| {
        let silent =
            matches!(&error, RunError::Output(cause) if cause.kind() == std::io::ErrorKind::BrokenPipe);
        Failure::new(&error, error.exit_code()).quietly(silent)
    })
}

/// Somebody sits at this process's own streams.
fn at_terminal(io: &mut RunIo) -> Result<(), Failure> {
    let at = terminal::prepare(DetachKeys::default(), 125)?;
    (io.stdin, io.stdout, io.interrupts, io.sizes) = (at.input, at.output, at.interrupts, at.sizes);
    Ok(())
}

/// What the reports repeat of the request.
pub(super) struct Shown {
    pub(super) environment: String,
    pub(super) command: String,
}

impl Shown {
    fn summary(&self, report: &RunReport) -> String {
        let timed_out = if report.timed_out { " timed_out=true" } else { "" };
        format!(
            "[run] environment={} execution_mode={} exit_code={}{timed_out} duration_ms={:.0} isolation={}",
            self.environment,
            report.execution_mode(),
            report.exit_code(),
            report.timings.exec_ms,
            report.isolation()
        )
    }

    pub(super) fn document(&self, report: &RunReport, stdout: &Excerpt, stderr: &Excerpt) -> Value {
        report.describe(&self.environment, &self.command, stdout, stderr)
    }
}

fn timing_line(report: &RunReport) -> String {
    let timings = &report.timings;
    format!(
        "[run] timings prepare_ms={:.1} boot_ms={:.1} agent_ready_ms={:.1} exec_ms={:.1} total_ms={:.1}",
        timings.prepare_ms, timings.boot_ms, timings.agent_ready_ms, timings.exec_ms, timings.total_ms
    )
}
