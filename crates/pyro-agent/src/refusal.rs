//! Failures on their way to the host. This file must not decide what fails.

use pyro_proto::limits::ERROR_TEXT_BYTES_MAX;
use pyro_proto::message::ErrorCode;
use pyro_proto::message::WireError;
use rustix::io::Errno;
use std::error::Error;
use std::io;

/// A failure with a text of our own.
pub(crate) fn refuse(code: ErrorCode, message: impl Into<String>) -> WireError {
    WireError { code, message: cut(message.into()), errno: None }
}

/// A failure of a system call while doing `operation`.
pub(crate) fn refuse_errno(code: ErrorCode, operation: &str, errno: Errno) -> WireError {
    let cause = io::Error::from(errno);
    WireError { code, message: cut(format!("{operation}: {cause}")), errno: Some(errno.raw_os_error()) }
}

/// A failure with its causes spelled out: the wire carries one text only.
pub(crate) fn refuse_error(code: ErrorCode, error: &dyn Error) -> WireError {
    let mut message = error.to_string();
    let mut errno = None;
    let mut cause = error.source();
    while let Some(inner) = cause {
        message = format!("{message}: {inner}");
        errno = inner.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error).or(errno);
        cause = inner.source();
    }
    WireError { code, message: cut(message), errno }
}

/// Shortens a text to what a message may hold.
pub(crate) fn cut(mut text: String) -> String {
    if text.len() > ERROR_TEXT_BYTES_MAX {
        let mut end = ERROR_TEXT_BYTES_MAX;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        let text = "é".repeat(ERROR_TEXT_BYTES_MAX);
        let cut = cut(format!("x{text}"));
        assert!(cut.len() <= ERROR_TEXT_BYTES_MAX && cut.len() > ERROR_TEXT_BYTES_MAX - 2);
    }
}
