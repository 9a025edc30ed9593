//! `pyro completions`.

use crate::completion;
use crate::env_vars;
use crate::exit;
use crate::output;
use crate::settings;
use clap_complete::Shell;

/// Print a completion script for a shell.
#[derive(Debug, clap::Args)]
pub struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub(crate) fn call(&self) -> i32 {
        let program = settings::program();
        output::bytes(&completion::script(&self.shell.to_string(), env_vars::PYRO_COMPLETE, &program));
        exit::OK
    }
}
