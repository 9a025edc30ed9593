//! All forms of all secrets, to be found in bytes: the leftmost first, and of those that begin at one place the longest.
//! Takes a few bytes of memory for each byte of a form, however many there are. This file must not keep what it looks through.

use super::forms;
use super::forms::Form;
use super::value::REDACTED_BYTES_MIN;
use super::value::SecretValue;
use std::collections::HashMap;
use std::ops::Range;

/// The first bytes of a form, by which it is looked up.
type Head = [u8; REDACTED_BYTES_MIN];

/// What is looked for.
#[derive(Clone, Default)]
pub(crate) struct Needles {
    /// Longest first.
    by_head: HashMap<Head, Vec<Form>>,
    /// The first bytes of all forms, one bit for each pair: most places of most texts are told by this.
    pairs: Vec<u64>,
    longest: usize,
}

/// What is at one place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    /// A form of so many bytes.
    Form(usize),
    /// The bytes end here, and more of them could make a form, or a longer one.
    Perhaps,
}

impl std::fmt::Debug for Needles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Needles({})", self.by_head.len())
    }
}

impl Needles {
    /// All forms of these values.
    pub(crate) fn of<'a>(values: impl IntoIterator<Item = &'a SecretValue>) -> Self {
        let mut needles = Self { pairs: vec![0; (1 << 16) / 64], ..Self::default() };
        for form in values.into_iter().flat_map(forms::of) {
            let Some(head) = form.first_chunk::<REDACTED_BYTES_MIN>() else { continue };
            let pair = pair(head[0], head[1]);
            needles.pairs[pair / 64] |= 1 << (pair % 64);
            needles.longest = needles.longest.max(form.len());
            let same = needles.by_head.entry(*head).or_default();
            if !same.contains(&form) {
                same.push(form);
            }
        }
        needles
            .by_head
            .values_mut()
            .for_each(|forms| forms.sort_by_key(|form| std::cmp::Reverse(form.len())));
        needles
    }

    /// Whether there is nothing to look for.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_head.is_empty()
    }

    /// Bytes of the longest form.
    pub(crate) const fn longest(&self) -> usize {
        self.longest
    }

    /// Writes over every form in these bytes, which stay as many as they are.
    pub(crate) fn mask(&self, bytes: &mut [u8]) {
        for range in self.all(bytes) {
            hide(&mut bytes[range]);
        }
    }

    /// The same of the beginning of something longer: what could be the first part of a form is hidden, too.
    pub(crate) fn mask_beginning(&self, bytes: &mut [u8]) {
        let mut from = 0;
        while let Some(place) = self.next(bytes, from) {
            from = match self.at(bytes, place, false) {
                Found::Form(length) => place + length,
                Found::Nothing => place + 1,
                Found::Perhaps => {
                    hide(&mut bytes[place..]);
                    break;
                }
            };
        }
        self.mask(bytes);
    }

    /// Takes every form out of a text.
    pub(crate) fn redact(&self, text: &str) -> String {
        let mut out = Vec::new();
        let mut from = 0;
        for range in self.all(text.as_bytes()) {
            out.extend_from_slice(&text.as_bytes()[from..range.start]);
            out.extend_from_slice(super::REDACTED.as_bytes());
            from = range.end;
        }
        out.extend_from_slice(&text.as_bytes()[from..]);
        String::from_utf8_lossy(&out).into_owned()
    }

    fn all(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        let mut all = Vec::new();
        let mut at = 0;
        while let Some(place) = self.next(bytes, at) {
            match self.at(bytes, place, true) {
                Found::Form(length) => {
                    all.push(place..place + length);
                    at = place + length;
                }
                Found::Nothing | Found::Perhaps => at = place + 1,
            }
        }
        all
    }

    /// The next place, from this one on, where a form could begin.
    pub(super) fn next(&self, bytes: &[u8], from: usize) -> Option<usize> {
        if self.is_empty() {
            return None;
        }
        let pairs = bytes.get(from..)?.windows(2);
        let found = pairs.enumerate().find(|(_, pair)| self.has_pair(pair[0], pair[1]));
        let last = || {
            let last = bytes.len().checked_sub(1).filter(|last| *last >= from)?;
            self.by_head.keys().any(|head| head[0] == bytes[last]).then_some(last)
        };
        found.map(|(at, _)| from + at).or_else(last)
    }

    fn has_pair(&self, first: u8, second: u8) -> bool {
        let pair = pair(first, second);
        self.pairs[pair / 64] & (1 << (pair % 64)) != 0
    }

    /// What is at a place. With `whole` the bytes are all there will be.
    pub(super) fn at(&self, bytes: &[u8], place: usize, whole: bool) -> Found {
        let rest = &bytes[place..];
        let Some(head) = rest.first_chunk::<REDACTED_BYTES_MIN>() else {
            let begins = !whole && self.by_head.keys().any(|head| head.starts_with(rest));
            return if begins { Found::Perhaps } else { Found::Nothing };
        };
        let Some(forms) = self.by_head.get(head) else { return Found::Nothing };
        for form in forms {
            if rest.starts_with(form) {
                return Found::Form(form.len());
            }
            if !whole && form.starts_with(rest) {
                return Found::Perhaps;
            }
        }
        Found::Nothing
    }
}

fn hide(bytes: &mut [u8]) {
    let mark = super::REDACTED.bytes().chain(std::iter::repeat(b'*'));
    bytes.iter_mut().zip(mark).for_each(|(byte, mark)| *byte = mark);
}

fn pair(first: u8, second: u8) -> usize {
    usize::from(first) << 8 | usize::from(second)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needles(values: &[&str]) -> Needles {
        let values: Vec<_> = values.iter().map(|text| SecretValue::new((*text).into()).unwrap()).collect();
        Needles::of(&values)
    }

    #[test]
    fn every_form_is_taken_out_of_a_text_and_the_rest_stays() {
        let needles = needles(&["swordfish", "swordfish-and-shark"]);
        let text = "a swordfish, a swordfish-and-shark, c3dvcmRmaXNo and swordfis";
        assert_eq!(needles.redact(text), "a [REDACTED], a [REDACTED], [REDACTED] and swordfis");
        assert!(Needles::default().redact("swordfish") == "swordfish");
    }

    #[test]
    fn what_is_cut_off_in_the_middle_of_a_form_is_hidden_as_far_as_it_goes() {
        let needles = needles(&["swordfish-and-shark", "pin123"]);
        let masked = |text: &str| {
            let mut bytes = text.as_bytes().to_vec();
            needles.mask_beginning(&mut bytes);
            String::from_utf8(bytes).unwrap()
        };
        assert_eq!(masked("a pin123 swordfish-and-"), "a [REDAC [REDACTED]****");
        assert_eq!(masked("swordfish and s"), "swordfish and [");
        assert_eq!(masked("nothing of it"), "nothing of it");
    }

    #[test]
    fn a_mask_is_as_long_as_what_it_hides() {
        let needles = needles(&["swordfish-and-shark", "pin123"]);
        let mut bytes = b"x swordfish-and-shark pin123 y".to_vec();
        needles.mask(&mut bytes);
        assert_eq!(bytes, b"x [REDACTED]********* [REDAC y");
    }
}
