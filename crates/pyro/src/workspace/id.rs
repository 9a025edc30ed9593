//! What workspaces, snapshots and labels are called: types that can only be built valid. This file must not look anything up.

use crate::identity::GuestId;
use serde::Deserialize;
use serde::Serialize;
use std::fmt;
use std::str::FromStr;

/// Longest workspace name and label value, in characters.
const TEXT_CHARS_MAX: usize = 120;

/// Longest name of a snapshot, service or label, in bytes.
const WORD_BYTES_MAX: usize = 64;

/// Why a name is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{given}' is no {what}: {rule}")]
pub struct NameError {
    /// What it was meant as.
    pub what: &'static str,
    /// The beginning of what was given.
    pub given: String,
    /// What one must be like.
    pub rule: &'static str,
}

fn refuse(what: &'static str, given: &str, rule: &'static str) -> NameError {
    NameError { what, given: given.chars().take(80).collect(), rule }
}

macro_rules! word {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Its text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.to_owned())) } else { Err(refuse($what, text, $rule)) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

word!(
    /// Names one workspace for ever: 12 lower-case hexadecimal digits.
    WorkspaceId,
    "workspace id",
    "it must be 12 lower-case hexadecimal digits",
    is_id
);
word!(
    /// A name that a person gave a workspace; no two have the same, and none looks like an id.
    WorkspaceName,
    "workspace name",
    "it must be 1 to 120 characters without slashes, control characters or blanks at its ends, not begin with a hyphen, and not be 12 hexadecimal digits",
    |text| is_text(text) && !text.contains('/') && !text.starts_with(['-', '.']) && !is_id(text)
);
word!(
    /// Names a snapshot within its workspace.
    SnapshotName,
    "snapshot name",
    "it must be 1 to 64 letters, digits, dots, hyphens or underscores, the first a letter or digit",
    is_word
);
word!(
    /// Names a service within its workspace.
    ServiceName,
    "service name",
    "it must be 1 to 64 letters, digits, dots, hyphens or underscores, the first a letter or digit",
    is_word
);
word!(
    /// The key of a label.
    LabelKey,
    "label key",
    "it must be 1 to 64 letters, digits, dots, hyphens, underscores or slashes, the first a letter or digit",
    |text| is_word(&text.replace('/', "-"))
);
word!(
    /// The value of a label.
    LabelValue,
    "label value",
    "it must be 1 to 120 characters without control characters or blanks at its ends",
    is_text
);

/// The snapshot that every workspace has: how it began.
pub const BASELINE: &str = "baseline";

impl WorkspaceId {
    /// A new one.
    ///
    /// # Errors
    /// The host has no random numbers.
    pub fn random() -> std::io::Result<Self> {
        GuestId::random().map(|id| Self(id.to_string()))
    }

    /// The name of its guest.
    pub fn guest(&self) -> GuestId {
        GuestId::of_workspace(self)
    }
}

impl SnapshotName {
    /// The name of the snapshot that every workspace has.
    pub fn baseline() -> Self {
        Self(BASELINE.to_owned())
    }

    /// Whether it is that one, which cannot be made or deleted.
    pub fn is_baseline(&self) -> bool {
        self.0 == BASELINE
    }
}

fn is_id(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn is_text(text: &str) -> bool {
    (1..=TEXT_CHARS_MAX).contains(&text.chars().count())
        && text.trim() == text
        && !text.chars().any(char::is_control)
}

fn is_word(text: &str) -> bool {
    text.len() <= WORD_BYTES_MAX
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_where_they_are_made() {
        assert!("3fa2c19b04de".parse::<WorkspaceId>().is_ok());
        for bad in ["", "3fa2", "3FA2C19B04DE", "../../../etc", "3fa2c19b04dg"] {
            assert!(bad.parse::<WorkspaceId>().is_err(), "{bad}");
        }
        assert!("review of PR 7 — ünïcode".parse::<WorkspaceName>().is_ok());
        for bad in ["", " a", "a/b", "..", "a\nb", "-x", "3fa2c19b04de", &"x".repeat(121)] {
            assert!(bad.parse::<WorkspaceName>().is_err(), "{bad}");
        }
        assert!("pre-review.1_b".parse::<SnapshotName>().is_ok());
        for bad in ["", ".", "..", "a/b", "-a", "a b", &"x".repeat(65)] {
            assert!(bad.parse::<SnapshotName>().is_err(), "{bad}");
        }
        let error = "a/b".parse::<SnapshotName>().unwrap_err().to_string();
        assert!(error.starts_with("'a/b' is no snapshot name: "), "{error}");
    }

    #[test]
    fn a_document_cannot_smuggle_a_path_in_as_a_name() {
        assert!(serde_json::from_str::<SnapshotName>("\"../x\"").is_err());
        assert!(serde_json::from_str::<WorkspaceId>("\"../x\"").is_err());
    }
}
