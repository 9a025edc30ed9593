//! Picks a range of lines from a file that comes in pieces. This file must not know where they come from.

/// Lines being picked.
#[derive(Debug)]
pub(super) struct Lines {
    start: u64,
    /// The first line that is not wanted any more.
    end: u64,
    bytes_max: usize,
    /// The line that the next byte belongs to, from 1.
    line: u64,
    /// Bytes looked at.
    seen: u64,
    picked: Vec<u8>,
    /// There was more to pick than there was room.
    full: bool,
    /// There is something behind the last line that is wanted.
    more: bool,
}

/// What was picked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Picked {
    pub(super) bytes: Vec<u8>,
    /// How many lines are in it, the last perhaps only in part.
    pub(super) lines: u64,
    /// It was cut.
    pub(super) truncated: bool,
    /// The line with which to go on: there is more, and what was picked ends with a whole line.
    pub(super) next: Option<u64>,
}

impl Lines {
    /// From line `start` on, from 1, so many lines, and at most so many bytes.
    pub(super) fn new(start: u64, count: Option<u64>, bytes_max: u64) -> Self {
        let start = start.max(1);
        Self {
            start,
            end: count.map_or(u64::MAX, |count| start.saturating_add(count)),
            bytes_max: usize::try_from(bytes_max).unwrap_or(usize::MAX),
            line: 1,
            seen: 0,
            picked: Vec::new(),
            full: false,
            more: false,
        }
    }

    /// Takes the next piece; false when no more is needed.
    pub(super) fn push(&mut self, mut piece: &[u8]) -> bool {
        self.seen += piece.len() as u64;
        while self.line < self.start {
            let Some(at) = piece.iter().position(|byte| *byte == b'\n') else { return true };
            piece = &piece[at + 1..];
            self.line += 1;
        }
        while !piece.is_empty() && self.line < self.end {
            let end = piece.iter().position(|byte| *byte == b'\n').map_or(piece.len(), |at| at + 1);
            let (line, rest) = piece.split_at(end);
            let room = self.bytes_max - self.picked.len();
            self.picked.extend_from_slice(&line[..line.len().min(room)]);
            if line.len() > room {
                self.full = true;
                return false;
            }
            self.line += u64::from(line.ends_with(b"\n"));
            piece = rest;
        }
        // Only what follows tells whether there is more.
        self.more = !piece.is_empty();
        !self.more
    }

    /// Bytes looked at so far.
    pub(super) const fn seen(&self) -> u64 {
        self.seen
    }

    /// What was picked. What is cut ends with a whole line, if there is one.
    pub(super) fn done(mut self) -> Picked {
        let mut next = self.more.then_some(self.end);
        if self.full
            && let Some(last) = self.picked.iter().rposition(|byte| *byte == b'\n')
        {
            self.picked.truncate(last + 1);
            next = Some(self.line);
        }
        let newlines = self.picked.iter().filter(|byte| **byte == b'\n').count() as u64;
        let lines = newlines + u64::from(self.picked.last().is_some_and(|last| *last != b'\n'));
        Picked { bytes: self.picked, lines, truncated: self.full, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pick(text: &str, start: u64, count: Option<u64>, bytes_max: u64, piece: usize) -> Picked {
        let mut lines = Lines::new(start, count, bytes_max);
        let _ = text.as_bytes().chunks(piece).all(|piece| lines.push(piece));
        lines.done()
    }

    #[test]
    fn lines_are_cut_after_a_whole_one() {
        let picked = pick("one\ntwo\nthree\nfour", 2, None, 9, 4);
        assert_eq!(picked, Picked { bytes: b"two\n".into(), lines: 1, truncated: true, next: Some(3) });
        let picked = pick("a long line", 1, Some(1), 4, 3);
        assert_eq!(picked, Picked { bytes: b"a lo".into(), lines: 1, truncated: true, next: None });
        let picked = pick("one\ntwo", 2, Some(5), 3, 100);
        assert_eq!(picked, Picked { bytes: b"two".into(), lines: 1, truncated: false, next: None });
    }

    #[test]
    fn where_to_read_on_is_told_as_long_as_there_is_more() {
        for piece in [1, 3, 100] {
            let picked = pick("one\ntwo\nthree", 1, Some(2), 100, piece);
            assert_eq!(
                picked,
                Picked { bytes: b"one\ntwo\n".into(), lines: 2, truncated: false, next: Some(3) }
            );
            assert_eq!(pick("one\ntwo\nthree", 3, Some(2), 100, piece).next, None);
            assert_eq!(pick("one\ntwo\n", 2, Some(1), 100, piece).next, None);
            assert_eq!(pick("one\ntwo\n", 9, Some(1), 100, piece).next, None);
        }
    }

    proptest! {
        #[test]
        fn any_pieces_give_the_same_lines(text in "[a\n]{0,40}", start in 1u64..8, count in 0u64..8, piece in 1usize..9) {
            let wanted: String = text.split_inclusive('\n').skip(start as usize - 1).take(count as usize).collect();
            let picked = pick(&text, start, Some(count), 1000, piece);
            prop_assert_eq!(picked.bytes, wanted.into_bytes());
            prop_assert!(!picked.truncated);
        }
    }
}
