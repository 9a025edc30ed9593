//! `pyro workspace secret`, and the flags by which secrets are given. A value is never printed.

use super::done;
use super::find;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use clap::Subcommand;
use pyro::secret::REDACTED_BYTES_MIN;
use pyro::secret::SecretName;
use pyro::secret::SecretValue;
use pyro::secret::SecretValueError;
use pyro::secret::VALUE_BYTES_MAX;
use pyro::workspace::NewSecret;
use pyro::workspace::SecretSource;
use serde_json::json;
use std::ffi::OsStr;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

/// Keep values that commands may use and nobody may see.
#[derive(Debug, Subcommand)]
pub enum Secret {
    /// Show which secrets a workspace has, without their values.
    List(List),
    /// Set secrets, in place of older values.
    Set(Set),
    /// Forget a secret.
    Remove(Remove),
}

/// Show which secrets a workspace has, without their values.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Workspace, by id or name.
    workspace: String,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Set secrets, in place of older values.
///
/// A command that runs sees the new value in /run/pyro-secrets/NAME at once; its variables stay as they were.
#[derive(Debug, clap::Args)]
pub struct Set {
    /// Workspace, by id or name.
    workspace: String,

    #[command(flatten)]
    given: Given,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Forget a secret.
#[derive(Debug, clap::Args)]
pub struct Remove {
    /// Workspace, by id or name.
    workspace: String,

    /// Which.
    #[arg(value_name = "SECRET", value_parser = super::parsed::<SecretName>)]
    name: SecretName,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Secrets as flags.
#[derive(Debug, clap::Args)]
pub(super) struct Given {
    /// Secret from a variable of this program's environment, of the same name unless VARIABLE is given; may be given several
    /// times.
    #[arg(long = "secret-from-env", value_name = "NAME[=VARIABLE]")]
    from_env: Vec<OsString>,

    /// Secret from a file; may be given several times.
    #[arg(long = "secret-file", value_name = "NAME=PATH")]
    from_file: Vec<OsString>,

    /// Secret from standard input, without a line break at its end.
    #[arg(long = "secret-stdin", value_name = "NAME", value_parser = super::parsed::<SecretName>)]
    from_stdin: Option<SecretName>,

