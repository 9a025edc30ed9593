//! What a program did: its exit code and output, with assertions that show all of it when they fail.

use serde_json::Value;
use std::fmt;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::process::Output;

/// What a program did.
#[derive(Clone)]
pub struct Outcome {
    shown: String,
    output: Output,
}

impl Outcome {
    /// Runs a command to its end.
    pub fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        Self { shown: format!("{:?}", command.get_args().collect::<Vec<_>>()), output }
    }

    /// Wraps what a program that the test started itself did.
    pub fn from_output(shown: &str, output: Output) -> Self {
        Self { shown: shown.to_owned(), output }
    }

    /// Its exit code; a signal that killed it counts as 128 and its number.
    pub fn code(&self) -> i32 {
        let status = self.output.status;
        status.code().unwrap_or_else(|| 128 + status.signal().unwrap())
    }

    /// Its standard output.
    pub fn stdout_bytes(&self) -> &[u8] {
        &self.output.stdout
    }

    /// Its standard output as text.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    /// Its standard error as text.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// Fails unless it ended with 0.
    #[track_caller]
    pub fn succeeds(self) -> Self {
        self.ends_with(0)
    }

    /// Fails unless it ended with this code.
    #[track_caller]
    pub fn ends_with(self, code: i32) -> Self {
        assert_eq!(self.code(), code, "{self:?}");
        self
    }

    /// Its standard output as one JSON document.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.output.stdout)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// Fails unless it failed as the contract says: this exit code, one `[error]` line naming `thing`, with the stable
    /// code and a hint.
    #[track_caller]
    pub fn fails_with(self, exit_code: i32, code: &str, thing: &str) -> Self {
        assert_eq!(self.code(), exit_code, "{self:?}");
        let stderr = self.stderr();
        let error = stderr.lines().find(|line| line.starts_with("[error] "));
        let error = error.unwrap_or_else(|| panic!("no [error] line: {self:?}"));
        assert!(error.ends_with(&format!("({code})")), "the code is not {code}: {self:?}");
        assert!(error.contains(thing), "{thing} is not named: {self:?}");
        assert!(stderr.lines().any(|line| line.starts_with("hint: ")), "there is no hint: {self:?}");
        self
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_CHARS: usize = 4000;
        let cut = |text: String| text.chars().take(SHOWN_CHARS).collect::<String>();
        write!(
            f,
            "\n{} ended with {}\n--- stdout\n{}\n--- stderr\n{}\n---",
            self.shown,
            self.code(),
            cut(self.stdout()),
            cut(self.stderr())
        )
    }
}
