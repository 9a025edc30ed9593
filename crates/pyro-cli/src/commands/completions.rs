//! `pyro completions`.

use crate::exit;
use crate::output;
use clap_complete::Shell;

/// Print a completion script for a shell.
#[derive(Debug, clap::Args)]
pub struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub(crate) fn call(&self) -> i32 {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut crate::command(), "pyro", &mut script);
        output::bytes(&script);
        exit::OK
    }
}
