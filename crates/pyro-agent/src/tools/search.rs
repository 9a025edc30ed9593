//! Looking for a regular expression, line by line, in files as large as they may be. This file must not follow a link below
//! the root.

use super::fault;
use super::fault::Fallible;
use super::listing::Listing;
use super::sink::Sink;
use super::walk::Step;
use crate::refusal::refuse;
use memchr::memchr;
use memchr::memrchr;
use pyro_proto::bytes::ByteString;
use pyro_proto::glob::Globs;
use pyro_proto::limits::MATCH_TEXT_BYTES_MAX;
use pyro_proto::message::ErrorCode;
use pyro_proto::tool::SearchDone;
use pyro_proto::tool::SearchMatch;
use pyro_proto::tree::RECORD_BYTES_MAX;
use pyro_proto::tree::TreePath;
use regex_lite::Regex;
use regex_lite::RegexBuilder;
use rustix::fs::FileType;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::borrow::Cow;
use std::os::fd::OwnedFd;

/// Bytes read at once, and the longest line; what of a line is beyond it is looked at as a line of its own.
const BUFFER_BYTES: usize = 256 * 1024;

/// A file with a zero byte among its first bytes is no text, and is not looked into.
const BINARY_PROBE_BYTES: usize = 8 * 1024;

/// Most bytes of all matches together: they travel in one record.
const DOCUMENT_BYTES_MAX: usize = RECORD_BYTES_MAX - 8 * 1024;

/// Longest pattern, and most memory for what it is turned into.
const PATTERN_BYTES_MAX: usize = 16 * 1024;
const PROGRAM_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What to look for.
pub(super) struct Pattern {
    regex: Regex,
    /// The pattern itself, when it has no sign with a meaning: much faster to find.
    plain: Option<memchr::memmem::Finder<'static>>,
}

impl Pattern {
    pub(super) fn new(
        pattern: &str,
        fixed: bool,
        ignore_case: bool,
    ) -> Result<Self, pyro_proto::message::WireError> {
        if pattern.len() > PATTERN_BYTES_MAX {
            let text = format!("the pattern is longer than {PATTERN_BYTES_MAX} bytes");
            return Err(refuse(ErrorCode::BadRequest, text));
        }
        let escaped = regex_lite::escape(pattern);
        let plain = fixed || escaped == pattern;
        let regex = RegexBuilder::new(if plain { &escaped } else { pattern })
            .case_insensitive(ignore_case)
            .size_limit(PROGRAM_BYTES_MAX)
            .build()
            .map_err(|error| refuse(ErrorCode::BadRequest, format!("the pattern is malformed: {error}")))?;
        let plain =
            (plain && !ignore_case).then(|| memchr::memmem::Finder::new(pattern.as_bytes()).into_owned());
        Ok(Self { regex, plain })
    }

    /// Where it begins in a line, in bytes.
    fn find(&self, line: &[u8]) -> Option<usize> {
        if let Some(plain) = &self.plain {
            return plain.find(line);
        }
        let text = String::from_utf8_lossy(line);
        let at = self.regex.find(&text)?.start();
        Some(match text {
            Cow::Borrowed(_) => at,
            Cow::Owned(_) => before_replacing(line, at),
        })
    }

    /// The first place in many lines where it may be; nothing if it is in none of them.
    fn hint(&self, lines: &[u8]) -> Option<usize> {
        self.plain.as_ref().map_or(Some(0), |plain| plain.find(lines))
    }
}

/// Where a place in the text was before what is not UTF-8 was replaced by a sign of three bytes.
fn before_replacing(line: &[u8], at: usize) -> usize {
    let (mut text, mut bytes) = (0, 0);
    for chunk in line.utf8_chunks() {
        if at <= text + chunk.valid().len() {
            return bytes + at.saturating_sub(text);
        }
        text += chunk.valid().len() + char::REPLACEMENT_CHARACTER.len_utf8();
        bytes += chunk.valid().len() + chunk.invalid().len();
    }
    bytes
}

/// Which files to look into, and when to stop.
pub(super) struct Scope<'a> {
    pub(super) include: &'a [ByteString],
    pub(super) exclude: &'a [ByteString],
    pub(super) matches_max: u32,
}

pub(super) fn run(
    root: &[u8],
    pattern: &Pattern,
    scope: &Scope<'_>,
    sink: &mut Sink,
) -> Fallible<SearchDone> {
    let include = (!scope.include.is_empty()).then(|| Globs::new(scope.include));
    let mut listing = Listing::new(root, scope.exclude);
    let mut search = Search {
        pattern,
        matches_max: usize::try_from(scope.matches_max).unwrap_or(usize::MAX),
        done: SearchDone::default(),
        document_bytes: 0,
        buffer: vec![0; BUFFER_BYTES],
    };
    while let Some(step) = listing.next(sink)? {
        let wanted = |path: &TreePath| include.as_ref().is_none_or(|globs| globs.matches(path.as_bytes()));
        let mut kind = step.kind;
        if kind != FileType::RegularFile {
            let stat = match step.look() {
                Ok(stat) => stat,
                Err(errno) => {
                    listing.missed(&step, "looking at", errno, sink)?;
                    continue;
                }
            };
            kind = FileType::from_raw_mode(stat.st_mode);
            if kind == FileType::Directory {
                listing.enter(&step, &stat, sink)?;
            }
        }
        if kind == FileType::RegularFile && (step.path.is_root() || wanted(&step.path)) {
            if let Err(errno) = search.file(&step) {
                listing.missed(&step, "reading", errno, sink)?;
            }
            if search.done.truncated {
                break;
            }
        }
    }
    Ok(search.done)
}

