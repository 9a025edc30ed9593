//! The base-85 text that git writes binary contents in. It must not know what the bytes mean.

const ALPHABET: &[u8; 85] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";

/// Bytes in a full line.
const LINE_BYTES: usize = 52;

const fn values() -> [u8; 256] {
    let mut values = [u8::MAX; 256];
    let mut at = 0;
    while at < ALPHABET.len() {
        values[ALPHABET[at] as usize] = at as u8;
        at += 1;
    }
    values
}

const VALUES: [u8; 256] = values();

/// Writes `bytes` as lines, each with its length first.
pub(crate) fn encode(out: &mut Vec<u8>, bytes: &[u8]) {
    for line in bytes.chunks(LINE_BYTES) {
        let length = u8::try_from(line.len()).unwrap_or_default();
        out.push(if length <= 26 { b'A' + length - 1 } else { b'a' + length - 27 });
        for group in line.chunks(4) {
            let mut word = [0; 4];
            word[..group.len()].copy_from_slice(group);
            let mut rest = u32::from_be_bytes(word);
            let mut digits = [0; 5];
            for digit in digits.iter_mut().rev() {
                *digit = ALPHABET[(rest % 85) as usize];
                rest /= 85;
            }
            out.extend_from_slice(&digits);
        }
        out.push(b'\n');
    }
}

/// Adds the bytes of one line, without its newline, to `out`; `None` when it is malformed.
pub(super) fn decode_line(out: &mut Vec<u8>, line: &[u8]) -> Option<()> {
    let (first, digits) = line.split_first()?;
    let length = match first {
        b'A'..=b'Z' => usize::from(first - b'A') + 1,
        b'a'..=b'z' => usize::from(first - b'a') + 27,
        _ => return None,
    };
    if digits.len() != length.div_ceil(4) * 5 {
        return None;
    }
    let start = out.len();
    for group in digits.chunks(5) {
        let add = |word: u32, digit: &u8| match VALUES[usize::from(*digit)] {
            u8::MAX => None,
            value => word.checked_mul(85)?.checked_add(value.into()),
        };
        let word = group.iter().try_fold(0, add)?;
        out.extend_from_slice(&word.to_be_bytes());
    }
    out.truncate(start + length);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back_as_they_were() {
        for length in 0..200 {
            let bytes: Vec<u8> = (0..length).map(|at: u8| at.wrapping_mul(37)).collect();
            let (mut text, mut back) = (Vec::new(), Vec::new());
            encode(&mut text, &bytes);
            for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                assert_eq!(decode_line(&mut back, line), Some(()));
            }
            assert_eq!(back, bytes);
        }
    }

    #[test]
    fn malformed_lines_are_refused() {
        for line in [&b""[..], b"A", b"A0000", b"A000000", b"a00000", b"A0000\"", b"A~~~~~", b"000000"] {
            assert_eq!(decode_line(&mut Vec::new(), line), None, "{}", String::from_utf8_lossy(line));
        }
    }
}
