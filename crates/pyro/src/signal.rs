//! The names of signals, as users write them. This file must not send any.

/// The signals that have names on every Linux this runs on.
const SIGNALS: [(&str, i32); 12] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("KILL", 9),
    ("USR1", 10),
    ("USR2", 12),
    ("ALRM", 14),
    ("TERM", 15),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("WINCH", 28),
];

/// A text that names no signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it must be a signal's name, such as TERM, or its number, 1 to 64")]
pub struct UnknownSignal;

/// The number of a signal that is given by name, with or without `SIG`, or by number.
///
/// # Errors
/// [`UnknownSignal`].
pub fn number(text: &str) -> Result<i32, UnknownSignal> {
    if let Ok(number) = text.parse::<i32>()
        && (1..=64).contains(&number)
    {
        return Ok(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let known = SIGNALS.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
    known.ok_or(UnknownSignal)
}

/// A signal's name, or its number where it has none.
pub fn name(signal: i32) -> String {
    let known = SIGNALS.iter().find(|(_, number)| *number == signal);
    known.map_or_else(|| signal.to_string(), |(name, _)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        for text in ["TERM", "sigterm", "15"] {
            assert_eq!(number(text), Ok(15));
        }
        assert_eq!((name(15), name(64)), ("TERM".to_owned(), "64".to_owned()));
        for text in ["", "0", "65", "-1", "NO"] {
            assert_eq!(number(text), Err(UnknownSignal), "{text}");
        }
    }
}
