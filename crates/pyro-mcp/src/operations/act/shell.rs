//! Shells: programs on a terminal that go on between calls.

use super::fields;
use super::job::signal;
use crate::operations::action::Action;
use crate::operations::action::Context;
use crate::operations::action::Outcome;
use crate::operations::error::OperationError;
use crate::operations::given;
use crate::operations::given::default;
use crate::operations::table::Hints;
use crate::operations::table::Operation;
use pyro::code;
use pyro::terminal::TerminalSize;
use pyro::workspace::CHARS_MAX;
use pyro::workspace::IDLE_MS_MAX;
use pyro::workspace::ShellReadSpec;
use pyro::workspace::ShellSpec;
use pyro::workspace::ShellWait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) fn all() -> Vec<Operation> {
    vec![
        Operation::of::<Open>(),
        Operation::of::<Read>(),
        Operation::of::<Write>(),
        Operation::of::<Signal>(),
        Operation::of::<Close>(),
        Operation::of::<List>(),
        Operation::of::<Resize>(),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Open {
    /// Workspace, by id or name.
    workspace_id: String,
    /// Working directory in the guest.
    #[serde(default = "default::workspace")]
    cwd: String,
    /// Columns of its terminal.
    #[serde(default = "default::cols")]
    cols: u64,
    /// Rows of its terminal.
    #[serde(default = "default::rows")]
    rows: u64,
    /// Secrets that it gets as variables: {"SECRET": "VARIABLE"}.
    #[serde(default)]
    secret_env: Option<BTreeMap<String, String>>,
    /// Environment variables.
    #[serde(default)]
    env: Option<BTreeMap<String, String>>,
    /// User in the guest, USER[:GROUP]; root when absent.
    user: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Read {
    /// Workspace, by id or name.
    workspace_id: String,
    /// Shell, by its id.
    shell_id: String,
    /// First byte that is wanted: 0, or the next_cursor of the last read.
    #[serde(default)]
    cursor: u64,
    /// Most characters.
    #[serde(default = "default::max_chars")]
    max_chars: u64,
    /// Give it as a terminal shows it, without escape sequences.
    #[serde(default)]
    plain: bool,
    /// Wait first until nothing was printed for so many milliseconds, 1 to 10000.
    wait_for_idle_ms: Option<u64>,
    /// Wait first until this regular expression matches behind the cursor.
    wait_for: Option<String>,
    /// Seconds that may be waited.
    #[serde(default = "default::timeout_seconds")]
    timeout_seconds: u64,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Write {
    /// Workspace, by id or name.
    workspace_id: String,
    /// Shell, by its id.
    shell_id: String,
    /// What to type.
    input: String,
    /// Press Enter behind it.
    #[serde(default = "default::yes")]
    append_newline: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Signal {
    /// Workspace, by id or name.
    workspace_id: String,
    /// Shell, by its id.
    shell_id: String,
    /// Signal, by name or number: INT is Ctrl-C.
    #[serde(default = "default::int")]
    signal_name: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Close {
    /// Workspace, by id or name.
    workspace_id: String,
    /// Shell, by its id.
    shell_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct List {
    /// Workspace, by id or name.
    workspace_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Resize {
    /// Workspace, by id or name.
    workspace_id: String,
    /// Shell, by its id.
    shell_id: String,
    /// Columns.
    cols: u64,
    /// Rows.
    rows: u64,
}

impl Action for Open {
    const NAME: &'static str = "shell_open";
    const TITLE: &'static str = "Open a shell";
    const DESCRIPTION: &'static str = "Open an interactive shell on a terminal in a workspace: for programs that ask \
        questions, and state that must last, such as cd and variables. Then shell_write types, shell_read with \
        wait_for_idle_ms reads. For single commands workspace_exec is simpler.";
    const HINTS: Hints = Hints::ADDS;
    const OUTPUT: &'static [&'static str] = &[fields::SHELL];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let spec = ShellSpec {
            command: None,
            cwd: Some(self.cwd.into()),
            env: given::variables(self.env.unwrap_or_default())?,
            user: self.user,
            size: TerminalSize::new(self.cols, self.rows)?,
            secret_env: given::secret_env(self.secret_env)?,
        };
        Ok(with.find(&self.workspace_id)?.open_shell(spec).await?)
    }
}

impl Action for Read {
    const NAME: &'static str = "shell_read";
    const TITLE: &'static str = "Read from a shell";
    const DESCRIPTION: &'static str = "Read what a shell has printed from a cursor on; next_cursor is where to go on. Wait with \
        wait_for_idle_ms (for instance 300) or wait_for until a command is done. Example: {\"workspace_id\": \"fix\", \
        \"shell_id\": \"sh-1a2b3c4d\", \"cursor\": 512, \"plain\": true, \"wait_for_idle_ms\": 300}.";
    const HINTS: Hints = Hints::READS;
    const OUTPUT: &'static [&'static str] = &[
        fields::SHELL,
        "cursor:int next_cursor:int output:str plain:bool truncated:bool dropped_bytes:int remaining_bytes:int \
         matched:bool? match_cursor:int? timed_out:bool ~output_base64:str",
    ];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let seconds = with.operations.rules().wait_seconds(self.timeout_seconds)?;
        let bounds = [
            ("max_chars", Some(self.max_chars), CHARS_MAX as u64),
            ("wait_for_idle_ms", self.wait_for_idle_ms, IDLE_MS_MAX),
        ];
        for (what, given, most) in bounds {
            if given.is_some_and(|given| given == 0 || given > most) {
                let text = format!("{what} must be between 1 and {most}");
                return Err(OperationError::new(code::LIMIT_EXCEEDED, text).hint("name another number"));
            }
        }
        let waits = self.wait_for.is_some() || self.wait_for_idle_ms.is_some();
        let wait = waits.then(|| ShellWait {
            pattern: self.wait_for,
            idle_ms: self.wait_for_idle_ms,
            timeout: Duration::from_secs(seconds),
        });
        let max_chars = usize::try_from(self.max_chars).unwrap_or(CHARS_MAX);
        let spec = ShellReadSpec { cursor: self.cursor, max_chars, wait };
        let read = with.find(&self.workspace_id)?.read_shell(&self.shell_id, spec).await?;
        Ok(read.document(self.plain))
    }
}

impl Action for Write {
    const NAME: &'static str = "shell_write";
    const TITLE: &'static str = "Type into a shell";
    const DESCRIPTION: &'static str = "Type a text into a shell, and press Enter unless append_newline is false. It does not \
        wait for what the shell makes of it: shell_read does.";
    const HINTS: Hints = Hints::DESTROYS;
    const OUTPUT: &'static [&'static str] = &[fields::SHELL, "input_length:int append_newline:bool"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let length = self.input.len();
        let mut input = self.input.into_bytes();
        if self.append_newline {
            input.push(b'\n');
        }
        let record = with.find(&self.workspace_id)?.write_shell(&self.shell_id, &input).await?;
        let added = [("input_length", json!(length)), ("append_newline", json!(self.append_newline))];
        Ok(with_fields(record, added))
    }
}

impl Action for Signal {
    const NAME: &'static str = "shell_signal";
    const TITLE: &'static str = "Signal a shell";
    const DESCRIPTION: &'static str = "Send a signal to what runs in the foreground of a shell; INT interrupts it, and the \
        shell goes on.";
    const HINTS: Hints = Hints::DESTROYS;
    const OUTPUT: &'static [&'static str] = &[fields::SHELL, "signal:str"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let signal = signal(&self.signal_name)?;
        let record = with.find(&self.workspace_id)?.signal_shell(&self.shell_id, signal).await?;
        Ok(with_fields(record, [("signal", json!(pyro::signal::name(signal)))]))
    }
}

impl Action for Close {
    const NAME: &'static str = "shell_close";
    const TITLE: &'static str = "Close a shell";
    const DESCRIPTION: &'static str =
        "End a shell with everything it has started. What it printed can still be read.";
    const HINTS: Hints = Hints::DESTROYS;
    const OUTPUT: &'static [&'static str] = &[fields::SHELL, "closed:bool"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let record = with.find(&self.workspace_id)?.close_shell(&self.shell_id).await?;
        Ok(with_fields(record, [("closed", json!(true))]))
    }
}

impl Action for List {
    const NAME: &'static str = "shell_list";
    const TITLE: &'static str = "List shells";
    const DESCRIPTION: &'static str =
        "List the shells of a workspace, those that run and the last that have ended.";
    const HINTS: Hints = Hints::READS;
    const OUTPUT: &'static [&'static str] = &["workspace_id:str count:int running_count:int shells:list"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let workspace = with.find(&self.workspace_id)?;
        let shells = workspace.list_shells().await?;
        Ok(workspace.describe_shells(&shells))
    }
}

impl Action for Resize {
    const NAME: &'static str = "shell_resize";
    const TITLE: &'static str = "Resize a shell";
    const DESCRIPTION: &'static str = "Change the size of a shell's terminal; its programs are told.";
    const HINTS: Hints = Hints::SETS;
    const OUTPUT: &'static [&'static str] = &[fields::SHELL];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let size = TerminalSize::new(self.cols, self.rows)?;
        Ok(with.find(&self.workspace_id)?.resize_shell(&self.shell_id, size).await?)
    }
}

/// A record with what an operation adds to it.
fn with_fields<const N: usize>(mut record: Value, added: [(&str, Value); N]) -> Value {
    for (name, value) in added {
        record[name] = value;
    }
    record
}