/// A place in a file where a line begins, or goes on.
#[derive(Clone, Copy)]
struct Place {
    line: u64,
    /// Bytes of the line that were looked at already.
    before: u64,
}

impl Place {
    /// The place after some bytes.
    fn after(self, bytes: &[u8]) -> Self {
        match memrchr(b'\n', bytes) {
            None => Self { before: self.before + bytes.len() as u64, ..self },
            Some(last) => Self {
                line: self.line + memchr::memchr_iter(b'\n', bytes).count() as u64,
                before: (bytes.len() - last - 1) as u64,
            },
        }
    }
}

struct Search<'a> {
    pattern: &'a Pattern,
    matches_max: usize,
    done: SearchDone,
    document_bytes: usize,
    buffer: Vec<u8>,
}

impl Search<'_> {
    fn file(&mut self, step: &Step) -> Result<(), Errno> {
        let file = step.open(OFlags::empty())?;
        if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::RegularFile {
            return Ok(());
        }
        self.done.files += 1;
        let mut buffer = std::mem::take(&mut self.buffer);
        let outcome = self.lines(&file, &step.path, &mut buffer);
        self.buffer = buffer;
        outcome
    }

    /// Reads as many whole lines at once as fit.
    fn lines(&mut self, file: &OwnedFd, path: &TreePath, buffer: &mut [u8]) -> Result<(), Errno> {
        let mut place = Place { line: 1, before: 0 };
        let (mut held, mut first) = (0, true);
        loop {
            let count = fault::retry(|| rustix::io::read(file, &mut buffer[held..]))?;
            held += count;
            if std::mem::take(&mut first) && memchr(0, &buffer[..held.min(BINARY_PROBE_BYTES)]).is_some() {
                return Ok(());
            }
            let whole = match memrchr(b'\n', &buffer[..held]) {
                _ if count == 0 => held,
                Some(end) => end + 1,
                None if held == buffer.len() => held,
                None => continue,
            };
            place = self.block(path, &buffer[..whole], place);
            if count == 0 || self.done.truncated {
                return Ok(());
            }
            buffer.copy_within(whole..held, 0);
            held -= whole;
        }
    }

    /// Looks at whole lines, the first of which may have begun earlier; the place after them.
    fn block(&mut self, path: &TreePath, mut lines: &[u8], mut place: Place) -> Place {
        while !lines.is_empty() && !self.done.truncated {
            let Some(hint) = self.pattern.hint(lines) else {
                return place.after(lines);
            };
            let begin = memrchr(b'\n', &lines[..hint]).map_or(0, |end| end + 1);
            place = place.after(&lines[..begin]);
            let rest = &lines[begin..];
            let end = memchr(b'\n', rest).unwrap_or(rest.len());
            let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
            if let Some(at) = self.pattern.find(line) {
                self.found(path, place.line, place.before + at as u64, line);
            }
            let (looked_at, later) = rest.split_at(rest.len().min(end + 1));
            place = place.after(looked_at);
            lines = later;
        }
        place
    }

    fn found(&mut self, path: &TreePath, line: u64, at: u64, text: &[u8]) {
        let found = SearchMatch {
            path: path.as_bytes().to_vec().into(),
            line,
            column: at + 1,
            text: cut(text).to_vec().into(),
        };
        let size = serde_json::to_vec(&found).map_or(usize::MAX, |json| json.len() + 1);
        self.document_bytes = self.document_bytes.saturating_add(size);
        if self.done.matches.len() >= self.matches_max || self.document_bytes > DOCUMENT_BYTES_MAX {
            self.done.truncated = true;
        } else {
            self.done.matches.push(found);
        }
    }
}

/// The beginning of a line, not ending inside of a character.
fn cut(line: &[u8]) -> &[u8] {
    if line.len() <= MATCH_TEXT_BYTES_MAX {
        return line;
    }
    let mut end = MATCH_TEXT_BYTES_MAX;
    while end > MATCH_TEXT_BYTES_MAX - 4 && line[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    &line[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_the_bytes_that_are_there() {
        let pattern = Pattern::new("n[e]edle", false, false).unwrap();
        assert_eq!(pattern.find(b"needle"), Some(0));
        assert_eq!(pattern.find("éneedle".as_bytes()), Some(2));
        assert_eq!(pattern.find(b"a\xff\xfeb needle"), Some(5));
        assert_eq!(pattern.find(b"\xffneedle"), Some(1));
        assert_eq!(pattern.find(b"\xff"), None);
    }

    #[test]
    fn plain_text_is_found_as_it_is() {
        for (pattern, fixed) in [("a.b", true), ("a\\.b", false)] {
            let pattern = Pattern::new(pattern, fixed, false).unwrap();
            assert_eq!((pattern.find(b"xa.b"), pattern.find(b"xacb")), (Some(1), None));
        }
        assert_eq!(Pattern::new("A.B", true, true).unwrap().find(b"xa.b"), Some(1));
        assert!(Pattern::new("(", false, false).is_err());
        assert!(Pattern::new(&"a{100}".repeat(200), false, false).is_ok());
        assert!(Pattern::new("((a{100}){100}){100}", false, false).is_err());
    }

    #[test]
    fn a_cut_line_ends_with_a_whole_character() {
        let line = format!("a{}", "é".repeat(MATCH_TEXT_BYTES_MAX));
        assert_eq!(str::from_utf8(cut(line.as_bytes())).unwrap().len(), MATCH_TEXT_BYTES_MAX - 1);
    }
}
