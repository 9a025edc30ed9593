//! The name of a secret: a variable's name, so that it can become one. This file must not know any value.

use serde::Deserialize;
use serde::Serialize;
use std::fmt;
use std::str::FromStr;

/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// A letter or an underscore, then letters, digits and underscores; at most 64 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretName(String);

/// Why something is no name for a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{given:?} is no name for a secret: it takes a letter or an underscore, then letters, digits and underscores, \
     {NAME_BYTES_MAX} bytes at most"
)]
pub struct SecretNameError {
    given: String,
}

impl SecretName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SecretName {
    type Err = SecretNameError;

    fn from_str(text: &str) -> Result<Self, SecretNameError> {
        let first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
        let legal = text.bytes().all(|byte| first(byte) || byte.is_ascii_digit());
        if text.len() <= NAME_BYTES_MAX && legal && text.bytes().next().is_some_and(first) {
            return Ok(Self(text.to_owned()));
        }
        // Whoever gets the syntax wrong may have put the value here.
        Err(SecretNameError { given: text.chars().take(4).chain("…".chars()).collect() })
    }
}

impl TryFrom<String> for SecretName {
    type Error = SecretNameError;

    fn try_from(text: String) -> Result<Self, SecretNameError> {
        text.parse()
    }
}

impl From<SecretName> for String {
    fn from(name: SecretName) -> Self {
        name.0
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_variables() {
        for good in ["A", "_", "api_KEY_2", &"x".repeat(64)] {
            assert_eq!(good.parse::<SecretName>().unwrap().as_str(), good);
        }
        for bad in ["", "2a", "a-b", "a b", "a=b", "é", &"x".repeat(65)] {
            assert!(bad.parse::<SecretName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_may_have_been_a_value_is_not_said() {
        let error = "hunter2-and-more".parse::<SecretName>().unwrap_err().to_string();
        assert!(error.contains("hunt…") && !error.contains("hunter2"), "{error}");
    }
}
