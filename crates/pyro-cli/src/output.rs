//! The only file that writes to standard output and standard error: data to the one, people's lines to the other. A reader
//! who has gone is no reason to panic.

use serde::Serialize;
use std::io;
use std::io::Write as _;

/// One JSON document: two spaces, sorted keys.
pub(crate) fn json<T: Serialize>(document: &T) {
    // Through `Value`, whose maps are sorted.
    let sorted = serde_json::to_value(document).and_then(|value| serde_json::to_string_pretty(&value));
    match sorted {
        Ok(text) => line(&text),
        Err(error) => error_line(&format!("[error] writing JSON: {error}")),
    }
}

/// One JSON document on one line, for streams of them.
pub(crate) fn json_line<T: Serialize>(document: &T) {
    let sorted = serde_json::to_value(document).and_then(|value| serde_json::to_string(&value));
    match sorted {
        Ok(text) => line(&text),
        Err(error) => error_line(&format!("[error] writing JSON: {error}")),
    }
}

/// A line of data.
pub(crate) fn line(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}

/// Raw data.
pub(crate) fn bytes(bytes: &[u8]) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
}

/// A line for people.
pub(crate) fn error_line(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
