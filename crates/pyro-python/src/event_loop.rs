//! The one event loop of this process, on a thread of its own that lives as long as the process: guests die with the thread
//! that started them. This file must not know what runs on it.

use crate::failure::Failure;
use pyo3::PyResult;
use std::future::pending;
use std::process;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;
use tokio::runtime::Builder;
use tokio::runtime::Handle;

/// The loop, and the process it was made in: a fork has no threads but the one that forked.
static CURRENT: Mutex<Option<(u32, Handle)>> = Mutex::new(None);

/// This process's event loop, started if need be. To be called with the interpreter held, as a fork is: so nobody forks while
/// the lock is taken.
pub(crate) fn handle() -> PyResult<Handle> {
    let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((process, handle)) = &*current
        && *process == process::id()
    {
        return Ok(handle.clone());
    }
    let handle = start().map_err(|error| Failure::host(format!("starting the event loop: {error}")))?;
    *current = Some((process::id(), handle.clone()));
    Ok(handle)
}

fn start() -> std::io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    thread::Builder::new().name("pyro".to_owned()).spawn(move || runtime.block_on(pending::<()>()))?;
    Ok(handle)
}