    /// Secret as it is. Everybody on this host can read it in the list of processes: prefer another flag.
    #[arg(long = "secret", value_name = "NAME=VALUE")]
    literal: Vec<OsString>,
}

impl Secret {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        match self {
            Self::List(list) => list.call(engine),
            Self::Set(set) => set.call(engine),
            Self::Remove(remove) => remove.call(engine),
        }
    }
}

impl List {
    fn call(self, engine: &str) -> Result<i32, Failure> {
        let workspace = find(engine, &self.workspace, exit::FAILED)?;
        let secrets = done(workspace.secrets())?;
        if self.json {
            output::json(&workspace.describe_secrets(&secrets));
            return Ok(exit::OK);
        }
        for secret in secrets {
            let kind = json!(secret.source_kind);
            let available = if secret.available { "yes" } else { "no" };
            output::line(&format!(
                "{} source_kind={} available={available}",
                secret.name,
                kind.as_str().unwrap_or_default()
            ));
        }
        Ok(exit::OK)
    }
}

impl Set {
    fn call(self, engine: &str) -> Result<i32, Failure> {
        let secrets = self.given.secrets()?;
        if secrets.is_empty() {
            return Err(usage("no secret was given".to_owned(), "use --secret-from-env or another flag"));
        }
        let workspace = find(engine, &self.workspace, exit::FAILED)?;
        let names: Vec<String> = secrets.iter().map(|secret| secret.name.to_string()).collect();
        done(workspace.set_secrets(secrets))?;
        if self.json {
            output::json(&workspace.describe_secrets_set(&names));
        } else {
            output::line(&format!("[workspace-secret-set] secrets={}", names.join(",")));
        }
        Ok(exit::OK)
    }
}

impl Remove {
    fn call(self, engine: &str) -> Result<i32, Failure> {
        let workspace = find(engine, &self.workspace, exit::FAILED)?;
        done(workspace.remove_secret(&self.name))?;
        if self.json {
            output::json(&workspace.describe_secret_removed(&self.name));
        } else {
            output::line(&format!("Removed workspace secret: {}", self.name));
        }
        Ok(exit::OK)
    }
}

impl Given {
    /// Reads the values. What is unwise is said, and what is wrong is refused before anything is made.
    pub(super) fn secrets(self) -> Result<Vec<NewSecret>, Failure> {
        let mut secrets = Vec::new();
        for given in self.from_env {
            secrets.push(from_env(given)?);
        }
        for given in self.from_file {
            secrets.push(from_file(given)?);
        }
        for given in self.literal {
            output::error_line(
                "[warning] --secret shows its value to everybody who lists processes; use --secret-from-env",
            );
            let (name, value) = pair(given)?;
            let name = named(&name)?;
            let value = valued(&name, SecretValue::from_bytes(value.into_vec()))?;
            secrets.push(NewSecret { name, source: SecretSource::Literal, value });
        }
        if let Some(name) = self.from_stdin {
            let mut bytes = read(std::io::stdin().lock(), &name, "standard input")?;
            if bytes.last() == Some(&b'\n') {
                bytes.pop();
            }
            let value = valued(&name, SecretValue::from_bytes(bytes))?;
            secrets.push(NewSecret { name, source: SecretSource::Stdin, value });
        }
        for (at, secret) in secrets.iter().enumerate() {
            if secrets[..at].iter().any(|other| other.name == secret.name) {
                return Err(usage(format!("the secret {} is given twice", secret.name), "give it once"));
            }
            if !secret.value.is_redacted() {
                output::error_line(&format!(
                    "[warning] the secret {} is shorter than {REDACTED_BYTES_MIN} bytes, and is not taken out of what the guest says",
                    secret.name
                ));
            }
        }
        Ok(secrets)
    }
}

fn from_env(given: OsString) -> Result<NewSecret, Failure> {
    let (name, variable) = pair(given.clone()).unwrap_or_else(|_| (given.clone(), given));
    let name = named(&name)?;
    let value = std::env::var_os(&variable).ok_or_else(|| {
        let message = format!("the secret {name}: there is no variable {}", variable.to_string_lossy());
        usage(message, "set it in the environment of this program")
    })?;
    let value = valued(&name, SecretValue::from_bytes(value.into_vec()))?;
    Ok(NewSecret { name, source: SecretSource::Environment, value })
}

fn from_file(given: OsString) -> Result<NewSecret, Failure> {
    let (name, path) = pair(given)?;
    let (name, path) = (named(&name)?, PathBuf::from(path));
    let shown = path.display().to_string();
    let file = File::open(&path).map_err(|error| {
        let message = format!("the secret {name}: opening {shown}: {error}");
        Failure::plain("source_unreadable", message, "name a file that you can read", exit::FAILED)
    })?;
    let bytes = read(file, &name, &shown)?;
    let value = valued(&name, SecretValue::from_bytes(bytes))?;
    Ok(NewSecret { name, source: SecretSource::File, value })
}

fn read(from: impl Read, name: &SecretName, shown: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    // One byte more than there may be tells that there are too many.
    let read = from.take(VALUE_BYTES_MAX as u64 + 2).read_to_end(&mut bytes);
    read.map_err(|error| {
        let message = format!("the secret {name}: reading {shown}: {error}");
        Failure::plain("source_unreadable", message, "name something that can be read", exit::FAILED)
    })?;
    Ok(bytes)
}

/// `NAME=REST`, none of which is said when it is not.
fn pair(given: OsString) -> Result<(OsString, OsString), Failure> {
    let bytes = given.into_vec();
    let Some(at) = bytes.iter().position(|byte| *byte == b'=') else {
        return Err(usage("a secret is given without '='".to_owned(), "write NAME=VALUE or NAME=PATH"));
    };
    let (name, rest) = bytes.split_at(at);
    Ok((OsString::from_vec(name.to_vec()), OsString::from_vec(rest[1..].to_vec())))
}

fn named(name: &OsStr) -> Result<SecretName, Failure> {
    let name = name.to_string_lossy().parse::<SecretName>();
    name.map_err(|error| usage(error.to_string(), "choose another name"))
}

fn valued(name: &SecretName, value: Result<SecretValue, SecretValueError>) -> Result<SecretValue, Failure> {
    value.map_err(|error| {
        usage(format!("the value of the secret {name} {error}"), "a secret is a text of up to 64 KiB")
    })
}

fn usage(message: String, hint: &str) -> Failure {
    Failure::plain("usage", message, hint, exit::USAGE)
}

/// `SECRET[=VARIABLE]`, of a command that gets a secret as a variable.
pub(in crate::commands) fn secret_env(text: &str) -> Result<(SecretName, String), String> {
    let (name, variable) = text.split_once('=').unwrap_or((text, text));
    let name = name.parse::<SecretName>().map_err(|error| error.to_string())?;
    // A variable's name follows the same rule.
    variable.parse::<SecretName>().map_err(|_| format!("'{variable}' is no name for a variable"))?;
    Ok((name, variable.to_owned()))
}
