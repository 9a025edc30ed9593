//! The top of the command tree. Each command's own arguments are in its file.

use crate::commands;
use crate::env_vars;
use clap::Parser;
use clap::Subcommand;

/// A computer of its own for a coding agent: a real Linux guest in a microVM.
///
/// Guests run on Firecracker or QEMU with KVM where that works, and on QEMU's software emulation elsewhere. No root, no
/// daemon, no account.
#[derive(Debug, Parser)]
#[command(
    name = "pyro",
    version,
    propagate_version = false,
    max_term_width = 110,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// Which engine runs guests: auto takes the best that works on this host.
    #[arg(long, global = true, value_name = "ENGINE", env = env_vars::PYRO_ENGINE, default_value = "auto", value_parser = ["auto", "qemu", "firecracker"], hide_env_values = true)]
    pub engine: String,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List, install, inspect and remove environments.
    #[command(subcommand)]
    Env(commands::env::Env),
    /// Run one command in a guest of its own, and leave nothing.
    Run(Box<commands::run::Run>),
    /// Copy files and folders between this host and workspaces, or from workspace to workspace.
    ///
    /// A path in a workspace is NAME:PATH, and relative to /workspace; NAME: is /workspace itself. A path of this host with a colon in
    /// it is written ./a:b. As with `docker cp`, a file replaces a file, a folder goes into a folder that is there, FOLDER/. is what is
    /// in it, and the folder to copy into must be there. A file never takes the place of a folder, nor a folder that of a file. With -
    /// a tar archive is read from standard input, into a folder, or written to standard output.
    Cp(commands::cp::Cp),
    #[command(flatten)]
    Short(Box<commands::short::Short>),
    /// Make, use and keep workspaces: guests that stay.
    #[command(subcommand, visible_alias = "ws")]
    Workspace(Box<commands::workspace::Workspace>),
    /// Serve MCP clients: coding agents, chat programs, your own.
    #[command(subcommand)]
    Mcp(commands::mcp::Mcp),
    /// Tell programs that use MCP servers of `pyro mcp serve`.
    #[command(subcommand)]
    Host(commands::host::Host),
    /// Show what runs, and what it uses.
    Ps(commands::ps::Ps),
    /// Show what happened to workspaces.
    Events(commands::events::Events),
    #[command(hide = true)]
    Supervise(commands::supervise::Supervise),
    /// Check what this host can do, and say how to mend what it cannot.
    Doctor(commands::doctor::Doctor),
    /// Prove the whole life of a guest: create, start, run `git --version`, delete.
    Demo(commands::demo::Demo),
    /// Measure what guests cost on this machine, beside what the engine alone costs.
    Bench(commands::bench::Bench),
    /// Remove everything that nothing needs any more.
    Gc(commands::gc::Gc),
    /// Print a completion script for a shell.
    ///
    /// For bash, have its startup file run `source <(pyro completions bash)`. The script asks this program whenever the key is
    /// pressed, so that names of workspaces, snapshots, services, secrets, jobs and shells are completed as well. It is to be
    /// printed anew by each version.
    Completions(commands::completions::Completions),
    /// Write the manual pages to a folder.
    Man(commands::man::Man),
}
