//! `pyro_mcp._native`: what the Python package does in this process. Arguments and results pass through as JSON; what they
//! mean is `pyro_mcp`'s business on one side and `pyro-mcp`'s on the other. This crate must not decide anything that another
//! surface would have to decide again, and never holds the interpreter while it waits.

mod call;
mod client;
mod event;
mod event_loop;
mod exec;
mod failure;
mod methods;
mod output;

/// Operations, streams and events for `pyro_mcp`. Not for use by itself.
#[pyo3::pymodule]
mod _native {
    #[pymodule_export]
    use crate::call::Call;
    #[pymodule_export]
    use crate::client::Client;
    #[pymodule_export]
    use crate::exec::Exec;
    #[pymodule_export]
    use crate::failure::OperationError;
    use pyo3::prelude::*;

    /// The text with methods in the place of commands, as hints have them.
    #[pyfunction]
    fn in_terms_of_methods(text: &str) -> String {
        pyro_mcp::wording::reworded(crate::methods::METHODS, text)
    }

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
