//! The command line: parse, call the library, render. One file per command; the doc comment of a command's arguments is
//! its help. Only this crate prints, and only this crate reads the environment. It must not decide anything that another
//! surface would have to decide again.

mod args;
mod commands;
mod completion;
mod env_vars;
mod event_loop;
mod exit;
mod failure;
mod help;
mod output;
mod progress;
mod settings;
mod signals;
mod terminal;

pub use args::Cli;
pub use commands::short::SHORT_FORMS;
pub use env_vars::ENV_VARS;
pub use env_vars::EnvVar;
pub use exit::EXIT_CODES;
pub use settings::SettingsError;
pub use settings::config_for;

use clap::CommandFactory as _;
use clap::FromArgMatches as _;
use failure::Failure;
use std::ffi::OsString;
use std::process::ExitCode;

/// The whole command tree, for generated references, completions and man pages.
pub fn command() -> clap::Command {
    help::grouped(Cli::command())
}

/// Runs the program with these arguments, the first being its own name.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    if let Some(shell) = settings::completing() {
        output::bytes(&completion::complete(&shell, &args, std::env::current_dir().ok().as_deref()));
        return exit::code(exit::OK);
    }
    let json = failure::wants_json(&args);
    let parsed = command().try_get_matches_from(&args).and_then(|matches| Cli::from_arg_matches(&matches));
    let result = match parsed {
        Ok(cli) => commands::dispatch(cli),
        Err(error) => Err(Failure::usage(&error)),
    };
    match result {
        Ok(code) => exit::code(code),
        Err(failure) => failure.report(json),
    }
}
