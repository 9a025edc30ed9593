//! `pyro workspace shell open`.

use super::super::done;
use super::super::find;
use super::super::secret::secret_env;
use super::show;
use super::size;
use crate::commands::run;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use pyro::secret::SecretName;
use pyro::workspace::ShellSpec;
use std::ffi::OsString;

/// Open a shell: `bash --noprofile --norc -i`, or `sh` where there is none, with the prompt `pyro$ `.
#[derive(Debug, clap::Args)]
pub struct Open {
    /// Workspace, by id or name.
    workspace: String,

    /// Working directory in the guest [default: /workspace].
    #[arg(long, value_name = "DIR")]
    cwd: Option<OsString>,

    /// Columns of its terminal.
    #[arg(long, value_name = "N", default_value = "120")]
    cols: u64,

    /// Rows of its terminal.
    #[arg(long, value_name = "N", default_value = "30")]
    rows: u64,

    /// Give the shell a secret of the workspace as a variable, named like the secret unless VARIABLE is given; may be given
    /// several times.
    #[arg(long = "secret-env", value_name = "SECRET[=VARIABLE]", value_parser = secret_env)]
    secret_env: Vec<(SecretName, String)>,

    /// Set an environment variable in the guest; may be given several times.
    #[arg(long = "env", short = 'e', value_name = "NAME=VALUE", value_parser = clap::builder::OsStringValueParser::new())]
    env: Vec<OsString>,

    /// User in the guest, by name or number, with an optional group: USER[:GROUP] [default: root].
    #[arg(long, short = 'u', value_name = "USER")]
    user: Option<String>,

    /// Print nothing but the shell's id.
    #[arg(long, conflicts_with = "json")]
    id_only: bool,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Open {
    pub(super) fn call(self, engine: &str) -> Result<i32, Failure> {
        let size = size(self.cols, self.rows)?;
        let env = run::variables(self.env)?;
        let workspace = find(engine, &self.workspace, exit::FAILED)?;
        let spec = ShellSpec {
            command: None,
            cwd: self.cwd,
            env,
            user: self.user,
            size,
            secret_env: self.secret_env,
        };
        let record = done(workspace.open_shell(spec))?;
        if self.id_only {
            output::line(record["shell_id"].as_str().unwrap_or_default());
        } else {
            show(
                self.json,
                "open",
                record,
                &[],
                &["shell_id", "state", "cwd", "cols", "rows", "execution_mode"],
            );
        }
        Ok(exit::OK)
    }
}
