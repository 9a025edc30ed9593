//! Git's deltas: a content made of pieces of another and of new bytes. It must not know where deltas come from.

/// The sizes before and afterwards that a delta announces, and its instructions; `None` when it is malformed.
pub(super) fn sizes(delta: &[u8]) -> Option<(usize, usize, &[u8])> {
    let (old, rest) = size(delta)?;
    let (new, rest) = size(rest)?;
    Some((old, new, rest))
}

/// Carries a delta out; `None` when it is malformed or not for this content. The result is not longer than announced.
pub(super) fn carry_out(old: &[u8], delta: &[u8]) -> Option<Vec<u8>> {
    let (old_size, new_size, mut rest) = sizes(delta)?;
    if old_size != old.len() {
        return None;
    }
    let mut out = Vec::new();
    while let Some((&instruction, after)) = rest.split_first() {
        let piece;
        (piece, rest) = match instruction {
            0 => return None,
            1..=127 => after.split_at_checked(instruction.into())?,
            _ => copied(old, instruction, after)?,
        };
        if piece.len() > new_size - out.len() {
            return None;
        }
        out.extend_from_slice(piece);
    }
    (out.len() == new_size).then_some(out)
}

/// The piece of `old` that an instruction means, and what follows it.
fn copied<'a, 'b>(old: &'a [u8], instruction: u8, mut rest: &'b [u8]) -> Option<(&'a [u8], &'b [u8])> {
    let mut number = |bits: std::ops::Range<u32>| {
        let first = bits.start;
        bits.filter(|bit| instruction & (1 << bit) != 0).try_fold(0, |number, bit| {
            let (byte, after) = rest.split_first()?;
            rest = after;
            Some(number | usize::from(*byte) << (8 * (bit - first)))
        })
    };
    let (offset, length) = (number(0..4)?, number(4..7)?);
    let length = if length == 0 { 0x1_0000 } else { length };
    Some((old.get(offset..offset.checked_add(length)?)?, rest))
}

fn size(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0usize;
    for (at, byte) in bytes.iter().enumerate().take(9) {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_and_inserts() {
        let delta = [5, 6, 0x90, 2, 3, b'x', b'y', b'z', 0x91, 4, 1];
        assert_eq!(carry_out(b"abcde", &delta).as_deref(), Some(&b"abxyze"[..]));
    }

    #[test]
    fn what_is_malformed_or_too_long_is_refused() {
        let bad: [&[u8]; 8] = [
            &[],
            &[5],
            &[4, 1, 1, b'x'],
            &[5, 2, 1, b'x'],
            &[5, 1, 2, b'x', b'y'],
            &[5, 1, 0],
            &[5, 9, 0x91, 4, 9],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ];
        for delta in bad {
            assert_eq!(carry_out(b"abcde", delta), None, "{delta:?}");
        }
    }
}
