//! Names of files as patches write them: C-style quotes, prefixes, `/dev/null`. It must not know what a hunk is.

use super::error::PatchError;
use super::error::shown;
use pyro_proto::tree::TreePath;
use std::borrow::Cow;

/// The bytes of a name, borrowed unless it had quotes.
pub(super) type Name<'a> = Cow<'a, [u8]>;

/// A name as it stands in a patch, without its quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RawName<'a> {
    /// `/dev/null`: there is no file on this side.
    Null,
    /// Anything else.
    Named(Name<'a>),
}

impl<'a> RawName<'a> {
    /// Reads what follows `--- ` or `+++ `: a name and perhaps, after a tab, a time.
    pub(super) fn of_side(text: &'a [u8]) -> Option<Self> {
        if let Some(rest) = text.strip_prefix(b"/dev/null")
            && rest.first().is_none_or(u8::is_ascii_whitespace)
        {
            return Some(Self::Null);
        }
        if text.starts_with(b"\"") {
            let (name, rest) = unquote(text)?;
            return rest.first().is_none_or(u8::is_ascii_whitespace).then_some(Self::Named(Cow::Owned(name)));
        }
        let end = text.iter().position(|byte| *byte == b'\t').unwrap_or(text.len());
        Some(Self::Named(Cow::Borrowed(&text[..end])))
    }
}

/// Reads what follows `rename from ` and its like: a name and nothing else.
pub(super) fn alone(text: &[u8]) -> Option<Name<'_>> {
    if !text.starts_with(b"\"") {
        return Some(Cow::Borrowed(text));
    }
    let (name, rest) = unquote(text)?;
    rest.is_empty().then_some(Cow::Owned(name))
}

/// Reads what follows `diff --git `: two names, which cannot be told apart unless they are quoted or equally long.
pub(super) fn two(text: &[u8]) -> Option<(Name<'_>, Name<'_>)> {
    if text.starts_with(b"\"") {
        let (old, rest) = unquote(text)?;
        return Some((Cow::Owned(old), alone(rest.strip_prefix(b" ")?)?));
    }
    if text.ends_with(b"\"") {
        let at = text.windows(2).position(|pair| pair == b" \"")?;
        return Some((Cow::Borrowed(&text[..at]), alone(&text[at + 1..])?));
    }
    let middle = text.len() / 2;
    let is_middle = text.len() % 2 == 1 && text[middle] == b' ';
    is_middle.then(|| (Cow::Borrowed(&text[..middle]), Cow::Borrowed(&text[middle + 1..])))
}

/// How many components come before the path in a pair of names, when nobody said so: one if that makes them equal, as
/// in `a/x` and `b/x`, or if they are git's usual two.
pub(super) fn prefix_of_pair(old: &[u8], new: &[u8]) -> usize {
    let (dots, old) = without_dots(old);
    let (_, new) = without_dots(new);
    if old == new {
        return dots;
    }
    let (old_head, old_rest) = split(old);
    let (new_head, new_rest) = split(new);
    let usual = matches!((old_head, new_head), (b"a", b"b") | (b"b", b"a"));
    let has_prefix = old_rest.is_some() && new_rest.is_some() && (old_rest == new_rest || usual);
    dots + usize::from(has_prefix)
}

/// The same for a name whose other side is `/dev/null`.
pub(super) fn prefix_of_one(name: &[u8]) -> usize {
    let (dots, name) = without_dots(name);
    dots + usize::from(name.starts_with(b"a/") || name.starts_with(b"b/"))
}

fn without_dots(mut name: &[u8]) -> (usize, &[u8]) {
    let mut dots = 0;
    while let Some(rest) = name.strip_prefix(b"./") {
        (dots, name) = (dots + 1, rest);
    }
    (dots, name)
}

fn split(name: &[u8]) -> (&[u8], Option<&[u8]>) {
    match name.iter().position(|byte| *byte == b'/') {
        Some(at) => (&name[..at], Some(&name[at + 1..])),
        None => (name, None),
    }
}

/// The path that a name means, once so many components are taken from its front.
pub(super) fn path(name: &[u8], strip: usize, line: usize) -> Result<TreePath, PatchError> {
    if name.starts_with(b"/") || name.split(|byte| *byte == b'/').any(|part| part == b"..") {
        return Err(PatchError::PathEscapes { path: shown(name), line });
    }
    let parts = name.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).skip(strip);
    let parts: Vec<&[u8]> = parts.filter(|part| *part != b".").collect();
    match TreePath::new(parts.join(&b'/')) {
        Ok(path) if !path.is_root() && !name.ends_with(b"/") => Ok(path),
        _ => Err(PatchError::Path { path: shown(name), line }),
    }
}

