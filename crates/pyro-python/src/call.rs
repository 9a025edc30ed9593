//! An operation under way, and its result. This file must not know which operation it is.

use crate::event::Event;
use crate::event_loop;
use crate::failure::Failure;
use pyo3::prelude::*;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use tokio::task::AbortHandle;

/// An operation under way. Forgetting it cancels it.
#[pyclass(frozen, module = "pyro_mcp._native")]
pub(crate) struct Call {
    outcome: Arc<Outcome>,
    task: AbortHandle,
}

/// What becomes of it.
#[derive(Debug)]
struct Outcome {
    done: Event,
    result: Mutex<Option<Result<String, Failure>>>,
}

/// Says that it is over when it goes, so that whoever waits is told of a cancelled or broken operation too.
struct Teller(Arc<Outcome>);

impl Drop for Teller {
    fn drop(&mut self) {
        self.0.done.set();
    }
}

impl Call {
    /// Begins it on the event loop.
    pub(crate) fn begin(
        work: impl Future<Output = Result<String, Failure>> + Send + 'static,
    ) -> PyResult<Self> {
        let outcome = Arc::new(Outcome { done: Event::new()?, result: Mutex::new(None) });
        let teller = Teller(Arc::clone(&outcome));
        let task = event_loop::handle()?.spawn(async move {
            let result = work.await;
            *teller.0.result.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        });
        Ok(Self { outcome, task: task.abort_handle() })
    }
}

#[pymethods]
impl Call {
    /// Readable once it is over.
    fn fileno(&self) -> RawFd {
        self.outcome.done.fileno()
    }

    /// Waits until it is over; its result as JSON. A signal whose handler raises cancels it.
    pub(crate) fn wait(&self, py: Python<'_>) -> PyResult<String> {
        let waited = self.outcome.done.wait(py);
        if waited.is_err() {
            self.task.abort();
        }
        waited.and_then(|()| self.result())
    }

    /// The result of one that is over, as JSON; the first time only.
    fn result(&self) -> PyResult<String> {
        let result = self.outcome.result.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(result.unwrap_or_else(|| Err(Failure::lost()))?)
    }

    /// Gives it up, with whatever it runs in a guest.
    fn cancel(&self) {
        self.task.abort();
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.task.abort();
    }
}
