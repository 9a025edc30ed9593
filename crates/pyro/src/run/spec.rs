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

impl RunSpec {
    /// A run of `command` in a guest of `environment`, with the sizes and times that `pyro run` uses by itself: from a template,
    /// with no standard input, no terminal and no network.
    pub fn new(environment: impl Into<String>, command: Command) -> Self {
        Self {
            environment: environment.into(),
            command,
            size: Size::default(),
            timeout: TimeoutSeconds::default(),
            ttl: TtlSeconds::default(),
            env: Vec::new(),
            cwd: None,
            user: None,
            stdin: false,
            terminal: None,
            guest_status: false,
            network: false,
            template: true,
            allow_host_compat: false,
        }
    }
}
