//! A pattern that output is searched for, bounded in size and time. This file must not read output.

use super::ShellError;
use regex::bytes::Regex;
use regex::bytes::RegexBuilder;

/// Longest pattern, in bytes, and most memory that it may take when compiled.
const PATTERN_BYTES_MAX: usize = 4096;
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// A regular expression on bytes, in the syntax of the crate `regex`: it takes time linear in what it searches.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(Regex);

impl Pattern {
    /// # Errors
    /// [`ShellError::Pattern`].
    pub(crate) fn new(text: &str) -> Result<Self, ShellError> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(ShellError::Pattern {
                reason: format!("it is longer than {PATTERN_BYTES_MAX} bytes"),
            });
        }
        let built =
            RegexBuilder::new(text).size_limit(COMPILED_BYTES_MAX).dfa_size_limit(COMPILED_BYTES_MAX).build();
        built.map(Self).map_err(|error| ShellError::Pattern { reason: error.to_string() })
    }

    /// Where the first match at or behind `from` ends. What lies before `from` is only looked at for context.
    pub(crate) fn end_of_match(&self, bytes: &[u8], from: usize) -> Option<usize> {
        self.0.find_at(bytes, from).map(|found| found.end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_bounded_and_know_their_context() {
        let pattern = Pattern::new(r"^ab").unwrap();
        assert_eq!(pattern.end_of_match(b"abab", 0), Some(2));
        assert_eq!(pattern.end_of_match(b"xab", 1), None);
        assert_eq!(Pattern::new(r"(?-u)\xff$").unwrap().end_of_match(b"a\xff", 0), Some(2));
        for bad in ["(", "a{1000}{1000}", &"a".repeat(5000)] {
            assert!(Pattern::new(bad).is_err());
        }
    }
}
