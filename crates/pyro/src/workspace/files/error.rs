//! Why something could not be done with a workspace's files, as far as the guest was not asked. This file must not repeat what
//! a tool says.

use super::path::GuestPathError;
use crate::code;
use crate::code::Coded;
use crate::patch::ApplyError;
use crate::patch::PatchError;

/// Further failures of a patch that are named beside the first.
const FAILURES_SHOWN: usize = 10;

/// Why something could not be done with files.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The path is none.
    #[error(transparent)]
    Path(#[from] GuestPathError),
    /// The patch is none.
    #[error(transparent)]
    Patch(#[from] PatchError),
    /// The patch does not fit.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// More was asked for than there may be.
    #[error("{what} may be {most} at most, and {given} was given")]
    TooMuch {
        /// What, with its unit.
        what: &'static str,
        /// How much there may be.
        most: u64,
        /// How much there was.
        given: u64,
    },
    /// The file is too large for what was asked for.
    #[error("'{path}' holds more than the {most} bytes that {what}")]
    TooLarge {
        /// The file.
        path: String,
        /// How much it may hold.
        most: u64,
        /// For what.
        what: &'static str,
    },
    /// A cursor is none.
    #[error("'{given}' is no cursor of a list of files")]
    Cursor {
        /// What was given.
        given: String,
    },
}

impl Coded for FilesError {
    fn code(&self) -> &'static str {
        match self {
            Self::Path(error) => error.code(),
            Self::Patch(error) => error.code(),
            Self::Apply(error) => error.code(),
            Self::TooMuch { .. } | Self::TooLarge { .. } => code::LIMIT_EXCEEDED,
            Self::Cursor { .. } => code::CURSOR_INVALID,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Path(error) => return error.hints(),
            Self::Patch(error) => return error.hints(),
            Self::Apply(error) => {
                let further = error.failures.iter().skip(1).take(FAILURES_SHOWN);
                let nothing = "no file was changed".to_owned();
                return error
                    .hints()
                    .into_iter()
                    .chain(further.map(|failure| format!("also {failure}")))
                    .chain([nothing])
                    .collect();
            }
            Self::TooMuch { .. } => "ask for less at once",
            Self::TooLarge { .. } => "do it in the guest, with 'pyro workspace exec'",
            Self::Cursor { .. } => "give the next_cursor of the page before, unchanged",
        };
        vec![hint.to_owned()]
    }
}

/// A number that may be so much at most.
pub(super) const fn at_most(what: &'static str, given: u64, most: u64) -> Result<(), FilesError> {
    if given <= most { Ok(()) } else { Err(FilesError::TooMuch { what, most, given }) }
}