/// Takes the C-style quotes from the name at the front of `text`; gives what follows, too.
fn unquote(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut rest = text.strip_prefix(b"\"")?;
    let mut name = Vec::new();
    loop {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        match byte {
            b'"' => return Some((name, rest)),
            b'\\' => {
                let (byte, after) = escaped(rest)?;
                name.push(byte);
                rest = after;
            }
            byte => name.push(byte),
        }
    }
}

fn escaped(rest: &[u8]) -> Option<(u8, &[u8])> {
    let (&letter, after) = rest.split_first()?;
    let byte = match letter {
        b'a' => 0x07,
        b'b' => 0x08,
        b't' => b'\t',
        b'n' => b'\n',
        b'v' => 0x0b,
        b'f' => 0x0c,
        b'r' => b'\r',
        b'"' | b'\\' => letter,
        b'0'..=b'3' => {
            let (digits, after) = rest.split_at_checked(3)?;
            let digits = std::str::from_utf8(digits).ok()?;
            return Some((u8::from_str_radix(digits, 8).ok()?, after));
        }
        _ => return None,
    };
    Some((byte, after))
}

/// A name as a patch writes it: with quotes and escapes if it has control characters, quotes, backslashes, or bytes that
/// are no UTF-8.
pub(crate) fn quote(name: &[u8]) -> Cow<'_, [u8]> {
    let is_text = std::str::from_utf8(name).is_ok();
    let is_plain = |byte: &u8| !matches!(byte, 0..0x20 | b'"' | b'\\' | 0x7f) && (is_text || *byte < 0x80);
    if name.iter().all(is_plain) {
        return Cow::Borrowed(name);
    }
    let mut quoted = vec![b'"'];
    for byte in name {
        let letter = match byte {
            0x07 => b'a',
            0x08 => b'b',
            b'\t' => b't',
            b'\n' => b'n',
            0x0b => b'v',
            0x0c => b'f',
            b'\r' => b'r',
            b'"' | b'\\' => *byte,
            byte if is_plain(byte) => {
                quoted.push(*byte);
                continue;
            }
            byte => {
                quoted.extend_from_slice(format!("\\{byte:03o}").as_bytes());
                continue;
            }
        };
        quoted.extend_from_slice(&[b'\\', letter]);
    }
    quoted.push(b'"');
    Cow::Owned(quoted)
}

/// Whether a name in a `---` or `+++` line must be followed by a tab, so that its spaces are not taken for its end.
pub(crate) fn needs_tab(quoted: &[u8]) -> bool {
    !quoted.starts_with(b"\"") && quoted.contains(&b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_come_and_go() {
        let all: Vec<u8> = (1..=255).collect();
        for name in [&b"plain name"[..], b"tab\tquote\"back\\slash", "Grüße".as_bytes(), b"\xff\x01", &all]
        {
            let quoted = quote(name);
            assert_eq!(alone(&quoted).as_deref(), Some(name));
        }
        assert_eq!(&*quote(b"a\nb\xff"), b"\"a\\nb\\377\"");
        for bad in [&b"\"open"[..], b"\"\\q\"", b"\"\\400\"", b"\"\\12\"", b"\"x\" y"] {
            assert_eq!(alone(bad), None, "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn prefixes_are_found() {
        assert_eq!(prefix_of_pair(b"a/x", b"b/x"), 1);
        assert_eq!(prefix_of_pair(b"i/x", b"w/x"), 1);
        assert_eq!(prefix_of_pair(b"p-1.0/src/x", b"p-1.1/src/x"), 1);
        assert_eq!(prefix_of_pair(b"a/x", b"a/x"), 0);
        assert_eq!(prefix_of_pair(b"src/x", b"src/x"), 0);
        assert_eq!(prefix_of_pair(b"x", b"x.new"), 0);
        assert_eq!(prefix_of_pair(b"./a/x", b"./b/x"), 2);
        assert_eq!((prefix_of_one(b"b/x"), prefix_of_one(b"src/x")), (1, 0));
    }

    #[test]
    fn paths_stay_inside() {
        assert_eq!(path(b"a//./x", 1, 1).unwrap().as_bytes(), b"x");
        for bad in [&b"/etc/x"[..], b"a/../../x", b"..", b"a/.."] {
            assert!(matches!(path(bad, 0, 1), Err(PatchError::PathEscapes { .. })));
        }
        let long = [b'x'; 4096];
        for bad in [&b""[..], b"a", b"a/", b"a/.", b"a/x\0y", b"a/x/", &long] {
            assert!(matches!(path(bad, 1, 1), Err(PatchError::Path { .. })));
        }
    }
}
