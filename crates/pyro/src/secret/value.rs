//! The value of a secret: text that is never shown, and overwritten when it is no longer needed. This file must not know
//! where it came from.

use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::de::Error as _;
use std::fmt;
use zeroize::Zeroizing;

/// Longest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 64 << 10;

/// Shortest value that is looked for in what a guest says, in bytes: to take out what is shorter would make gibberish of it.
pub const REDACTED_BYTES_MIN: usize = 6;

/// A secret's value: text without NUL, not empty.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct SecretValue(Zeroizing<String>);

/// Why something is no secret's value. It never says what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretValueError {
    /// Nothing.
    #[error("is empty")]
    Empty,
    /// Too much.
    #[error("has {bytes} bytes; {VALUE_BYTES_MAX} at most are kept")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// Not UTF-8, or with a NUL.
    #[error("is not text: it has a NUL, or is not UTF-8")]
    NotText,
}

impl SecretValue {
    /// Takes a value.
    ///
    /// # Errors
    /// [`SecretValueError`].
    pub fn new(text: String) -> Result<Self, SecretValueError> {
        let text = Zeroizing::new(text);
        match text.len() {
            0 => Err(SecretValueError::Empty),
            bytes if bytes > VALUE_BYTES_MAX => Err(SecretValueError::TooLong { bytes }),
            _ if text.contains('\0') => Err(SecretValueError::NotText),
            _ => Ok(Self(text)),
        }
    }

    /// Takes a value as bytes.
    ///
    /// # Errors
    /// [`SecretValueError`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, SecretValueError> {
        match String::from_utf8(bytes) {
            Ok(text) => Self::new(text),
            Err(error) => {
                drop(Zeroizing::new(error.into_bytes()));
                Err(SecretValueError::NotText)
            }
        }
    }

    /// The value, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it is long enough to be looked for.
    pub fn is_redacted(&self) -> bool {
        self.0.trim().len() >= REDACTED_BYTES_MIN
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue(…)")
    }
}

impl<'de> Deserialize<'de> for SecretValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(text).map_err(|error| D::Error::custom(format!("a secret's value {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_text_of_some_length_and_never_shown() {
        assert_eq!(SecretValue::new(String::new()), Err(SecretValueError::Empty));
        assert_eq!(SecretValue::new("a\0b".into()), Err(SecretValueError::NotText));
        assert_eq!(SecretValue::from_bytes(vec![0xff]), Err(SecretValueError::NotText));
        let long = "x".repeat(VALUE_BYTES_MAX + 1);
        assert_eq!(SecretValue::new(long.clone()), Err(SecretValueError::TooLong { bytes: long.len() }));
        let value = SecretValue::new("swordfish".into()).unwrap();
        assert_eq!((value.expose(), value.is_redacted()), ("swordfish", true));
        assert!(!format!("{value:?}").contains("sword"));
        assert!(!SecretValue::new("  pin1 ".into()).unwrap().is_redacted());
    }
}
