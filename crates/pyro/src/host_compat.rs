//! What the host-compat mode needs besides its engine: the agent as an open file, and a scratch folder that is removed.
//! This mode gives no isolation; only an operator's flag may lead here.

use crate::config::Config;
use crate::identity::GuestId;
use crate::run::RunError;
use crate::state;
use rustix::fs::MemfdFlags;
use std::fs::File;
use std::io;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
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

/// A scratch folder, removed with everything in it when this is dropped.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Makes it, with an empty `workspace` in it.
    pub(crate) fn make(config: &Config, id: &GuestId) -> Result<Self, RunError> {
        let path = state::scratch_dir(config)?.join(format!("host-{id}"));
        std::fs::create_dir_all(path.join("workspace")).map_err(RunError::HostCompat)?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing can be done about a folder that will not go; the next garbage collection tries again.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
