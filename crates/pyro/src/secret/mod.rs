//! Secrets: values that a guest may use and nobody else may see. Names and values, the forms a value may be printed in, and
//! taking those out of what a guest says. Nothing in this folder may write a value anywhere.

mod forms;
mod name;
mod needles;
mod redact;
mod value;

pub use name::SecretName;
pub use name::SecretNameError;
pub(crate) use needles::Needles;
pub(crate) use redact::Redactor;
pub use value::REDACTED_BYTES_MIN;
pub use value::SecretValue;
pub use value::SecretValueError;
pub use value::VALUE_BYTES_MAX;

/// What stands in an output for a secret.
pub const REDACTED: &str = "[REDACTED]";

/// Most secrets of one workspace.
pub const SECRETS_MAX: usize = 64;
