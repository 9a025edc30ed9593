//! Output as the text that a person would see, told by a terminal emulator: colours, progress bars, backspaces and cursor
//! moves have had their effect. This file must not fetch output.

use crate::terminal::TerminalSize;
use avt::ScreenKind;
use avt::Terminal;
use avt::observer::Transcript;

/// What a terminal of this size shows for these bytes, with what has left it at the top: lines without white space at their
/// ends and without empty lines at the end. Bytes that are no UTF-8 are replacement signs. A program that has the whole
/// screen for itself adds that screen.
pub(super) fn text(bytes: &[u8], size: TerminalSize) -> String {
    // A size can only be built valid.
    let Ok(mut terminal) = Terminal::new(size.cols().into(), size.rows().into()) else {
        return String::new();
    };
    let mut transcript = Transcript::new();
    let mut lines = terminal.feed_with(String::from_utf8_lossy(bytes).as_ref(), &mut transcript);
    lines.extend(transcript.finish(&terminal));
    if terminal.active_screen_kind() == ScreenKind::Alternate {
        lines.extend(terminal.screen().text());
    }
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(bytes: &[u8]) -> String {
        text(bytes, TerminalSize::new(20, 4).unwrap())
    }

    #[test]
    fn what_a_person_would_see_is_told() {
        assert_eq!(shown(b"\x1b[31mred\x1b[0m\r\n"), "red");
        assert_eq!(shown(b" 10%\r 50%\r100% done\x1b[K\r\n$ "), "100% done\n$");
        assert_eq!(shown(b"abd\x08c\r\n"), "abc");
        assert_eq!(shown(b"one\r\ntwo\r\n\x1b[2A\x1b[2KONE\x1b[2B\r"), "ONE\ntwo");
        assert_eq!(shown(b"\x1b]0;title\x07\x1b[?2004hpyro$ "), "pyro$");
        assert_eq!(shown(b"a\tb"), "a       b");
        // Longer than the screen, and longer than a line.
        let many: String = (0..50).map(|number| format!("{number}\r\n")).collect();
        assert_eq!(shown(many.as_bytes()).lines().count(), 50);
        assert_eq!(shown("x".repeat(75).as_bytes()), "x".repeat(75));
        assert_eq!(shown("caf\u{e9} \u{4f60}\u{597d}".as_bytes()), "caf\u{e9} \u{4f60}\u{597d}");
        assert_eq!(shown(b"a\xffb"), "a\u{fffd}b");
        assert_eq!(shown(b"before\r\n\x1b[?1049h\x1b[Hin vi"), "before\nin vi");
        assert_eq!(shown(b"before\r\n\x1b[?1049h\x1b[Hin vi\x1b[?1049l"), "before");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Output is hostile: whatever a guest prints, it is shown.
        #[test]
        fn nothing_that_is_printed_breaks_it(
            pieces in prop::collection::vec(
                prop_oneof![
                    "\\PC{0,8}".prop_map(String::into_bytes),
                    "\u{1b}\\[[?>]?[0-9;:]{0,12}[@-~]".prop_map(String::into_bytes),
                    "\u{1b}[ -/]{0,2}[0-~]".prop_map(String::into_bytes),
                    prop::collection::vec(any::<u8>(), 0..8),
                    Just(b"\r\n".to_vec()),
                ],
                0..60,
            ),
            (cols, rows) in (1u64..40, 1u64..12),
        ) {
            let size = TerminalSize::new(cols, rows).unwrap();
            let _ = text(&pieces.concat(), size);
            let _ = super::super::screen::replay(&pieces.concat(), size, TerminalSize::new(rows, cols).unwrap());
        }
    }
}
