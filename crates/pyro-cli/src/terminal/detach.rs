//! The keys that leave a shell without ending it, found among those that are typed. This file must not read keys.

/// A sequence of keys that means: leave. None at all means that nothing does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DetachKeys {
    keys: Vec<u8>,
    /// So many of them have been typed last; they are held back, because they may be the beginning.
    typed: usize,
}

impl DetachKeys {
    /// Reads `KEY[,KEY...]`, a key being one ASCII character or `ctrl-` and one of `a` to `z`, `@`, `[`, `\`, `]`, `^` and `_`;
    /// the empty text for none.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let keys = text.split(',').map(key).collect::<Option<Vec<u8>>>();
        let keys = keys.filter(|keys| keys.len() <= 16);
        keys.map(|keys| Self { keys, typed: 0 })
            .ok_or_else(|| "it must be keys such as a or ctrl-p, with commas between them".to_owned())
    }

    /// Takes what was typed; adds to `passed` what goes on to the program. Whether the sequence is complete: then the rest of
    /// what was typed is nobody's.
    pub(crate) fn pass(&mut self, typed: &[u8], passed: &mut Vec<u8>) -> bool {
        if self.keys.is_empty() {
            passed.extend_from_slice(typed);
            return false;
        }
        for byte in typed {
            let mut held = self.keys[..self.typed].to_vec();
            held.push(*byte);
            // What cannot be the beginning any more goes on.
            while !self.keys.starts_with(&held) {
                passed.push(held.remove(0));
            }
            self.typed = held.len();
            if self.typed == self.keys.len() {
                return true;
            }
        }
        false
    }
}

fn key(text: &str) -> Option<u8> {
    let one = |text: &str| match text.as_bytes() {
        [byte] if byte.is_ascii_graphic() || *byte == b' ' => Some(*byte),
        _ => None,
    };
    match text.strip_prefix("ctrl-") {
        None => one(text),
        Some(letter) => one(letter)
            .map(|byte| byte.to_ascii_uppercase())
            .filter(|byte| (b'@'..=b'_').contains(byte))
            .map(|byte| byte & 0x1f),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(keys: &str, pieces: &[&[u8]]) -> (Vec<u8>, bool) {
        let mut keys = DetachKeys::parse(keys).unwrap();
        let mut passed = Vec::new();
        let left = pieces.iter().any(|piece| keys.pass(piece, &mut passed));
        (passed, left)
    }

    #[test]
    fn keys_have_names() {
        let keys = |text| DetachKeys::parse(text).map(|keys| keys.keys);
        assert_eq!(keys("ctrl-p,ctrl-q"), Ok(vec![16, 17]));
        assert_eq!(keys("ctrl-@,ctrl-[,ctrl-_,a, "), Ok(vec![0, 27, 31, b'a', b' ']));
        assert_eq!(keys(""), Ok(vec![]));
        for bad in
            [",", "ctrl-", "ctrl-1", "ab", "a,", "\u{e9}", "ctrl-pp", "a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a"]
        {
            assert!(keys(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_sequence_is_found_and_all_else_passes_unchanged() {
        let default = "ctrl-p,ctrl-q";
        assert_eq!(pass(default, &[b"ls\r\x10\x11gone"]), (b"ls\r".to_vec(), true));
        assert_eq!(pass(default, &[b"ls\x10", b"\x11"]), (b"ls".to_vec(), true));
        assert_eq!(pass(default, &[b"\x10", b"x"]), (b"\x10x".to_vec(), false));
        assert_eq!(pass(default, &[b"\x10\x10\x11"]), (b"\x10".to_vec(), true));
        assert_eq!(pass(default, &[b"\x11\x10"]), (b"\x11".to_vec(), false));
        assert_eq!(pass("a,a,b", &[b"aaab"]), (b"a".to_vec(), true));
        assert_eq!(pass("", &[b"\x10\x11"]), (b"\x10\x11".to_vec(), false));
        let all: Vec<u8> = (0..=255).filter(|byte| *byte != 16).collect();
        assert_eq!(pass(default, &[&all]), (all.clone(), false));
    }
}
