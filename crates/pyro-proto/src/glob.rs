//! Globs, for the guest that leaves things out and the host that picks some. A pattern comes from the host and a path from the
//! guest: no pair of them may take longer than one times the other. This file must not look at files.
//!
//! `*` and `?` stop at a slash, `**` does not, `[abc]` is a class; one without a slash is matched against the last component,
//! one with a slash against the whole path below the root (a leading slash is dropped). `**/` stands for any folders or none,
//! a slash at the end means nothing.

use crate::bytes::ByteString;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Byte(u8),
    /// `?`
    Any,
    /// `[…]`: whether it is negated, and ranges.
    Class(bool, Vec<(u8, u8)>),
    /// `*`
    Name,
    /// `**`
    Path,
    /// `**/`: any folders, or none.
    Folders,
}

#[derive(Clone, Debug)]
struct Pattern {
    parts: Vec<Part>,
    /// Matched against the whole path.
    whole: bool,
    /// What it is when it has no special signs, which most have not.
    plain: Option<Vec<u8>>,
}

/// A list of globs.
#[derive(Clone, Debug, Default)]
pub struct Globs(Vec<Pattern>);

impl Globs {
    /// Reads a list of patterns; every one means something.
    pub fn new(globs: &[ByteString]) -> Self {
        Self(globs.iter().map(|glob| Pattern::new(&glob.0)).collect())
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them matches a path below the root.
    pub fn matches(&self, path: &[u8]) -> bool {
        let start = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        let name = &path[start..];
        self.0.iter().any(|pattern| pattern.matches(if pattern.whole { path } else { name }))
    }
}

impl Pattern {
    fn new(glob: &[u8]) -> Self {
        let glob = glob.strip_suffix(b"/").unwrap_or(glob);
        let whole = glob.contains(&b'/');
        let parts = parse(glob.strip_prefix(b"/").unwrap_or(glob));
        let literal = |part: &Part| if let Part::Byte(byte) = part { Some(*byte) } else { None };
        let plain = parts.iter().map(literal).collect();
        Self { parts, whole, plain }
    }

    /// Follows all ways to match at once.
    fn matches(&self, text: &[u8]) -> bool {
        if let Some(plain) = &self.plain {
            return plain == text;
        }
        let count = self.parts.len();
        let mut now = vec![false; count + 1];
        let mut next = now.clone();
        now[0] = true;
        for (at, byte) in text.iter().enumerate() {
            self.skip_empty(&mut now, at == 0 || text[at - 1] == b'/');
            next.fill(false);
            for (index, part) in self.parts.iter().enumerate().filter(|(index, _)| now[*index]) {
                match part {
                    Part::Byte(wanted) => next[index + 1] |= wanted == byte,
                    Part::Any => next[index + 1] |= *byte != b'/',
                    Part::Class(negated, ranges) => {
                        let inside = ranges.iter().any(|(low, high)| (low..=high).contains(&byte));
                        next[index + 1] |= *byte != b'/' && inside != *negated;
                    }
                    Part::Name => next[index] |= *byte != b'/',
                    Part::Path | Part::Folders => next[index] = true,
                }
            }
            std::mem::swap(&mut now, &mut next);
        }
        self.skip_empty(&mut now, text.is_empty());
        now[count]
    }

