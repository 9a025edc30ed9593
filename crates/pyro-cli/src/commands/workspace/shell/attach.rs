//! `pyro workspace shell attach`, and the part of it that `pyro workspace exec -it` shares.

use super::super::block_on;
use super::super::find;
use super::Which;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use crate::terminal;
use crate::terminal::DetachKeys;
use pyro::workspace::Attached;
use pyro::workspace::Workspace;
use serde_json::Value;

/// Sit down at a shell's terminal: what is typed goes to it, what it prints comes back, byte for byte.
///
/// The last screen is shown first, and the shell's terminal takes the size of this one. Others may be attached at the same time. The
/// detach keys leave the shell as it is; so does the end of this program. Ends with 0 when it was left, and with the shell's
/// own exit code when it ended.
#[derive(Debug, clap::Args)]
pub struct Attach {
    #[command(flatten)]
    which: Which,

    /// Keys that leave the shell, with commas between them; none when empty.
    #[arg(long, value_name = "KEYS", default_value = terminal::DETACH_KEYS, value_parser = DetachKeys::parse)]
    detach_keys: DetachKeys,
}

impl Attach {
    pub(super) fn call(self, engine: &str) -> Result<i32, Failure> {
        terminal::required(exit::FAILED)?;
        let workspace = find(engine, &self.which.workspace, exit::FAILED)?;
        join(&workspace, &self.which.shell, self.detach_keys, false, exit::FAILED)
    }
}

/// Gives the terminal to a shell until either ends; what this program ends with.
pub(in crate::commands::workspace) fn join(
    workspace: &Workspace,
    shell: &str,
    keys: DetachKeys,
    owner: bool,
    failed: i32,
) -> Result<i32, Failure> {
    let attached = block_on(async {
        let (raw, at) = terminal::take(keys, failed)?;
        let attached = workspace.attach_shell(shell, at, owner).await;
        drop(raw);
        attached.map_err(|error| Failure::new(&error, code(&error, failed)))
    })??;
    Ok(match attached {
        Attached::Detached => {
            output::error_line(&format!(
                "[workspace-shell-attach] shell_id={shell} detached=true; it goes on: pyro workspace shell attach {} {shell}",
                workspace.id()
            ));
            exit::OK
        }
        Attached::Ended(record) => {
            let code = record["exit_code"].as_i64().and_then(|code| i32::try_from(code).ok());
            output::error_line(&format!(
                "[workspace-shell-attach] shell_id={shell} state=stopped exit_code={}",
                code.map_or(Value::Null, Value::from)
            ));
            code.unwrap_or(failed)
        }
    })
}

/// A signal ends this program as it ends others.
fn code(error: &pyro::workspace::WorkspaceError, failed: i32) -> i32 {
    match error {
        pyro::workspace::WorkspaceError::Interrupted { signal } => 128 + signal,
        _ => failed,
    }
}
