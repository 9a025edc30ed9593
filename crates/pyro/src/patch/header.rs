//! The lines that git puts before a file's change, from `diff --git` to `+++`. It must not read hunks.

use super::error::PatchError;
use super::error::shown;
use super::model::GitMode;
use super::model::Operation;
use super::name;
use super::name::Name;
use super::name::RawName;
use super::reader::RawLine;
use super::reader::Reader;
use pyro_proto::tree::TreePath;

/// What the lines say, before anything was made of it.
#[derive(Debug, Default)]
pub(super) struct Header<'a> {
    line: usize,
    first: &'a [u8],
    pub(super) old_mode: Option<GitMode>,
    pub(super) new_mode: Option<GitMode>,
    is_new: bool,
    is_deleted: bool,
    renamed: [Option<Name<'a>>; 2],
    copied: [Option<Name<'a>>; 2],
    sides: Option<(RawName<'a>, RawName<'a>)>,
    pub(super) ids: Option<(&'a [u8], &'a [u8])>,
}

/// What a header is about.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) operation: Operation,
    pub(super) old: TreePath,
    pub(super) new: TreePath,
}

impl<'a> Header<'a> {
    /// Reads a header from its `diff --git` line, which is next; `None`, and nothing but that line read, when it is the
    /// only one and thus no header at all.
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Option<Self>, PatchError> {
        let Some(first) = reader.next()? else { return Ok(None) };
        let text = first.text();
        let text = text.strip_prefix(b"diff --git ").unwrap_or(text);
        let mut header = Self { line: first.number, first: text, ..Self::default() };
        let mut is_empty = true;
        while let Some(line) = reader.peek()? {
            if line.whole.starts_with(b"--- ") {
                header.read_sides(reader)?;
                is_empty = false;
                break;
            }
            if !header.take(line)? {
                break;
            }
            is_empty = false;
            reader.next()?;
        }
        Ok((!is_empty).then_some(header))
    }

    fn wrong(&self, line: usize, what: &'static str) -> PatchError {
        PatchError::Header { file: shown(self.first), line, what }
    }

    fn read_sides(&mut self, reader: &mut Reader<'a>) -> Result<(), PatchError> {
        let line = reader.number();
        let sides =
            sides(reader)?.ok_or_else(|| self.wrong(line, "has no readable '---' and '+++' lines"))?;
        self.is_new |= sides.0 == RawName::Null;
        self.is_deleted |= sides.1 == RawName::Null;
        self.sides = Some(sides);
        Ok(())
    }

    /// Takes one line; whether it belongs to a header at all.
    fn take(&mut self, line: RawLine<'a>) -> Result<bool, PatchError> {
        let text = line.text();
        let is = |prefix: &str| text.strip_prefix(prefix.as_bytes());
        if let Some(mode) = is("old mode ") {
            self.old_mode = Some(self.mode(mode, line)?);
        } else if let Some(mode) = is("new mode ") {
            self.new_mode = Some(self.mode(mode, line)?);
        } else if let Some(mode) = is("new file mode ") {
            (self.new_mode, self.is_new) = (Some(self.mode(mode, line)?), true);
        } else if let Some(mode) = is("deleted file mode ") {
            (self.old_mode, self.is_deleted) = (Some(self.mode(mode, line)?), true);
        } else if let Some(name) = is("rename from ").or_else(|| is("rename old ")) {
            self.renamed[0] = Some(self.name(name, line)?);
        } else if let Some(name) = is("rename to ").or_else(|| is("rename new ")) {
            self.renamed[1] = Some(self.name(name, line)?);
        } else if let Some(name) = is("copy from ") {
            self.copied[0] = Some(self.name(name, line)?);
        } else if let Some(name) = is("copy to ") {
            self.copied[1] = Some(self.name(name, line)?);
        } else if let Some(index) = is("index ") {
            self.index(index, line)?;
        } else {
            return Ok(is("similarity index ").or_else(|| is("dissimilarity index ")).is_some());
        }
        Ok(true)
    }

