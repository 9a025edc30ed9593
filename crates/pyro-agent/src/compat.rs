//! The host-compat mode: the same agent as an ordinary process on the host, with a socket for a channel. Nothing is
//! isolated and nothing on the host is changed but by the commands themselves. This file must not pretend otherwise.

use crate::agent::AgentError;
use crate::agent::serve;
use crate::place::Place;
use rustix::io::FdFlags;
use rustix::process::Resource;
use rustix::process::Signal;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Why the agent cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum CompatError {
    /// The process could not be set up.
    #[error("setting up the agent")]
    Setup(#[source] io::Error),
    /// The agent failed.
    #[error("serving the host")]
    Agent(#[source] AgentError),
}

/// Serves until the channel is closed; then every command is killed.
///
/// # Errors
/// [`CompatError`].
pub fn run(folder: &Path, channel: OwnedFd) -> Result<(), CompatError> {
    let place = Place::host(folder).map_err(CompatError::Setup)?;
    set_up(&channel).map_err(|errno| CompatError::Setup(errno.into()))?;
    serve(channel, place).map(drop).map_err(CompatError::Agent)
}

/// The descriptor with this number that the process was started with. To be called first, and once.
pub fn inherited(number: i32) -> Option<OwnedFd> {
    crate::sys::fd::inherited(number)
}

fn set_up(channel: &OwnedFd) -> Result<(), rustix::io::Errno> {
    rustix::io::fcntl_setfd(channel, FdFlags::CLOEXEC)?;
    // A host that is killed takes its agent along, and each job's monitor notices the agent's end.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    rustix::process::setrlimit(Resource::Nofile, limit)
}
