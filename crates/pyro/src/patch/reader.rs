//! A patch as numbered lines. It must not know what they mean.

use super::error::PatchError;

/// One line.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawLine<'a> {
    /// With its newline, if it has one.
    pub(super) whole: &'a [u8],
    /// From 1.
    pub(super) number: usize,
}

impl<'a> RawLine<'a> {
    /// Without its newline, and without the carriage return that mail and Windows put before it.
    pub(super) fn text(&self) -> &'a [u8] {
        let text = self.whole.strip_suffix(b"\n").unwrap_or(self.whole);
        text.strip_suffix(b"\r").unwrap_or(text)
    }

    /// Whether its newline is there.
    pub(super) fn is_terminated(&self) -> bool {
        self.whole.ends_with(b"\n")
    }
}

/// The lines that are left.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    number: usize,
    line_bytes_max: usize,
}

impl<'a> Reader<'a> {
    /// All lines of `bytes`.
    pub(super) const fn new(bytes: &'a [u8], line_bytes_max: usize) -> Self {
        Self { rest: bytes, number: 1, line_bytes_max }
    }

    /// The next line, which stays.
    pub(super) fn peek(&self) -> Result<Option<RawLine<'a>>, PatchError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let end = self.rest.iter().position(|byte| *byte == b'\n').map_or(self.rest.len(), |at| at + 1);
        if end > self.line_bytes_max {
            let what = "bytes in one line";
            return Err(PatchError::TooLarge { what, most: self.line_bytes_max, line: self.number });
        }
        Ok(Some(RawLine { whole: &self.rest[..end], number: self.number }))
    }

    /// The next line.
    pub(super) fn next(&mut self) -> Result<Option<RawLine<'a>>, PatchError> {
        let line = self.peek()?;
        if let Some(line) = line {
            self.rest = &self.rest[line.whole.len()..];
            self.number += 1;
        }
        Ok(line)
    }

    /// The number of the next line.
    pub(super) const fn number(&self) -> usize {
        self.number
    }

    /// Whether the next line begins with `prefix`.
    pub(super) fn at(&self, prefix: &[u8]) -> bool {
        self.rest.starts_with(prefix)
    }
}
