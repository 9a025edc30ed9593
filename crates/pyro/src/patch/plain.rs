//! The two lines that `diff -u` puts before a file's hunks. It must not know git's own lines.

use super::error::PatchError;
use super::header::Subject;
use super::model::Operation;
use super::name;
use super::name::RawName;
use super::reader::RawLine;
use super::reader::Reader;

/// Whether the `---` line that is next begins a file: a `+++` line and a hunk follow.
pub(super) fn is_next(reader: &Reader<'_>) -> Result<bool, PatchError> {
    if !reader.at(b"--- ") {
        return Ok(false);
    }
    let mut ahead = reader.clone();
    ahead.next()?;
    let is_new = ahead.at(b"+++ ");
    ahead.next()?;
    Ok(is_new && ahead.at(b"@@ -"))
}

/// Reads the two lines.
pub(super) fn read(reader: &mut Reader<'_>, strip: Option<usize>) -> Result<Subject, PatchError> {
    let line = reader.number();
    let unreadable = || PatchError::Path { path: "--- +++".to_owned(), line };
    let (first, second) = (reader.next()?.ok_or_else(unreadable)?, reader.next()?.ok_or_else(unreadable)?);
    let (old, new) = side(first)?.zip(side(second)?).ok_or_else(unreadable)?;
    let (operation, path) = match (&old, &new) {
        (RawName::Null, RawName::Null) => return Err(unreadable()),
        (RawName::Named(old), RawName::Null) => (Operation::Delete, one(old, strip, line)?),
        (RawName::Null, RawName::Named(new)) => (Operation::Create, one(new, strip, line)?),
        (RawName::Named(old), RawName::Named(new)) => {
            let strip = strip.unwrap_or_else(|| name::prefix_of_pair(old, new));
            let (left, right) = (name::path(old, strip, line)?, name::path(new, strip, line)?);
            // Of 'x.c.orig' and 'x.c', or 'x.c' and 'x.c.new', the shorter is the file.
            let is_shorter = right.as_bytes().starts_with(left.as_bytes());
            (operation(first, second), if is_shorter { left } else { right })
        }
    };
    Ok(Subject { operation, old: path.clone(), new: path })
}

fn one(name: &[u8], strip: Option<usize>, line: usize) -> Result<pyro_proto::tree::TreePath, PatchError> {
    name::path(name, strip.unwrap_or_else(|| name::prefix_of_one(name)), line)
}

fn side(line: RawLine<'_>) -> Result<Option<RawName<'_>>, PatchError> {
    Ok(line.text().get(4..).and_then(RawName::of_side))
}

/// `diff -N` gives the side that is not there the beginning of time.
fn operation(old: RawLine<'_>, new: RawLine<'_>) -> Operation {
    match (is_epoch(old.text()), is_epoch(new.text())) {
        (true, false) => Operation::Create,
        (false, true) => Operation::Delete,
        _ => Operation::Modify,
    }
}

/// Whether the time after a line's tab is the beginning of time in some time zone.
fn is_epoch(line: &[u8]) -> bool {
    let Some(at) = line.iter().rposition(|byte| *byte == b'\t') else { return false };
    let Ok(time) = std::str::from_utf8(&line[at + 1..]) else { return false };
    let words: Vec<&str> = time.split(' ').collect();
    let [day, clock, zone] = words.as_slice() else { return false };
    let clock = clock.split_once('.').map_or(Some(*clock), |(clock, fraction)| {
        fraction.bytes().all(|digit| digit == b'0').then_some(clock)
    });
    let Some(minutes) = clock.and_then(|clock| clock.strip_suffix(":00")).and_then(minutes) else {
        return false;
    };
    let day = match *day {
        "1970-01-01" => 0,
        "1969-12-31" => -24 * 60,
        _ => return false,
    };
    let zone = match (zone.strip_prefix('+'), zone.strip_prefix('-')) {
        (Some(zone), _) => minutes_of_zone(zone),
        (_, Some(zone)) => minutes_of_zone(zone).map(|minutes| -minutes),
        _ => None,
    };
    zone.is_some_and(|zone| day + minutes - zone == 0)
}

fn minutes(clock: &str) -> Option<i32> {
    let (hours, minutes) = clock.split_once(':')?;
    let number = |text: &str| text.parse::<u8>().ok().map(i32::from);
    Some(number(hours)? * 60 + number(minutes)?)
}

fn minutes_of_zone(zone: &str) -> Option<i32> {
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<u8>().ok()).map(i32::from);
    Some(number(zone.get(..2))? * 60 + number(zone.get(zone.len().checked_sub(2)?..))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_time_is_known_everywhere() {
        assert!(is_epoch(b"--- a/x\t1970-01-01 00:00:00.000000000 +0000"));
        assert!(is_epoch(b"--- a/x\t1969-12-31 19:00:00 -0500"));
        assert!(is_epoch(b"--- a/x\t1970-01-01 05:30:00 +05:30"));
        assert!(!is_epoch(b"--- a/x\t1970-01-01 01:00:00 +0000"));
        assert!(!is_epoch(b"--- a/x\t2026-01-01 00:00:00 +0000"));
        assert!(!is_epoch(b"--- a/x"));
    }
}
