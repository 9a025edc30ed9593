//! Why an operation failed, as every surface tells it. This file must not invent codes.

use pyro::Coded;
use pyro::code;
use pyro::limits::LimitError;
use serde_json::Value;
use serde_json::json;

/// Longest message, in characters: what was given may be any length, and is quoted.
const MESSAGE_CHARS_MAX: usize = 2000;

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct OperationError {
    /// The stable code, one of those of the command line.
    pub code: String,
    /// What went wrong, and with what.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl OperationError {
    /// A failure that has no error behind it.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: cut(message.into()), hint: None }
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Arguments that are not what they should be.
    pub(crate) fn arguments(message: impl Into<String>) -> Self {
        Self::new(code::ARGUMENTS_INVALID, message).hint("the tool's input schema says what it takes")
    }

    /// Its document: `{error, code, hint}`.
    pub fn document(&self) -> Value {
        json!({ "error": self.message, "code": self.code, "hint": self.hint })
    }
}

fn cut(message: String) -> String {
    match message.char_indices().nth(MESSAGE_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &message[..at]),
        None => message,
    }
}

impl From<&dyn Coded> for OperationError {
    fn from(error: &dyn Coded) -> Self {
        let hints = error.hints();
        let hint = (!hints.is_empty()).then(|| hints.join("; "));
        Self { hint, ..Self::new(error.code(), code::chain(error)) }
    }
}

macro_rules! from {
    ($($error:ty),+ $(,)?) => {
        $(impl From<$error> for OperationError {
            fn from(error: $error) -> Self {
                Self::from(&error as &dyn Coded)
            }
        })+
    };
}

from!(
    pyro::environments::PruneError,
    pyro::image::ImageError,
    pyro::run::RunError,
    pyro::workspace::StoreError,
    pyro::workspace::WorkspaceError,
);

impl From<LimitError> for OperationError {
    fn from(error: LimitError) -> Self {
        Self::new(code::LIMIT_EXCEEDED, error.to_string()).hint("name another number")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_is_quoted_up_to_a_length() {
        let error = OperationError::new("x", "é".repeat(10 << 20));
        assert_eq!(error.message.chars().count(), MESSAGE_CHARS_MAX + 1);
        assert!(error.message.ends_with('…'));
        assert_eq!(OperationError::new("x", "short").message, "short");
    }
}
