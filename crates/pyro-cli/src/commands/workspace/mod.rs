//! `pyro workspace`: one file per command. This one only calls them, and holds what they share.

mod connect;
pub(super) mod create;
pub(super) mod delete;
pub(super) mod diff;
mod disk;
pub(super) mod exec;
pub(super) mod export;
mod file;
pub(super) mod fork;
mod job;
pub(super) mod list;
pub(super) mod logs;
mod pack;
mod patch;
mod port;
pub(crate) mod render;
pub(super) mod reset;
mod secret;
mod service;
pub(super) mod shell;
pub(super) mod snapshot;
mod ssh_config;
pub(super) mod start;
pub(super) mod status;
pub(super) mod stop;
pub(super) mod sync;
mod update;

use crate::event_loop::EventLoop;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use crate::settings;
use clap::Subcommand;
use pyro::Coded;
use pyro::workspace::LabelKey;
use pyro::workspace::LabelValue;
use pyro::workspace::Workspace as Handle;
use pyro::workspace::WorkspaceError;
use pyro::workspace::Workspaces;

/// Make, use and keep workspaces: guests that stay.
#[derive(Debug, Subcommand)]
pub enum Workspace {
    /// Make a workspace and start its guest.
    Create(create::Create),
    /// List all workspaces, the last used first.
    #[command(visible_alias = "ls")]
    List(list::List),
    /// Show how a workspace is.
    Status(status::Status),
    /// Change a workspace's name, labels and times.
    Update(update::Update),
    /// Stop a workspace; its data stays.
    Stop(stop::Stop),
    /// Start a stopped workspace.
    Start(start::Start),
    /// Stop a workspace and keep its memory and processes on disk.
    Pause(stop::Pause),
    /// Go on with a workspace that was paused.
    Resume(start::Resume),
    /// Delete workspaces with everything in them.
    #[command(visible_alias = "rm")]
    Delete(delete::Delete),
    /// Run a command in a workspace.
    Exec(exec::Exec),
    /// Show the commands of a workspace, and what they printed.
    Logs(logs::Logs),
    /// Come back to commands that run in a workspace, or have run.
    #[command(subcommand)]
    Job(job::Job),
    /// Open, use and leave shells: programs on a terminal that go on without you.
    #[command(subcommand)]
    Shell(shell::Shell),
    /// List, read, write, search, move and remove files.
    #[command(subcommand)]
    File(file::File),
    /// Change files by patches.
    #[command(subcommand)]
    Patch(patch::Patch),
    /// Publish ports of the guest on this host.
    #[command(subcommand)]
    Port(port::Port),
    /// Run commands that stay, by name.
    #[command(subcommand)]
    Service(service::Service),
    /// Connect standard input and output to a port of the guest, or, without a port, to an SSH server for the workspace.
    ///
    /// Nothing listens on this host meanwhile. Ends when the guest's side has ended; the end of standard input is passed on and is
    /// not the end. The SSH server is this program itself and needs nothing in the guest: `pyro workspace ssh-config` prints an entry
    /// of ssh's configuration whose ProxyCommand this is.
    Connect(connect::Connect),
    /// Print an entry of OpenSSH's configuration, so that ssh, scp, sftp, rsync and the remote modes of editors reach a workspace.
    ///
    /// Append it to ~/.ssh/config, or write it to a file for `ssh -F`. The server is pyro itself, on this host: nothing needs to be in
    /// the guest, no port is opened, and the keys are this workspace's own and made for it. It is there while the workspace runs.
    /// Commands begin in /workspace, and relative paths of scp and sftp are below it.
    SshConfig(ssh_config::SshConfig),
    /// Keep, show and forget snapshots.
    #[command(subcommand)]
    Snapshot(snapshot::Snapshot),
    /// Bring folders of the guest and of the host up to date with each other.
    #[command(subcommand)]
    Sync(sync::Sync),
    /// Keep values that commands may use and nobody may see.
    #[command(subcommand)]
    Secret(secret::Secret),
    /// Go back to a snapshot.
    Reset(reset::Reset),
    /// Make workspaces that begin where this one is.
    Fork(fork::Fork),
    /// Show what changed.
    Diff(diff::Diff),
    /// Look into the disk of a stopped workspace, or into a snapshot.
    #[command(subcommand)]
    Disk(disk::Disk),
    /// Copy a path out.
    Export(export::Export),
    /// Pack a workspace into one file.
    Pack(pack::Pack),
    /// Make a workspace of a packed one.
    Unpack(pack::Unpack),
}

impl Workspace {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        match self {
            Self::Create(command) => command.call(engine),
            Self::List(command) => command.call(engine),
            Self::Status(command) => command.call(engine),
            Self::Update(command) => command.call(engine),
            Self::Stop(command) => command.call(engine),
            Self::Start(command) => command.call(engine),
            Self::Pause(command) => command.call(engine),
            Self::Resume(command) => command.call(engine),
            Self::Delete(command) => command.call(engine),
            Self::Exec(command) => command.call(engine),
            Self::Logs(command) => command.call(engine),
            Self::Job(command) => command.call(engine),
            Self::Shell(command) => command.call(engine),
            Self::File(command) => command.call(engine),
            Self::Patch(command) => command.call(engine),
            Self::Port(command) => command.call(engine),
            Self::Service(command) => command.call(engine),
            Self::Connect(command) => command.call(engine),
            Self::SshConfig(command) => command.call(engine),
            Self::Snapshot(command) => command.call(engine),
            Self::Sync(command) => command.call(engine),
            Self::Secret(command) => command.call(engine),
            Self::Reset(command) => command.call(engine),
            Self::Fork(command) => command.call(engine),
            Self::Diff(command) => command.call(engine),
            Self::Disk(command) => command.call(engine),
            Self::Export(command) => command.call(engine),
            Self::Pack(command) => command.call(engine),
            Self::Unpack(command) => command.call(engine),
        }
    }
}

/// Any library error of these commands.
pub(super) fn failed(error: &dyn Coded) -> Failure {
    Failure::new(error, exit::FAILED)
}

/// All workspaces.
pub(super) fn all(engine: &str, code: i32) -> Result<Workspaces, Failure> {
    let config = settings::config(engine, code)?;
    Workspaces::open(&config).map_err(|error| Failure::new(&error, code))
}

/// The workspace a user means.
fn find(engine: &str, given: &str, code: i32) -> Result<Handle, Failure> {
    all(engine, code)?.find(given).map_err(|error| Failure::new(&error, code))
}

/// Runs the library's part on this thread.
pub(super) fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = EventLoop::new().map_err(Failure::event_loop(exit::FAILED))?;
    let done = runtime.block_on(work);
    // Somebody may still wait on another thread for what will not come.
    runtime.leave();
    Ok(done)
}

/// Runs the library's part, whose failure ends the program with 1.
fn done<T>(work: impl Future<Output = Result<T, WorkspaceError>>) -> Result<T, Failure> {
    block_on(work)?.map_err(|error| failed(&error))
}

/// What a library call wants to tell people.
fn notice(text: &str) {
    output::error_line(&format!("[pyro] {text}"));
}

/// A parser of anything whose text form is checked where it is made.
fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse::<T>().map_err(|error| error.to_string())
}

/// A parser of `KEY=VALUE`.
fn label(text: &str) -> Result<(LabelKey, LabelValue), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| "it must be KEY=VALUE".to_owned())?;
    Ok((parsed(key)?, parsed(value)?))
}
