//! Takes secrets out of a stream as it passes. What could be the beginning of one is held back until it is known.
//! This file must not read or write.
//!
//! ```text
//!   passed on <─── [ held: could be the beginning of a form ] <─── the next bytes
//! ```

use super::REDACTED;
use super::needles::Found;
use super::needles::Needles;
use std::sync::Arc;
use zeroize::Zeroize as _;

/// Bytes of what is held that may be shown when nothing follows: who types into a terminal sees what they type, and so few
/// bytes of a secret are worth nothing.
const SHOWN_EARLY_MAX: usize = 3;

/// One stream without its secrets.
#[derive(Debug)]
pub(crate) struct Redactor {
    needles: Arc<Needles>,
    held: Vec<u8>,
    /// How many of the held bytes were passed on already.
    shown: usize,
    /// What stands for a secret is as long as it was.
    same_length: bool,
}

impl Redactor {
    pub(crate) const fn new(needles: Arc<Needles>) -> Self {
        Self { needles, held: Vec::new(), shown: 0, same_length: false }
    }

    /// One that leaves every byte that is no secret's where it is, for files.
    pub(crate) fn masking(needles: Arc<Needles>) -> Self {
        Self { same_length: true, ..Self::new(needles) }
    }

    /// From here on other secrets are looked for as well. What was held is looked at again with the next bytes.
    pub(crate) fn look_for(&mut self, needles: Arc<Needles>) {
        self.needles = needles;
    }

    /// Takes the next bytes; what can be passed on.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.held.is_empty() && self.needles.is_empty() {
            return bytes.to_vec();
        }
        self.held.extend_from_slice(bytes);
        self.pass(false)
    }

    /// There are no more; the rest.
    pub(crate) fn end(&mut self) -> Vec<u8> {
        self.pass(true)
    }

    /// Nothing has followed for a while; what may be shown all the same.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let shown = self.held.len().min(SHOWN_EARLY_MAX);
        let early = self.held[self.shown.min(shown)..shown].to_vec();
        self.shown = self.shown.max(shown);
        early
    }

    /// Whether there is something that [`Self::rest`] shows.
    pub(crate) fn has_rest(&self) -> bool {
        self.held.len().min(SHOWN_EARLY_MAX) > self.shown
    }

    fn mark(&self, length: usize) -> impl Iterator<Item = u8> + use<> {
        let length = if self.same_length { length } else { REDACTED.len() };
        REDACTED.bytes().chain(std::iter::repeat(b'*')).take(length)
    }

    fn pass(&mut self, whole: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.held.len());
        // Up to where it was passed on, up to where it was looked through.
        let (mut from, mut at) = (self.shown, 0);
        let mut keep = self.held.len();
        while let Some(place) = self.needles.next(&self.held, at) {
            match self.needles.at(&self.held, place, whole) {
                Found::Nothing => at = place + 1,
                Found::Form(length) => {
                    out.extend_from_slice(&self.held[from.min(place)..place]);
                    out.extend(self.mark(length));
                    at = place + length;
                    from = at;
                }
                Found::Perhaps => {
                    keep = place;
                    break;
                }
            }
        }
        if keep > from {
            out.extend_from_slice(&self.held[from..keep]);
        }
        self.shown = from.saturating_sub(keep);
        // What passed on may be the beginning of a value that was not held long enough to be known as one.
        self.held[..keep].zeroize();
        self.held.drain(..keep);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretValue;
    use proptest::prelude::*;

    fn needles(values: &[&str]) -> Arc<Needles> {
        let values: Vec<_> = values.iter().map(|text| SecretValue::new((*text).into()).unwrap()).collect();
        Arc::new(Needles::of(&values))
    }

    fn in_pieces(needles: &Arc<Needles>, text: &[u8], size: usize) -> Vec<u8> {
        let mut redactor = Redactor::new(Arc::clone(needles));
        let mut out: Vec<u8> = text.chunks(size).flat_map(|piece| redactor.push(piece)).collect();
        out.extend(redactor.end());
        out
    }

    #[test]
    fn a_secret_is_taken_out_however_it_is_cut() {
        let needles = needles(&["swordfish", "swordfish-and-shark"]);
        let text = b"sword swordfish-and-sharp swordfish-and-shark c3dvcmRmaXNo swordfi";
        let expected = b"sword [REDACTED]-and-sharp [REDACTED] [REDACTED] swordfi";
        for size in 1..text.len() {
            let out = in_pieces(&needles, text, size);
            assert_eq!(out, expected, "{size}: {}", out.escape_ascii());
        }
    }

    #[test]
    fn what_cannot_be_a_secret_is_not_held() {
        let mut redactor = Redactor::new(needles(&["swordfish"]));
        assert_eq!(redactor.push(b"prompt$ "), b"prompt$ ");
        assert!(!redactor.has_rest());
        assert_eq!(redactor.push(b"swor"), b"");
        assert!(redactor.has_rest());
        assert_eq!(redactor.push(b"n"), b"sworn");
    }

    #[test]
    fn what_is_typed_is_shown_and_little_of_a_secret_is() {
        let mut redactor = Redactor::new(needles(&["swordfish"]));
        assert_eq!(redactor.push(b"s"), b"");
        assert_eq!(redactor.rest(), b"s");
        assert_eq!(redactor.rest(), b"");
        assert_eq!(redactor.push(b"ee "), b"ee ");
        let mut all = Vec::new();
        for byte in b"swordfish!" {
            all.extend(redactor.push(&[*byte]));
            all.extend(redactor.rest());
        }
        assert_eq!(all, b"swo[REDACTED]!");
    }

    proptest! {
        /// However a text is cut, and whatever is shown early, no secret passes and nothing else changes.
        #[test]
        fn cuts_make_no_difference(
            words in proptest::collection::vec(
                proptest::sample::select(vec!["swordfish", "sword", "fish", "s", "sw", "aaaaaaaa", "a", "ab", "-", "swordswordfish"]),
                0..30,
            ),
            size in 1..9_usize,
        ) {
            let needles = needles(&["swordfish", "aaaaaa", "aaaaab"]);
            let text = words.concat();
            let whole = in_pieces(&needles, text.as_bytes(), usize::MAX >> 1);
            prop_assert_eq!(&in_pieces(&needles, text.as_bytes(), size), &whole);
            prop_assert!(!String::from_utf8_lossy(&whole).contains("swordfish"));
            prop_assert_eq!(String::from_utf8_lossy(&whole), needles.redact(&text));
        }
    }
}