    fn name(&self, text: &'a [u8], line: RawLine<'_>) -> Result<Name<'a>, PatchError> {
        name::alone(text).ok_or_else(|| PatchError::Path { path: shown(text), line: line.number })
    }

    fn mode(&self, text: &[u8], line: RawLine<'_>) -> Result<GitMode, PatchError> {
        let digits = std::str::from_utf8(text).ok().filter(|text| text.len() == 6);
        let mode = digits.and_then(|text| u32::from_str_radix(text, 8).ok()).unwrap_or(0);
        match mode & 0o170_000 {
            0o100_000 if mode & 0o100 != 0 => Ok(GitMode::Executable),
            0o100_000 => Ok(GitMode::Regular),
            0o120_000 => Ok(GitMode::Symlink),
            0o160_000 => Err(PatchError::Submodule { file: shown(self.first), line: line.number }),
            _ => Err(self.wrong(line.number, "has an unknown file mode")),
        }
    }

    /// `index <id>..<id> [mode]`; as in git, one that cannot be read says nothing.
    fn index(&mut self, text: &'a [u8], line: RawLine<'_>) -> Result<(), PatchError> {
        let mut words = text.splitn(2, |byte| *byte == b' ');
        let ids = words.next().unwrap_or_default();
        let at = ids.windows(2).position(|pair| pair == b"..");
        let is_id = |id: &[u8]| !id.is_empty() && id.len() <= 64 && id.iter().all(u8::is_ascii_hexdigit);
        self.ids = at.map(|at| (&ids[..at], &ids[at + 2..])).filter(|(old, new)| is_id(old) && is_id(new));
        if let (Some(_), Some(mode)) = (self.ids, words.next()) {
            let mode = self.mode(mode, line)?;
            self.old_mode.get_or_insert(mode);
            self.new_mode.get_or_insert(mode);
        }
        Ok(())
    }

    /// Makes something of it.
    pub(super) fn subject(&self, strip: Option<usize>) -> Result<Subject, PatchError> {
        let moved = match (&self.renamed, &self.copied) {
            ([None, None], [None, None]) => None,
            ([Some(from), Some(to)], [None, None]) => Some((Operation::Rename, from, to)),
            ([None, None], [Some(from), Some(to)]) => Some((Operation::Copy, from, to)),
            _ => return Err(self.wrong(self.line, "does not say from where to where the file goes")),
        };
        if self.is_new && self.is_deleted || moved.is_some() && (self.is_new || self.is_deleted) {
            return Err(self.wrong(self.line, "says that the file appears, goes or moves at once"));
        }
        if let Some((operation, from, to)) = moved {
            return self.moved(operation, from, to, strip);
        }
        let path = self.path(strip)?;
        let operation = match (self.is_new, self.is_deleted) {
            (true, _) => Operation::Create,
            (_, true) => Operation::Delete,
            _ => Operation::Modify,
        };
        Ok(Subject { operation, old: path.clone(), new: path })
    }

    fn moved(
        &self,
        operation: Operation,
        from: &[u8],
        to: &[u8],
        strip: Option<usize>,
    ) -> Result<Subject, PatchError> {
        let plain = strip.unwrap_or(1).saturating_sub(1);
        let (old, new) = (name::path(from, plain, self.line)?, name::path(to, plain, self.line)?);
        if old == new {
            return Err(self.wrong(self.line, "moves the file to where it is"));
        }
        if let Some((RawName::Named(left), RawName::Named(right))) = &self.sides {
            let is_plain = strip.is_none() && **left == *from && **right == *to;
            let strip = if is_plain { 0 } else { strip.unwrap_or(1) };
            let agree =
                |name, path: &TreePath| name::path(name, strip, self.line).map(|named| named == *path);
            if !agree(left, &old)? || !agree(right, &new)? {
                return Err(self.wrong(self.line, "names different files in different lines"));
            }
        }
        Ok(Subject { operation, old, new })
    }

    /// The one file that a header without a move is about.
    fn path(&self, strip: Option<usize>) -> Result<TreePath, PatchError> {
        let (left, right) = match &self.sides {
            Some((RawName::Named(left), RawName::Named(right))) => (left, right),
            Some((RawName::Named(only), RawName::Null) | (RawName::Null, RawName::Named(only))) => {
                return self.path_of_one(only, strip);
            }
            _ => match &name::two(self.first) {
                Some((left, right)) => return self.path_of_pair(left, right, strip),
                None => return Err(self.wrong(self.line, "does not say which file it is about")),
            },
        };
        if self.is_new || self.is_deleted {
            return Err(self.wrong(self.line, "says '/dev/null' in one line and not in the other"));
        }
        self.path_of_pair(left, right, strip)
    }

    fn path_of_pair(&self, left: &[u8], right: &[u8], strip: Option<usize>) -> Result<TreePath, PatchError> {
        let strip = strip.unwrap_or_else(|| name::prefix_of_pair(left, right));
        let (old, new) = (name::path(left, strip, self.line)?, name::path(right, strip, self.line)?);
        if old != new {
            return Err(self.wrong(self.line, "names two files and no rename"));
        }
        Ok(new)
    }

    /// The first line tells best whether the name has a prefix, if its two names can be told apart.
    fn path_of_one(&self, only: &[u8], strip: Option<usize>) -> Result<TreePath, PatchError> {
        let from_first = || {
            let (left, right) = name::two(self.first)?;
            (*left == *only || *right == *only).then(|| name::prefix_of_pair(&left, &right))
        };
        let strip = strip.or_else(from_first).unwrap_or_else(|| name::prefix_of_one(only));
        name::path(only, strip, self.line)
    }
}

/// Reads a `---` line and the `+++` line after it; `None` when they are none.
pub(super) fn sides<'a>(reader: &mut Reader<'a>) -> Result<Option<(RawName<'a>, RawName<'a>)>, PatchError> {
    let mut ahead = reader.clone();
    let (Some(old), Some(new)) = (ahead.next()?, ahead.next()?) else { return Ok(None) };
    let name = |line: RawLine<'a>, prefix| line.text().strip_prefix(prefix).and_then(RawName::of_side);
    let sides = name(old, b"--- ".as_slice()).zip(name(new, b"+++ ".as_slice()));
    if sides.is_some() {
        *reader = ahead;
    }
    Ok(sides)
}
