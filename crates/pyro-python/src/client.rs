//! What `pyro_mcp` talks to: the operations with one configuration, by name. This file must not know any of them.

use crate::call::Call;
use crate::exec::Asked;
use crate::exec::Exec;
use crate::failure::Failure;
use crate::methods::METHODS;
use pyo3::prelude::*;
use pyro_mcp::operations::OperationError;
use pyro_mcp::operations::Operations;
use pyro_mcp::operations::Rules;
use pyro_mcp::operations::Silent;
use pyro_mcp::operations::table;
use pyro_mcp::wording::in_terms_of;
use serde_json::Value;
use std::path::PathBuf;

/// The operations with one configuration.
#[pyclass(frozen, module = "pyro_mcp._native")]
pub(crate) struct Client {
    operations: Operations,
}

#[pymethods]
impl Client {
    /// Takes the configuration from the environment, but for what is given. `program` runs workspaces.
    #[new]
    #[pyo3(signature = (program, *, engine = None, state_dir = None, cache_dir = None))]
    fn new(
        program: PathBuf,
        engine: Option<&str>,
        state_dir: Option<PathBuf>,
        cache_dir: Option<PathBuf>,
    ) -> PyResult<Self> {
        let mut config = pyro_cli::config_for("python", engine, program.clone()).map_err(Failure::from)?;
        config.state_dir = state_dir.unwrap_or(config.state_dir);
        config.cache_dir = cache_dir.unwrap_or(config.cache_dir);
        // Whoever can call this can do with the host as they please anyway.
        Ok(Self { operations: Operations::new(config, program, Rules::anything()) })
    }

    /// Carries an operation out; its result as JSON. A signal whose handler raises cancels it.
    fn call(&self, py: Python<'_>, name: String, arguments: &str) -> PyResult<String> {
        self.begin(name, arguments)?.wait(py)
    }

    /// Begins an operation.
    fn begin(&self, name: String, arguments: &str) -> PyResult<Call> {
        let arguments: Value = serde_json::from_str(arguments)
            .map_err(|error| Failure::usage(format!("the arguments of {name} are no JSON: {error}")))?;
        let operations = self.operations.clone();
        Call::begin(async move {
            let done = operations.call(&name, arguments, &Silent).await;
            done.map(|value| in_terms_of(METHODS, value).to_string()).map_err(Failure::from)
        })
    }

    /// Begins a command of a workspace whose output is read while it runs.
    fn exec(&self, workspace: String, asked: Asked) -> PyResult<Exec> {
        Exec::begin(self.operations.config().clone(), workspace, asked)
    }

    /// The operations that there are.
    #[staticmethod]
    fn names() -> Vec<&'static str> {
        table().iter().map(|operation| operation.name).collect()
    }
}

impl From<OperationError> for Failure {
    fn from(error: OperationError) -> Self {
        Self::new(error.code, error.message, error.hint.unwrap_or_default())
    }
}
