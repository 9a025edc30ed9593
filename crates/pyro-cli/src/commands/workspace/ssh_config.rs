//! `pyro workspace ssh-config`.

use super::failed;
use super::find;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use crate::settings;
use pyro_ssh::Entry;
use pyro_ssh::Keys;

/// Print an entry of OpenSSH's configuration for a workspace.
#[derive(Debug, clap::Args)]
pub struct SshConfig {
    /// Workspace, by id or name.
    workspace: String,
}

impl SshConfig {
    pub(crate) fn call(&self, engine: &str) -> Result<i32, Failure> {
        let workspace = find(engine, &self.workspace, exit::FAILED)?;
        let keys = Keys::of(&workspace).map_err(|error| failed(&error))?;
        let name = workspace.document().ok().and_then(|document| document.name);
        let names = name.map(|name| name.to_string()).into_iter().chain([workspace.id().to_string()]);
        let words = ["workspace", "connect", workspace.id().as_str()].map(Into::into);
        let entry = Entry {
            names: names.collect(),
            keys: &keys,
            env: settings::folders_given(),
            command: [settings::program().into()].into_iter().chain(words).collect(),
        };
        output::line(entry.to_string().trim_end());
        Ok(exit::OK)
    }
}
