//! What a run is asked to do: valid by construction.

use crate::command::Command;
use crate::limits::TimeoutSeconds;
use crate::limits::TtlSeconds;
use crate::machine::Size;
use crate::terminal::TerminalSize;
use std::ffi::OsString;

/// A one-shot run.
#[derive(Clone, Debug)]
pub struct RunSpec {
    /// The environment's name in the catalogue.
    pub environment: String,
    /// What to run.
    pub command: Command,
    /// What the guest shall have.
    pub size: Size,
    /// How long the command may take.
    pub timeout: TimeoutSeconds,
    /// How long the guest may live.
    pub ttl: TtlSeconds,
    /// Variables added to the guest's default environment.
    pub env: Vec<(OsString, OsString)>,
    /// Working directory in the guest; `/workspace` when absent.
    pub cwd: Option<OsString>,
    /// User in the guest, as `NAME|UID[:GROUP|GID]`; root when absent.
    pub user: Option<String>,
    /// Whether the command's standard input comes from the caller.
    pub stdin: bool,
    /// Run it on a terminal of this size, whose one output is standard output.
    pub terminal: Option<TerminalSize>,
    /// Ask the guest how it is doing when the command has ended, even if that went well.
    pub guest_status: bool,
    /// A network was asked for.
    pub network: bool,
    /// Start from a template of a paused guest, made first if there is none; otherwise boot.
    pub template: bool,
    /// When no engine works, run on the host, without isolation. Only an operator may set this.
    pub allow_host_compat: bool,
}
