//! Where output may be cut: behind whole characters, as many as are wanted. This file must not read output.

/// How many of these bytes are at most `chars_max` whole characters; a byte that belongs to none counts as one. A character that is
/// not whole yet stays behind, unless no more will come.
pub(super) fn length(bytes: &[u8], chars_max: usize, ended: bool) -> usize {
    let (mut at, mut chars) = (0, 0);
    while at < bytes.len() && chars < chars_max {
        at += match std::str::from_utf8(&bytes[at..(at + 4).min(bytes.len())]) {
            Ok(text) => text.chars().next().map_or(1, char::len_utf8),
            Err(error) if error.valid_up_to() > 0 => first(bytes, at, error.valid_up_to()),
            Err(error) => match error.error_len() {
                Some(length) => length,
                // It goes on behind what there is.
                None if !ended => return at,
                None => bytes.len() - at,
            },
        };
        chars += 1;
    }
    at
}

/// The length of the first of some valid characters.
fn first(bytes: &[u8], at: usize, valid: usize) -> usize {
    let text = std::str::from_utf8(&bytes[at..at + valid]).unwrap_or_default();
    text.chars().next().map_or(1, char::len_utf8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn characters_are_kept_whole() {
        let text = "a\u{e9}\u{20ac}\u{1f600}z".as_bytes();
        assert_eq!([0, 1, 2, 3, 4, 5, 9].map(|chars| length(text, chars, false)), [0, 1, 3, 6, 10, 11, 11]);
        // What is not whole yet waits, and is given when nothing follows.
        assert_eq!((length(b"a\xe2\x82", 9, false), length(b"a\xe2\x82", 9, true)), (1, 3));
        // What can never be a character is not waited for.
        assert_eq!(length(b"\xff\xff\xc3(", 9, false), 4);
        assert_eq!(length(b"\xff\xff\xc3(", 1, false), 1);
    }

    proptest! {
        #[test]
        fn as_many_characters_as_a_lossy_decoder_finds(bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(0xe2), Just(0x82), Just(0xac), Just(b'a')], 0..64), most in 0usize..70) {
            let cut = length(&bytes, most, true);
            let chars = String::from_utf8_lossy(&bytes[..cut]).chars().count();
            prop_assert!(chars <= most && (cut == bytes.len() || chars == most));
        }
    }
}
