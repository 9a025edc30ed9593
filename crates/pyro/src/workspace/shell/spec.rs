//! What a shell is asked to be. This file must not start one.

use crate::command::Command;
use crate::secret::SecretName;
use crate::terminal::TerminalSize;
use crate::terminal::environment;
use crate::terminal::interactive_shell;
use crate::workspace::control::shell::OpenRequest;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

/// How a shell is shown.
const SHELL_SHOWN: &str = "bash --noprofile --norc -i";

/// A shell to open.
#[derive(Clone, Debug, Default)]
pub struct ShellSpec {
    /// What to run on the terminal; an interactive `bash`, or `sh` where there is none, when absent.
    pub command: Option<Command>,
    /// Working directory in the guest; `/workspace` when absent.
    pub cwd: Option<OsString>,
    /// Variables added to the guest's default environment, `TERM` and `PS1`.
    pub env: Vec<(OsString, OsString)>,
    /// User in the guest, as `NAME|UID[:GROUP|GID]`; root when absent.
    pub user: Option<String>,
    /// The terminal's size.
    pub size: TerminalSize,
    /// Secrets of the workspace that it gets as variables, and the variables' names.
    pub secret_env: Vec<(SecretName, String)>,
}

impl ShellSpec {
    pub(super) fn request(self) -> OpenRequest {
        let (argv, shown) = match &self.command {
            Some(command) => (command.argv(), command.display()),
            None => (interactive_shell().argv(), SHELL_SHOWN.to_owned()),
        };
        let own = self.env.into_iter().map(|(k, v)| (k.into_vec().into(), v.into_vec().into()));
        OpenRequest {
            argv: argv.into_iter().map(Into::into).collect(),
            shown,
            cwd: self.cwd.map(|cwd| cwd.into_vec().into()),
            env: environment().into_iter().chain(own).collect(),
            user: self.user,
            size: self.size,
            secret_env: self.secret_env,
        }
    }
}
