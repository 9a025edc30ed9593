//! `pyro demo`.

mod chat;
mod ollama;

use super::run::Shown;
use super::run::capture;
use super::run::execute;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use crate::progress::Terminal;
use crate::settings;
use ollama::Ollama;
use pyro::Command;
use pyro::code;
use pyro::run::RunSpec;
use std::ffi::OsString;

/// Where the demonstration runs unless another environment is named.
const ENVIRONMENT: &str = "debian:12";

/// Prove the whole life of a guest: create, start, run `git --version`, delete. Always prints JSON.
#[derive(Debug, clap::Args)]
pub struct Demo {
    #[command(subcommand)]
    with: Option<With>,

    /// Probe outbound network instead. This release has no guest network and refuses.
    #[arg(long)]
    network: bool,

    /// Environment to run in.
    #[arg(long, default_value = ENVIRONMENT)]
    environment: String,
}

/// Who else takes part.
#[derive(Debug, clap::Subcommand)]
enum With {
    /// Let a model of an OpenAI-compatible server, such as Ollama, run a command in a guest with pyro's tools.
    Ollama(Ollama),
}

/// Text from outside in one line for a terminal: without control characters, and not longer than so many characters.
fn clean(text: &str, chars_max: usize) -> String {
    let printable = |c: char| if c.is_whitespace() { Some(' ') } else { (!c.is_control()).then_some(c) };
    text.trim().chars().filter_map(printable).take(chars_max).collect()
}

impl Demo {
    /// A demonstration with a model has none of the other's flags. What holds for every command, such as --engine, may stand before
    /// it, so it is not left to the parser.
    fn check_alone(&self) -> Result<(), Failure> {
        let flag = match (self.network, self.environment == ENVIRONMENT) {
            (true, _) => "--network",
            (false, false) => "--environment",
            (false, true) => return Ok(()),
        };
        let hint = "'pyro demo ollama --help' lists what it takes";
        Err(Failure::plain(code::USAGE, format!("{flag} is not for 'pyro demo ollama'"), hint, exit::USAGE))
    }

    pub(crate) fn call(&self, engine: &str) -> Result<i32, Failure> {
        if let Some(With::Ollama(command)) = &self.with {
            self.check_alone()?;
            return command.call(engine);
        }
        let config = settings::config(engine, 125)?;
        let words = ["git", "--version"].map(OsString::from).to_vec();
        let spec = RunSpec {
            guest_status: true,
            network: self.network,
            ..RunSpec::new(self.environment.clone(), Command::Argv(words))
        };
        let shown = Shown { environment: spec.environment.clone(), command: spec.command.display() };
        let (io, stdout, stderr) = capture::io();
        let report = execute(&config, spec, io, Terminal::silent().environment(&self.environment))?;
        output::json(&shown.document(&report, &stdout.take(), &stderr.take()));
        Ok(report.exit_code())
    }
}
