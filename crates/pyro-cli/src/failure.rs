//! How a failure is shown: one line that names the thing, its stable code, and what to do. JSON on stdout for programs,
//! text on stderr for people.

use crate::exit;
use crate::output;
use crate::settings::SettingsError;
use clap::error::ContextKind;
use clap::error::ContextValue;
use clap::error::ErrorKind;
use pyro::Coded;
use pyro::code;
use pyro::code::chain;
use serde_json::Value;
use serde_json::json;
use std::ffi::OsString;
use std::process::ExitCode;

/// A failure on its way out.
#[derive(Debug)]
pub(crate) struct Failure {
    code: String,
    message: String,
    hints: Vec<String>,
    exit_code: i32,
    quiet: bool,
}

impl Failure {
    /// Any library error, ending the program with `exit_code`.
    pub(crate) fn new(error: &dyn Coded, exit_code: i32) -> Self {
        Self {
            code: error.code().to_owned(),
            message: chain(error),
            hints: error.hints(),
            exit_code,
            quiet: false,
        }
    }

    /// A wrong command line.
    pub(crate) fn usage(error: &clap::Error) -> Self {
        if !error.use_stderr() {
            // Help and version are answers, not failures.
            let _ = error.print();
            return Self {
                code: String::new(),
                message: String::new(),
                hints: vec![],
                exit_code: exit::OK,
                quiet: true,
            };
        }
        let text = error.to_string();
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let message = lines.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let mut hints: Vec<String> = lines.map(|line| line.trim_start_matches("tip: ").to_owned()).collect();
        hints.splice(0..0, command_hint(error));
        Self { code: code::USAGE.to_owned(), message, hints, exit_code: exit::USAGE, quiet: false }
    }

    /// A failure that has a code of its own and no error behind it.
    pub(crate) fn plain(
        code: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
        exit_code: i32,
    ) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            hints: vec![hint.into()],
            exit_code,
            quiet: false,
        }
    }

    /// There is no event loop to run anything in.
    pub(crate) fn event_loop(exit_code: i32) -> impl FnOnce(std::io::Error) -> Self {
        move |error| {
            let message = format!("starting the event loop: {error}");
            Self::plain(code::HOST_FAILED, message, "try again", exit_code)
        }
    }

    /// Says nothing: whoever reads the output has gone, or was the one who interrupted.
    pub(crate) const fn quietly(mut self, quiet: bool) -> Self {
        self.quiet = quiet;
        self
    }

    /// For a surface that has no command line.
    pub(crate) fn into_settings(self) -> SettingsError {
        SettingsError { code: self.code, message: self.message, hint: self.hints.join("; ") }
    }

    /// What `--json` prints of it.
    pub(crate) fn document(&self) -> Value {
        let hint = self.hints.join("; ");
        json!({"ok": false, "error": self.message, "code": self.code, "hint": hint})
    }

    /// Shows it.
    pub(crate) fn report(self, json: bool) -> ExitCode {
        if self.quiet {
            return exit::code(self.exit_code);
        }
        if json {
            output::json(&self.document());
        } else {
            output::error_line(&format!("[error] {} ({})", self.message, self.code));
            for hint in &self.hints {
                output::error_line(&format!("hint: {hint}"));
            }
        }
        exit::code(self.exit_code)
    }
}

/// What to do about a command for the guest that was typed without the dashes before it.
fn command_hint(error: &clap::Error) -> Option<String> {
    let takes_command = error.get(ContextKind::Usage)?.to_string().contains("-- <COMMAND>");
    let ContextValue::String(word) = error.get(ContextKind::InvalidArg)? else { return None };
    let forgotten = error.kind() == ErrorKind::UnknownArgument && takes_command && !word.starts_with('-');
    forgotten.then(|| format!("The guest's command follows two dashes: -- {word:?}"))
}

/// Whether the command line asks for JSON, even one that cannot be parsed. Words after `--` are the guest's.
pub(crate) fn wants_json(args: &[OsString]) -> bool {
    args.iter().take_while(|arg| *arg != "--").any(|arg| arg == "--json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_without_its_dashes_is_told_of_them() {
        let hints =
            |words: &[&str]| Failure::usage(&crate::command().try_get_matches_from(words).unwrap_err()).hints;
        let dashes = "The guest's command follows two dashes: -- \"rm -rf x\"";
        assert_eq!(hints(&["pyro", "exec", "fix", "rm -rf x"])[0], dashes);
        assert_eq!(hints(&["pyro", "run", "debian:12", "rm -rf x"])[0], dashes);
        for other in [["pyro", "exec", "fix", "--nonsense"], ["pyro", "status", "fix", "more"]] {
            assert!(hints(&other).iter().all(|hint| !hint.contains("dashes")), "{other:?}");
        }
    }

    #[test]
    fn json_is_asked_for_before_the_dashes_alone() {
        let args = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        assert!(wants_json(&args(&["pyro", "run", "--json", "x", "--", "y"])));
        assert!(!wants_json(&args(&["pyro", "run", "x", "--", "y", "--json"])));
    }
}