    /// Parts that may match nothing are passed; folders only where a component begins.
    fn skip_empty(&self, states: &mut [bool], at_component: bool) {
        for (index, part) in self.parts.iter().enumerate() {
            let empty = match part {
                Part::Name | Part::Path => true,
                Part::Folders => at_component,
                _ => false,
            };
            if states[index] && empty {
                states[index + 1] = true;
            }
        }
    }
}

fn parse(mut glob: &[u8]) -> Vec<Part> {
    let mut parts = Vec::new();
    while let Some((first, rest)) = glob.split_first() {
        let after_slash = matches!(parts.last(), None | Some(Part::Byte(b'/') | Part::Folders));
        (parts, glob) = match (first, rest) {
            (b'*', [b'*', b'/', rest @ ..]) if after_slash => (with(parts, Part::Folders), rest),
            (b'*', [b'*', rest @ ..]) => (with(parts, Part::Path), rest),
            (b'*', _) => (with(parts, Part::Name), rest),
            (b'?', _) => (with(parts, Part::Any), rest),
            (b'\\', [escaped, rest @ ..]) => (with(parts, Part::Byte(*escaped)), rest),
            (b'[', _) => match class(rest) {
                Some((part, rest)) => (with(parts, part), rest),
                None => (with(parts, Part::Byte(b'[')), rest),
            },
            (byte, _) => (with(parts, Part::Byte(*byte)), rest),
        };
    }
    parts
}

fn with(mut parts: Vec<Part>, part: Part) -> Vec<Part> {
    parts.push(part);
    parts
}

/// A class after its opening bracket; one that is never closed is none.
fn class(text: &[u8]) -> Option<(Part, &[u8])> {
    let (negated, text) = match text {
        [b'!' | b'^', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    // A bracket that comes first is a member.
    let end = 1 + text.get(1..)?.iter().position(|byte| *byte == b']')?;
    let (mut members, rest) = (&text[..end], &text[end + 1..]);
    let mut ranges = Vec::new();
    while let Some(first) = members.first() {
        if let [low, b'-', high, more @ ..] = members {
            ranges.push((*low, *high));
            members = more;
        } else {
            ranges.push((*first, *first));
            members = &members[1..];
        }
    }
    Some((Part::Class(negated, ranges), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(glob: &str, path: &str) -> bool {
        Globs::new(&[glob.into()]).matches(path.as_bytes())
    }

    #[test]
    fn a_glob_without_a_slash_is_about_the_last_component() {
        for (glob, path) in [
            ("*.rs", "src/main.rs"),
            ("node_modules", "a/b/node_modules"),
            ("node_modules/", "a/b/node_modules"),
            ("?.c", "x/a.c"),
            ("[a-c]x", "bx"),
            ("[!a-c]x", "dx"),
            ("[]]", "]"),
            ("\\*", "*"),
            ("[", "["),
            ("**", "anything"),
        ] {
            assert!(matches(glob, path), "{glob} {path}");
        }
        for (glob, path) in
            [("*.rs", "main.rs/a"), ("node", "node_modules"), ("[a-c]x", "dx"), ("\\*", "a"), ("?", "")]
        {
            assert!(!matches(glob, path), "{glob} {path}");
        }
    }

    #[test]
    fn a_glob_with_a_slash_is_about_the_whole_path() {
        for (glob, path) in [
            ("/target", "target"),
            ("src/*.rs", "src/main.rs"),
            ("src/**/*.rs", "src/a/b/main.rs"),
            ("src/**/*.rs", "src/main.rs"),
            ("**/x/y", "x/y"),
            ("**/x/y", "a/x/y"),
            ("a/**", "a/b/c"),
            ("a/b?", "a/bc"),
        ] {
            assert!(matches(glob, path), "{glob} {path}");
        }
        for (glob, path) in [
            ("/target", "a/target"),
            ("src/*.rs", "src/a/main.rs"),
            ("src/*.rs", "a/src/main.rs"),
            ("**/x/y", "ax/y"),
            ("a/**", "a"),
            ("a?b/c", "a/b/c"),
            ("a[/]b/c", "a/b/c"),
        ] {
            assert!(!matches(glob, path), "{glob} {path}");
        }
    }

    #[test]
    fn no_pattern_takes_forever() {
        let glob = "*a".repeat(500);
        assert!(!matches(&glob, &"a".repeat(4000).replace("aaaa", "aaab")));
        assert!(matches(&"**".repeat(1000), &"x/".repeat(1000)));
    }
}
