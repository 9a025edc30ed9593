//! How a failure reaches Python: as one exception with a code, a text and a hint, of which `pyro_mcp` makes its own kinds.

use crate::methods::METHODS;
use pyo3::PyErr;
use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyro::Coded;
use pyro::code;
use pyro_cli::SettingsError;
use pyro_mcp::wording::reworded;

create_exception!(
    pyro_mcp._native,
    OperationError,
    PyException,
    "A failure: its code, its text and its hint."
);

/// A failure on its way to Python.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    code: String,
    message: String,
    hint: String,
}

impl Failure {
    /// Its hint names methods, whoever's terms it was in.
    pub(crate) fn new(code: impl Into<String>, message: impl Into<String>, hint: impl AsRef<str>) -> Self {
        let hint = reworded(METHODS, hint.as_ref());
        Self { code: code.into(), message: message.into(), hint }
    }

    /// Arguments that cannot be.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(code::USAGE, message, "see the documentation of the method")
    }

    /// The host refused something ordinary.
    pub(crate) fn host(message: impl Into<String>) -> Self {
        Self::new(code::HOST_FAILED, message, "try again")
    }

    /// The work ended without a result: it was cancelled, or broke an invariant.
    pub(crate) fn lost() -> Self {
        Self::new(code::INTERRUPTED, "the call was cancelled", "")
    }

    /// An error of the library.
    pub(crate) fn of(error: &dyn Coded) -> Self {
        Self::new(error.code(), code::chain(error), error.hints().join("; "))
    }
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Self {
        Self::new(error.code, error.message, error.hint)
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        OperationError::new_err((failure.code, failure.message, failure.hint))
    }
}
