//! What somebody's terminal is given when it joins a shell, and when it leaves one. This file must not write to a terminal.

use crate::terminal::TerminalSize;
use avt::Terminal;

/// The top left corner of an empty screen.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Everything that a program may have turned on, off again: mouse reports, bracketed paste, application keys, a margin, a hidden
/// cursor, colours. Taking the margins away would put the cursor into the corner.
const RESET: &str = "\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1004l\x1b[?1005l\x1b[?1006l\x1b[?1015l\x1b[?2004l\x1b[?1l\x1b>\x1b7\x1b[r\x1b8\x1b[?25h\x1b[0m";

/// What makes an empty terminal of the size `now` look as one of the size `then` does that was shown these bytes; nothing when it
/// was shown none.
pub(super) fn replay(bytes: &[u8], then: TerminalSize, now: TerminalSize) -> Vec<u8> {
    if bytes.is_empty() {
        return Vec::new();
    }
    let Ok(mut terminal) = Terminal::new(then.cols().into(), then.rows().into()) else { return Vec::new() };
    terminal.feed(String::from_utf8_lossy(bytes).as_ref());
    terminal.resize(now.cols().into(), now.rows().into());
    format!("{CLEAR}{}", terminal.dump()).into_bytes()
}

/// Watches what is shown for what cannot be reset blindly: leaving the alternate screen moves the cursor, and a new line is only
/// begun where one is not ended.
#[derive(Debug, Default)]
pub(super) struct Modes {
    alternate: bool,
    /// The beginning of a sequence that may set it.
    begun: Vec<u8>,
    /// Something was shown, and its last line is not ended.
    within_line: bool,
}

impl Modes {
    /// Takes what was shown next.
    pub(super) fn show(&mut self, bytes: &[u8]) {
        self.within_line = bytes.last().map_or(self.within_line, |last| *last != b'\n');
        for byte in bytes {
            if *byte == b'\x1b' {
                self.begun = vec![*byte];
                continue;
            }
            let expected = match self.begun.len() {
                0 => false,
                1 => *byte == b'[',
                2 => *byte == b'?',
                length => length < 24 && matches!(*byte, b'0'..=b'9' | b';'),
            };
            if expected {
                self.begun.push(*byte);
            } else {
                if self.begun.len() > 3 && matches!(*byte, b'h' | b'l') {
                    self.set(*byte == b'h');
                }
                self.begun.clear();
            }
        }
    }

    fn set(&mut self, on: bool) {
        let screens: [&[u8]; 3] = [b"47", b"1047", b"1049"];
        if self.begun[3..].split(|byte| *byte == b';').any(|mode| screens.contains(&mode)) {
            self.alternate = on;
        }
    }

    /// What puts the terminal back, at the beginning of a line.
    pub(super) fn reset(&self) -> Vec<u8> {
        let leave = if self.alternate { "\x1b[?1049l" } else { "" };
        let line = if self.within_line { "\r\n" } else { "" };
        format!("{leave}{RESET}{line}").into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_screen_comes_back() {
        let size = |cols, rows| TerminalSize::new(cols, rows).unwrap();
        let shown = replay(b"\x1b[31mone\x1b[0m\r\ntwo\r\nthree $ ", size(20, 2), size(30, 5));
        let mut terminal = Terminal::new(30, 5).unwrap();
        terminal.feed(std::str::from_utf8(&shown).unwrap());
        assert_eq!(terminal.screen().text()[..2], ["two", "three $"]);
        let cursor = terminal.cursor();
        assert_eq!((cursor.col, cursor.row), (8, 1));
        assert!(replay(b"", size(20, 2), size(30, 5)).is_empty());
    }

    #[test]
    fn the_cursor_stays_where_it_is() {
        let mut terminal = Terminal::new(20, 5).unwrap();
        let mut modes = Modes::default();
        for shown in ["\x1b[2;4r\x1b[3;1H", "three $ "] {
            terminal.feed(shown);
            modes.show(shown.as_bytes());
        }
        terminal.feed(std::str::from_utf8(&modes.reset()).unwrap());
        assert_eq!((terminal.cursor().col, terminal.cursor().row), (0, 3));
        terminal.feed("\x1b[5;1H\n");
        assert_eq!(terminal.screen().text()[1], "three $", "the margins are gone");
    }

    #[test]
    fn a_line_is_ended_once() {
        let ended = |pieces: &[&[u8]]| {
            let mut modes = Modes::default();
            pieces.iter().for_each(|piece| modes.show(piece));
            modes.reset().ends_with(b"\r\n")
        };
        assert!(ended(&[b"pyro$ "]) && ended(&[b"a\r\n", b"\x1b[?2004h$ ", b""]));
        assert!(!ended(&[]) && !ended(&[b"exit\r\n"]) && !ended(&[b"$ ", b"exit\r\n"]));
    }

    #[test]
    fn the_alternate_screen_is_left_only_from_within() {
        let left = |pieces: &[&[u8]]| {
            let mut modes = Modes::default();
            pieces.iter().for_each(|piece| modes.show(piece));
            modes.reset().starts_with(b"\x1b[?1049l")
        };
        assert!(left(&[b"\x1b[?1049h"]) && left(&[b"\x1b[?1", b"2;10", b"49h"]) && left(&[b"\x1b[?47h"]));
        assert!(!left(&[]) && !left(&[b"\x1b[?1049h", b"x\x1b[?1049l"]) && !left(&[b"[?1049h"]));
        assert!(!left(&[b"\x1b[1049h"]) && !left(&[b"\x1b[?25h"]) && !left(&[b"\x1b[?10490h"]));
    }
}
