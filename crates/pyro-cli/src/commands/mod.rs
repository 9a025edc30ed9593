//! One file per command. This one only calls them.

pub(crate) mod bench;
pub(crate) mod completions;
pub(crate) mod cp;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod env;
pub(crate) mod events;
pub(crate) mod gc;
pub(crate) mod host;
pub(crate) mod man;
pub(crate) mod mcp;
pub(crate) mod ps;
pub(crate) mod run;
pub(crate) mod short;
pub(crate) mod supervise;
pub(crate) mod workspace;

use crate::args::Cli;
use crate::args::Command;
use crate::failure::Failure;

/// Carries a command out; the exit code.
pub(crate) fn dispatch(cli: Cli) -> Result<i32, Failure> {
    match cli.command {
        Command::Env(command) => command.call(&cli.engine),
        Command::Run(command) => command.call(&cli.engine),
        Command::Cp(command) => command.call(&cli.engine),
        Command::Short(command) => command.long().call(&cli.engine),
        Command::Workspace(command) => command.call(&cli.engine),
        Command::Ps(command) => command.call(&cli.engine),
        Command::Events(command) => command.call(&cli.engine),
        Command::Supervise(command) => Ok(command.call()),
        Command::Doctor(command) => command.call(&cli.engine),
        Command::Demo(command) => command.call(&cli.engine),
        Command::Bench(command) => command.call(&cli.engine),
        Command::Gc(command) => command.call(&cli.engine),
        Command::Completions(command) => Ok(command.call()),
        Command::Man(command) => command.call(),
        Command::Host(command) => command.call(),
        Command::Mcp(command) => command.call(&cli.engine),
    }
}
