//! What programs on a terminal are given: a size, which can only be built valid, an environment, a shell. This file must not
//! touch a terminal.

use crate::command::Command;
use crate::limits::LimitError;
use pyro_proto::ByteString;
use pyro_proto::exec::PtySize;
use serde::Deserialize;
use serde::Serialize;
use std::ffi::OsString;

/// Most columns, and most rows. An emulated terminal takes memory for each of its cells.
const CELLS_MAX: u16 = 1000;

/// What the terminals of people and programs here understand.
const TERM: &str = "xterm-256color";

/// The prompt of a shell.
const PROMPT: &str = "pyro$ ";

/// A guest need not have bash. It is the same process either way.
const SHELL: &str = "command -v bash >/dev/null 2>&1 && exec bash --noprofile --norc -i; exec /bin/sh -i";

/// What a program on a terminal finds in its environment, before what its caller sets.
pub(crate) fn environment() -> [(ByteString, ByteString); 2] {
    [("TERM".into(), TERM.into()), ("PS1".into(), PROMPT.into())]
}

/// An interactive shell for a terminal: `bash` without anybody's settings, or `sh` where there is none.
pub fn interactive_shell() -> Command {
    Command::Argv(["/bin/sh", "-c", SHELL].map(OsString::from).into())
}

/// A terminal's size in character cells: 1 to 1000 columns, 1 to 1000 rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Raw")]
pub struct TerminalSize {
    cols: u16,
    rows: u16,
}

#[derive(Deserialize)]
struct Raw {
    cols: u64,
    rows: u64,
}

impl TryFrom<Raw> for TerminalSize {
    type Error = LimitError;

    fn try_from(raw: Raw) -> Result<Self, LimitError> {
        Self::new(raw.cols, raw.rows)
    }
}

impl Default for TerminalSize {
    fn default() -> Self {
        Self { cols: 120, rows: 30 }
    }
}

impl TerminalSize {
    /// Checks the bounds.
    ///
    /// # Errors
    /// [`LimitError`] outside of them.
    pub fn new(cols: u64, rows: u64) -> Result<Self, LimitError> {
        Ok(Self { cols: bounded("columns", cols)?, rows: bounded("rows", rows)? })
    }

    /// The size of a real terminal, as near as may be; one that does not know its size has the usual 80 by 24.
    pub fn of_window(cols: u16, rows: u16) -> Self {
        let near = |given: u16, usual: u16| if given == 0 { usual } else { given.min(CELLS_MAX) };
        Self { cols: near(cols, 80), rows: near(rows, 24) }
    }

    /// Columns.
    pub const fn cols(self) -> u16 {
        self.cols
    }

    /// Rows.
    pub const fn rows(self) -> u16 {
        self.rows
    }

    pub(crate) const fn pty(self) -> PtySize {
        PtySize { cols: self.cols, rows: self.rows }
    }
}

fn bounded(what: &'static str, given: u64) -> Result<u16, LimitError> {
    match u16::try_from(given) {
        Ok(cells) if (1..=CELLS_MAX).contains(&cells) => Ok(cells),
        _ => Err(LimitError { what, least: 1, most: CELLS_MAX.into(), unit: "", given }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bounded_wherever_they_come_from() {
        assert!(TerminalSize::new(1, 1000).is_ok());
        for (cols, rows) in [(0, 1), (1, 0), (1001, 1), (1, 65_536)] {
            assert!(TerminalSize::new(cols, rows).is_err());
            let text = format!(r#"{{"cols":{cols},"rows":{rows}}}"#);
            assert!(serde_json::from_str::<TerminalSize>(&text).is_err(), "{text}");
        }
        let size = TerminalSize::of_window(0, 5000);
        assert_eq!((size.cols(), size.rows()), (80, 1000));
    }
}
