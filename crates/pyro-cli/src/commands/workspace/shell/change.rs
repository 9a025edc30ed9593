//! `pyro workspace shell list`, `signal`, `resize` and `close`.

use super::super::done;
use super::super::find;
use super::super::render::text;
use super::Which;
use super::show;
use super::size;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use pyro::signal;

/// List the shells of a workspace, those that run and the last that have ended.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Workspace, by id or name.
    workspace: String,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Send a signal to the foreground job of a shell: INT interrupts what runs in it, and the shell goes on.
#[derive(Debug, clap::Args)]
pub struct Signal {
    #[command(flatten)]
    which: Which,

    /// Signal, by name or number.
    #[arg(long, short = 's', value_name = "SIGNAL", default_value = "INT", value_parser = signal::number)]
    signal: i32,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Change the size of a shell's terminal; its programs are told.
#[derive(Debug, clap::Args)]
pub struct Resize {
    #[command(flatten)]
    which: Which,

    /// Columns.
    #[arg(long, value_name = "N")]
    cols: u64,

    /// Rows.
    #[arg(long, value_name = "N")]
    rows: u64,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// End a shell with everything it has started, and wait for that. What it printed can still be read.
#[derive(Debug, clap::Args)]
pub struct Close {
    #[command(flatten)]
    which: Which,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) fn call(self, engine: &str) -> Result<i32, Failure> {
        let workspace = find(engine, &self.workspace, exit::FAILED)?;
        let shells = done(workspace.list_shells())?;
        if self.json {
            output::json(&workspace.describe_shells(&shells));
            return Ok(exit::OK);
        }
        if shells.is_empty() {
            output::line("No shells.");
        }
        for shell in &shells {
            let text = |name| text(shell, name);
            output::line(&format!(
                "[workspace-shell] shell_id={} state={} exit_code={} attached={} cols={} rows={} output_bytes={} cwd={} $ {}",
                text("shell_id"),
                text("state"),
                text("exit_code"),
                text("attached"),
                text("cols"),
                text("rows"),
                text("output_bytes"),
                text("cwd"),
                text("command")
            ));
        }
        Ok(exit::OK)
    }
}

impl Signal {
    pub(super) fn call(self, engine: &str) -> Result<i32, Failure> {
        let workspace = find(engine, &self.which.workspace, exit::FAILED)?;
        let record = done(workspace.signal_shell(&self.which.shell, self.signal))?;
        let signal = signal::name(self.signal);
        show(self.json, "signal", record, &[("signal", signal.into())], &["shell_id", "state", "signal"]);
        Ok(exit::OK)
    }
}

impl Resize {
    pub(super) fn call(self, engine: &str) -> Result<i32, Failure> {
        let size = size(self.cols, self.rows)?;
        let workspace = find(engine, &self.which.workspace, exit::FAILED)?;
        let record = done(workspace.resize_shell(&self.which.shell, size))?;
        show(self.json, "resize", record, &[], &["shell_id", "state", "cols", "rows"]);
        Ok(exit::OK)
    }
}

impl Close {
    pub(super) fn call(self, engine: &str) -> Result<i32, Failure> {
        let workspace = find(engine, &self.which.workspace, exit::FAILED)?;
        let record = done(workspace.close_shell(&self.which.shell))?;
        show(
            self.json,
            "close",
            record,
            &[("closed", true.into())],
            &["shell_id", "state", "exit_code", "closed"],
        );
        Ok(exit::OK)
    }
}
