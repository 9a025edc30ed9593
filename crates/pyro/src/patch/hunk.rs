//! Hunks of text. The counts in a hunk's first line say where it ends, whatever its lines look like; that is how a
//! removed line `-- x` is not taken for the end of a mail. It must not know which operation they belong to.

use super::error::PatchError;
use super::error::shown;
use super::model::Hunk;
use super::model::Line;
use super::model::LineKind;
use super::parse::Budget;
use super::reader::Reader;
use pyro_proto::tree::TreePath;

/// Where an error happened.
struct Place<'a> {
    file: &'a TreePath,
    hunk: usize,
}

impl Place<'_> {
    fn wrong(&self, line: usize, what: &'static str) -> PatchError {
        PatchError::Hunk { file: shown(self.file.as_bytes()), hunk: self.hunk, line, what }
    }
}

/// Reads all hunks of a file; there may be none.
pub(super) fn read_all<'a>(
    reader: &mut Reader<'a>,
    file: &TreePath,
    budget: &mut Budget,
) -> Result<Vec<Hunk<'a>>, PatchError> {
    let mut hunks: Vec<Hunk<'a>> = Vec::new();
    while reader.at(b"@@ -") {
        let place = Place { file, hunk: hunks.len() + 1 };
        budget.take_hunk(reader.number())?;
        if hunks.last().is_some_and(Hunk::is_at_end) {
            return Err(place.wrong(reader.number(), "comes after the end of the file"));
        }
        hunks.push(read(reader, &place, budget)?);
    }
    if let (false, Some(line)) = (hunks.is_empty(), reader.peek()?) {
        let is_line = matches!(line.whole.first(), Some(b' ' | b'+' | b'-'));
        let is_other =
            line.text() == b"--" || line.whole.starts_with(b"-- ") || line.whole.starts_with(b"--- ");
        if is_line && !is_other {
            let place = Place { file, hunk: hunks.len() };
            return Err(place.wrong(line.number, "has more lines than it says"));
        }
    }
    Ok(hunks)
}

fn read<'a>(reader: &mut Reader<'a>, place: &Place<'_>, budget: &mut Budget) -> Result<Hunk<'a>, PatchError> {
    let line = reader.number();
    let first = reader.next()?.map(|line| line.text()).unwrap_or_default();
    let [old_start, old_count, new_start, new_count] =
        counts(first).ok_or_else(|| place.wrong(line, "has a first line that cannot be read"))?;
    let mut hunk = Hunk { old_start, old_count, new_start, new_count, lines: Vec::new(), line };
    let (mut old_left, mut new_left) = (old_count, new_count);
    while old_left > 0 || new_left > 0 {
        if reader.at(b"\\ ") {
            read_marker(reader, &mut hunk, place)?;
            continue;
        }
        let line = read_line(reader, place)?;
        budget.take_line(reader.number())?;
        let (old, new) = (line.kind != LineKind::Add, line.kind != LineKind::Remove);
        if old && old_left == 0 || new && new_left == 0 {
            return Err(place.wrong(reader.number() - 1, "has other lines than it says"));
        }
        (old_left, new_left) = (old_left - usize::from(old), new_left - usize::from(new));
        hunk.lines.push(line);
    }
    if reader.at(b"\\ ") {
        read_marker(reader, &mut hunk, place)?;
    }
    check(&hunk, place)?;
    Ok(hunk)
}

fn read_line<'a>(reader: &mut Reader<'a>, place: &Place<'_>) -> Result<Line<'a>, PatchError> {
    let number = reader.number();
    let line = reader.next()?.ok_or_else(|| place.wrong(number, "has fewer lines than it says"))?;
    if !line.is_terminated() {
        return Err(place.wrong(number, "ends in the middle of a line"));
    }
    let kind = match line.whole.first() {
        Some(b' ') => LineKind::Context,
        // What is left of an empty line of context when spaces at the ends of lines were taken away.
        Some(b'\n') => return Ok(Line { kind: LineKind::Context, text: line.whole }),
        Some(b'-') => LineKind::Remove,
        Some(b'+') => LineKind::Add,
        _ => return Err(place.wrong(number, "has fewer lines than it says")),
    };
    Ok(Line { kind, text: &line.whole[1..] })
}

/// `\ No newline at end of file`, in whatever language: the line before it has none.
fn read_marker(reader: &mut Reader<'_>, hunk: &mut Hunk<'_>, place: &Place<'_>) -> Result<(), PatchError> {
    let number = reader.number();
    reader.next()?;
    let text = hunk.lines.last_mut().map(|line| &mut line.text);
    match text.and_then(|text| text.strip_suffix(b"\n").map(|short| *text = short)) {
        Some(()) => Ok(()),
        None => Err(place.wrong(number, "says 'no newline' about no line")),
    }
}

/// A line without newline must be the last of its side, and something must change.
fn check(hunk: &Hunk<'_>, place: &Place<'_>) -> Result<(), PatchError> {
    for side in [LineKind::Remove, LineKind::Add] {
        let mut ended = false;
        for line in hunk.lines.iter().filter(|line| line.kind == LineKind::Context || line.kind == side) {
            if ended {
                return Err(place.wrong(hunk.line, "goes on after a line without newline"));
            }
            ended = !line.text.ends_with(b"\n");
        }
    }
    if hunk.lines.iter().all(|line| line.kind == LineKind::Context) {
        return Err(place.wrong(hunk.line, "changes nothing"));
    }
    Ok(())
}

/// The numbers of `@@ -a,b +c,d @@`.
pub(super) fn counts(text: &[u8]) -> Option<[usize; 4]> {
    let rest = text.strip_prefix(b"@@ -")?;
    let (old_start, old_count, rest) = range(rest)?;
    let (new_start, new_count, rest) = range(rest.strip_prefix(b" +")?)?;
    rest.starts_with(b" @@").then_some([old_start, old_count, new_start, new_count])
}

fn range(text: &[u8]) -> Option<(usize, usize, &[u8])> {
    let (start, rest) = number(text)?;
    match rest.strip_prefix(b",") {
        Some(rest) => number(rest).map(|(count, rest)| (start, count, rest)),
        None => Some((start, 1, rest)),
    }
}

/// A number below 2³², so that sums of a few never overflow.
fn number(text: &[u8]) -> Option<(usize, &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let digits = std::str::from_utf8(&text[..end]).ok()?;
    Some((digits.parse::<u32>().ok()? as usize, &text[end..]))
}
