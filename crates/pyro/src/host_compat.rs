//! What the host-compat mode needs besides its engine: the agent as an open file, and a scratch folder that is removed.
//! This mode gives no isolation; only an operator's flag may lead here.

use crate::config::Config;
use crate::run::RunError;
use crate::state;
use crate::state::Scratch;
use rustix::fs::MemfdFlags;
use std::fs::File;
use std::io;
use std::io::Write as _;
use std::sync::Arc;

/// The agent's executable as an open file without a name.
///
/// # Errors
/// The host refused memory for it.
pub(crate) fn agent_file() -> io::Result<Arc<File>> {
    let mut file = File::from(rustix::fs::memfd_create("pyro-agent", MemfdFlags::CLOEXEC)?);
    file.write_all(pyro_image::agent::AGENT)?;
    Ok(Arc::new(file))
}

/// A scratch folder with an empty `workspace` in it.
pub(crate) fn folder(config: &Config) -> Result<Scratch, RunError> {
    let scratch = state::scratch(config, "host")?;
    std::fs::create_dir(scratch.path().join("workspace")).map_err(RunError::HostCompat)?;
    Ok(scratch)
}
