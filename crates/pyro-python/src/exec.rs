//! A command of a workspace whose output is read while it runs. This file must not know how its lines are made, nor keep what
//! was read.

use crate::event_loop;
use crate::failure::Failure;
use crate::output::Found;
use crate::output::Output;
use crate::output::Writer;
use pyo3::exceptions::PyBlockingIOError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use pyro::Command;
use pyro::Config;
use pyro::limits::TimeoutSeconds;
use pyro::run::RunIo;
use pyro::secret::SecretName;
use pyro::workspace::Excerpt;
use pyro::workspace::ExecReport;
use pyro::workspace::ExecSpec;
use pyro::workspace::Workspace;
use pyro::workspace::WorkspaceError;
use pyro::workspace::Workspaces;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Cursor;
use std::os::fd::RawFd;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// A command under way. Forgetting it ends the command.
#[pyclass(frozen, module = "pyro_mcp._native")]
pub(crate) struct Exec {
    output: Arc<Output>,
    task: AbortHandle,
}

/// What Python says of a command.
#[derive(Debug, FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Asked {
    /// One word for the shell, or a program and its arguments.
    command: Vec<OsString>,
    /// Whether a single word is the shell's.
    shell: bool,
    timeout_seconds: Option<u64>,
    env: BTreeMap<OsString, OsString>,
    cwd: Option<OsString>,
    user: Option<String>,
    input: Option<Vec<u8>>,
    secret_env: BTreeMap<String, String>,
}

impl Asked {
    fn into_parts(self) -> Result<(ExecSpec, Vec<u8>), Failure> {
        let no_command = |error: pyro::command::NoCommand| Failure::usage(error.to_string());
        let command = if self.shell {
            Command::from_words(self.command).map_err(no_command)?
        } else if self.command.first().is_none_or(|program| program.is_empty()) {
            return Err(no_command(pyro::command::NoCommand));
        } else {
            Command::Argv(self.command)
        };
        let timeout = self.timeout_seconds.map(TimeoutSeconds::new).transpose();
        let secret = |(name, variable): (String, String)| Ok((name.parse::<SecretName>()?, variable));
        let secret_env = self.secret_env.into_iter().map(secret).collect::<Result<Vec<_>, _>>();
        let spec = ExecSpec {
            command,
            timeout: timeout
                .map_err(|error| Failure::new(pyro::code::LIMIT_EXCEEDED, error.to_string(), ""))?,
            env: self.env.into_iter().collect(),
            cwd: self.cwd,
            user: self.user,
            stdin: self.input.is_some(),
            secret_env: secret_env.map_err(|error: pyro::secret::SecretNameError| {
                Failure::new(pyro::code::NAME_INVALID, error.to_string(), "")
            })?,
        };
        Ok((spec, self.input.unwrap_or_default()))
    }
}

/// Says how it ended when it goes, if nobody has: a cancelled or broken command has an end too.
struct Teller(Arc<Output>);

impl Drop for Teller {
    fn drop(&mut self) {
        self.0.finish(Err(Failure::lost()));
    }
}

impl Exec {
    /// Begins it on the event loop.
    pub(crate) fn begin(config: Config, workspace: String, asked: Asked) -> PyResult<Self> {
        let (spec, input) = asked.into_parts()?;
        let output = Output::new()?;
        let teller = Teller(Arc::clone(&output));
        let task = event_loop::handle()?.spawn(async move {
            let end = run(&config, &workspace, spec, input, &teller.0).await;
            teller.0.finish(end);
        });
        Ok(Self { output, task: task.abort_handle() })
    }
}

#[pymethods]
impl Exec {
    /// Readable while there is something to read, the end included.
    fn fileno(&self) -> RawFd {
        self.output.readable.fileno()
    }

    /// The next bytes and where they came from, waiting for them; nothing at the end.
    fn read<'py>(&self, py: Python<'py>) -> PyResult<Option<(&'static str, Bound<'py, PyBytes>)>> {
        loop {
            match self.output.take() {
                Found::Chunk(source, bytes) => return Ok(Some((source, PyBytes::new(py, &bytes)))),
                Found::End => return Ok(None),
                Found::Nothing => self.output.readable.wait(py)?,
            }
        }
    }

    /// The same without waiting: `BlockingIOError` when there is nothing yet.
    fn try_read<'py>(&self, py: Python<'py>) -> PyResult<Option<(&'static str, Bound<'py, PyBytes>)>> {
        match self.output.take() {
            Found::Chunk(source, bytes) => Ok(Some((source, PyBytes::new(py, &bytes)))),
            Found::End => Ok(None),
            Found::Nothing => Err(PyBlockingIOError::new_err("nothing has been printed yet")),
        }
    }

    /// How the command ended, as JSON, once all has been read.
    fn result(&self) -> PyResult<String> {
        Ok(self.output.end().unwrap_or_else(|| Err(Failure::usage("the command has not ended yet")))?)
    }

    /// Ends the command with everything it started, if it still runs.
    fn close(&self) {
        self.output.leave();
        self.task.abort();
    }
}

impl Drop for Exec {
    fn drop(&mut self) {
        self.close();
    }
}

async fn run(
    config: &Config,
    workspace: &str,
    spec: ExecSpec,
    input: Vec<u8>,
    output: &Arc<Output>,
) -> Result<String, Failure> {
    let all = Workspaces::open(config).map_err(|error| Failure::of(&error))?;
    let workspace = all.find(workspace).map_err(|error| Failure::of(&error))?;
    let command = spec.command.display();
    let report = workspace.exec(spec, io(input, output)).await;
    let report = report.map_err(|error: WorkspaceError| Failure::of(&error))?;
    described(&workspace, &command, &report)
}

fn io(input: Vec<u8>, output: &Arc<Output>) -> RunIo {
    let writer = |source| Box::new(Writer { source, output: Arc::clone(output) });
    RunIo {
        stdin: Box::new(Cursor::new(input)),
        stdout: writer("stdout"),
        stderr: writer("stderr"),
        interrupts: mpsc::channel(1).1,
        sizes: mpsc::channel(1).1,
    }
}

/// A command that never ran is a failure; any other end is a result, whose output has been read by then.
fn described(workspace: &Workspace, command: &str, report: &ExecReport) -> Result<String, Failure> {
    if let Some((code, text)) = &report.ended.error {
        let message = format!("command {} of the workspace {}: {text}", report.sequence, workspace.id());
        return Err(Failure::new(code, message, "the workspace's status says how it is"));
    }
    let left_out = |total_bytes| Excerpt { bytes: Vec::new(), total_bytes };
    let (stdout, stderr) = (left_out(report.ended.stdout_bytes), left_out(report.ended.stderr_bytes));
    let document = workspace.describe_exec(command, report, &stdout, &stderr);
    document.map(|document| document.to_string()).map_err(|error| Failure::of(&error))
}
