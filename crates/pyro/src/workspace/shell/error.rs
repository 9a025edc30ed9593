//! What can be wrong with a request about shells. This file must not find out.

use crate::code;
use crate::code::Coded;

/// What is wrong with a request about shells.
#[derive(Debug, thiserror::Error)]
pub enum ShellError {
    /// There is no such shell.
    #[error("the workspace {workspace} has no shell '{shell}'")]
    Unknown {
        /// The workspace.
        workspace: String,
        /// The shell, as it was given.
        shell: String,
    },
    /// It has ended.
    #[error("the shell {shell} has ended")]
    Ended {
        /// The shell.
        shell: String,
    },
    /// Its program does not read.
    #[error(
        "the program of the shell {shell} does not read: {waiting} bytes wait for it already, of at most {most}, and none of the {given} new ones were taken"
    )]
    InputFull {
        /// The shell.
        shell: String,
        /// Bytes that wait.
        waiting: usize,
        /// Bytes that may wait.
        most: usize,
        /// Bytes there were.
        given: usize,
    },
    /// More input than may ever wait.
    #[error("{bytes} bytes of input are more than the {most} that a shell may be given at once")]
    InputTooLong {
        /// Bytes there were.
        bytes: usize,
        /// Bytes there may be.
        most: usize,
    },
    /// The cursor lies beyond the output.
    #[error("the shell {shell} has printed {total} bytes so far, so there is no cursor {cursor}")]
    Cursor {
        /// The shell.
        shell: String,
        /// Where its output ends.
        total: u64,
        /// What was asked for.
        cursor: u64,
    },
    /// The pattern is of no use.
    #[error("the pattern cannot be used: {reason}")]
    Pattern {
        /// Why.
        reason: String,
    },
    /// There are as many shells as there may be.
    #[error("{most} shells run in the workspace {workspace}, as many as may")]
    TooMany {
        /// The workspace.
        workspace: String,
        /// How many there may be.
        most: usize,
    },
    /// The guest ended, and the shell with it.
    #[error("the shell {shell} is gone: {reason}")]
    Gone {
        /// The shell.
        shell: String,
        /// Why.
        reason: String,
    },
}

impl Coded for ShellError {
    fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => code::NO_SUCH_SHELL,
            Self::Ended { .. } => code::SHELL_ENDED,
            Self::InputFull { .. } => code::SHELL_INPUT_FULL,
            Self::InputTooLong { .. } | Self::TooMany { .. } => code::LIMIT_EXCEEDED,
            Self::Cursor { .. } => code::CURSOR_INVALID,
            Self::Pattern { .. } => code::PATTERN_INVALID,
            Self::Gone { .. } => code::GUEST_LOST,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Unknown { .. } => {
                "'pyro workspace shell list' shows what there is; shells end with their guest"
            }
            Self::Ended { .. } => "'pyro workspace shell read' still shows what it printed; open another one",
            Self::InputFull { .. } => {
                "write again when the program reads, or interrupt it with 'pyro workspace shell signal'"
            }
            Self::InputTooLong { .. } => {
                "write it in parts, or put it into a file with 'pyro workspace file write'"
            }
            Self::Cursor { .. } => "go on from the next_cursor of the last read, or from 0",
            Self::Pattern { .. } => {
                "write a regular expression without look-around and back references; put a backslash before $ ( ) [ ] { } . * + ? | ^ that mean themselves"
            }
            Self::TooMany { .. } => "close some with 'pyro workspace shell close'",
            Self::Gone { .. } => "'pyro workspace status' says how the workspace is",
        };
        vec![hint.to_owned()]
    }
}
