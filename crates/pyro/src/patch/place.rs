//! Finds where hunks go and puts them there. Hunks go in order, each as near as possible to where the last one's offset
//! lets it be expected. It must not know files.

use super::error::shown;
use super::failure::Reason;
use super::files::HunkReport;
use super::model::Hunk;
use super::model::LineKind;
use super::split;
use super::work::Work;

/// A hunk that did not go in.
pub(super) struct Misfit {
    /// Its line in the patch.
    pub(super) line: usize,
    pub(super) reason: Reason,
}

/// A place for a hunk.
struct Spot {
    /// Line of the file, from 0, at which the compared lines begin.
    at: usize,
    /// Lines of context that are left out before and after them.
    cut: (usize, usize),
    fuzz: u8,
}

enum Search {
    Found(Spot),
    Nowhere,
    TooLong,
}

/// The content with all hunks in it, and where they went.
pub(super) fn apply(
    content: &[u8],
    hunks: &[Hunk<'_>],
    fuzz_max: u8,
    work: &mut Work,
) -> Result<(Vec<u8>, Vec<HunkReport>), Misfit> {
    let file = split::lines(content);
    let mut filler =
        Filler { file: &file, next: 0, offset: 0, out: Vec::with_capacity(content.len() + added(hunks)) };
    let mut reports = Vec::with_capacity(hunks.len());
    for (index, hunk) in hunks.iter().enumerate() {
        let number = index + 1;
        let misfit = |reason| Misfit { line: hunk.line, reason };
        let pre = preimage(hunk);
        let expected = filler.expected(hunk);
        let spot = match filler.search(hunk, &pre, expected, fuzz_max, work) {
            Search::Found(spot) => spot,
            Search::TooLong => return Err(misfit(Reason::Work { hunk: number })),
            Search::Nowhere => return Err(misfit(filler.explain(number, hunk, &pre, expected, work))),
        };
        let line = spot.at - spot.cut.0.min(spot.at);
        filler.offset = to_i64(spot.at) - to_i64(usual(hunk) + spot.cut.0);
        filler.put(hunk, &pre, &spot).ok_or_else(|| misfit(Reason::Anchor { hunk: number }))?;
        let line = line + usize::from(hunk.old_count > 0);
        reports.push(HunkReport { hunk: number, line, offset: filler.offset, fuzz: spot.fuzz });
    }
    filler.copy_to(file.len()).ok_or(Misfit { line: 0, reason: Reason::Anchor { hunk: hunks.len() } })?;
    Ok((filler.out, reports))
}

/// Most bytes of memory that [`apply`] takes: the result, and where the lines are.
pub(super) fn memory(content: &[u8], hunks: &[Hunk<'_>]) -> usize {
    content.len() + added(hunks) + line_count(content) * size_of::<&[u8]>()
}

pub(super) fn line_count(content: &[u8]) -> usize {
    content.iter().filter(|byte| **byte == b'\n').count() + 1
}

/// Bytes by which a content grows at most.
fn added(hunks: &[Hunk<'_>]) -> usize {
    let lines = hunks.iter().flat_map(|hunk| &hunk.lines);
    lines.filter(|line| line.kind == LineKind::Add).map(|line| line.text.len()).sum()
}

/// The lines that a hunk wants to find.
fn preimage<'a>(hunk: &Hunk<'a>) -> Vec<&'a [u8]> {
    hunk.lines.iter().filter(|line| line.kind != LineKind::Add).map(|line| line.text).collect()
}

/// Where a hunk would be without any offset, from 0. Without old lines, its number is that of the line before it.
const fn usual(hunk: &Hunk<'_>) -> usize {
    if hunk.old_count == 0 { hunk.old_start } else { hunk.old_start.saturating_sub(1) }
}

fn to_i64(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

struct Filler<'a> {
    file: &'a [&'a [u8]],
    /// First line that is not in `out` yet.
    next: usize,
    offset: i64,
    out: Vec<u8>,
}

impl Filler<'_> {
    fn expected(&self, hunk: &Hunk<'_>) -> usize {
        let place = to_i64(usual(hunk)).saturating_add(self.offset);
        usize::try_from(place).unwrap_or(0)
    }

    fn search(
        &self,
        hunk: &Hunk<'_>,
        pre: &[&[u8]],
        expected: usize,
        fuzz_max: u8,
        work: &mut Work,
    ) -> Search {
        let (before, after) = hunk.context();
        let most = before.max(after);
        for fuzz in 0..=fuzz_max {
            if fuzz > 0 && usize::from(fuzz) > most {
                break;
            }
            // As in GNU patch, the shorter side is taken to have lost lines already.
            let cut = |context: usize| (usize::from(fuzz) + context).saturating_sub(most);
            let cut = (cut(before), if hunk.is_at_end() { 0 } else { cut(after) });
            let wanted = &pre[cut.0..pre.len() - cut.1];
            let ends = Ends {
                first: fuzz == 0 && hunk.old_start <= 1 && before < after.max(1),
                last: hunk.is_at_end() || fuzz == 0 && after == 0,
            };
            match self.find(wanted, expected + cut.0, &ends, work) {
                Some(Some(at)) => return Search::Found(Spot { at, cut, fuzz }),
                Some(None) => {}
                None => return Search::TooLong,
            }
        }
        Search::Nowhere
    }

    /// The place nearest to the expected one at which the lines are as wanted; the outer `None` when that is too much work.
    fn find(&self, wanted: &[&[u8]], expected: usize, ends: &Ends, work: &mut Work) -> Option<Option<usize>> {
        let Some(last) = self.file.len().checked_sub(wanted.len()).filter(|last| *last >= self.next) else {
            return Some(None);
        };
        if wanted.is_empty() {
            // Lines without any context have no place but the end, and only if it is where they were expected.
            return Some((expected == self.file.len()).then_some(expected));
        }
        let low = if ends.last { last } else { self.next };
        let high = if ends.first { 0 } else { last };
        if low > high {
            return Some(None);
        }
        let middle = expected.clamp(low, high);
        for distance in 0..=(middle - low).max(high - middle) {
            let after = middle.checked_add(distance).filter(|at| *at <= high);
            let before = middle.checked_sub(distance).filter(|at| *at >= low && distance > 0);
            for at in [after, before].into_iter().flatten() {
                if self.fits(wanted, at, work)? {
                    return Some(Some(at));
                }
            }
        }
        Some(None)
    }

    fn fits(&self, wanted: &[&[u8]], at: usize, work: &mut Work) -> Option<bool> {
        for (wanted, found) in wanted.iter().zip(&self.file[at..]) {
            // Lines of different lengths are told apart at once.
            let compared = if wanted.len() == found.len() { wanted.len() } else { 0 };
            work.spend(1, compared)?;
            if wanted != found {
                return Some(false);
            }
        }
        Some(true)
    }

    /// Writes the file up to the hunk, and the hunk; `None` when a line without newline would get a successor.
    fn put(&mut self, hunk: &Hunk<'_>, pre: &[&[u8]], spot: &Spot) -> Option<()> {
        self.copy_to(spot.at)?;
        let lines = &hunk.lines[spot.cut.0..hunk.lines.len() - spot.cut.1];
        for line in lines.iter().filter(|line| line.kind != LineKind::Remove) {
            self.push(line.text)?;
        }
        self.next = spot.at + pre.len() - spot.cut.0 - spot.cut.1;
        Some(())
    }

    fn copy_to(&mut self, end: usize) -> Option<()> {
        let file = self.file;
        for line in &file[self.next..end] {
            self.push(line)?;
        }
        self.next = end;
        Some(())
    }

    fn push(&mut self, line: &[u8]) -> Option<()> {
        if !self.out.is_empty() && !self.out.ends_with(b"\n") {
            return None;
        }
        self.out.extend_from_slice(line);
        Some(())
    }

    /// Says what is wrong at the place where a hunk was expected.
    fn explain(
        &self,
        number: usize,
        hunk: &Hunk<'_>,
        pre: &[&[u8]],
        expected: usize,
        work: &mut Work,
    ) -> Reason {
        let free = Ends { first: false, last: false };
        if pre.is_empty() || matches!(self.find(pre, expected, &free, work), Some(Some(_))) {
            return Reason::Anchor { hunk: number };
        }
        let start = expected.clamp(self.next.min(self.file.len()), self.file.len());
        let found = |index: usize| self.file.get(start + index).copied();
        let differs = (0..pre.len()).find(|index| found(*index) != Some(pre[*index])).unwrap_or(0);
        let wanted = pre.get(differs).copied().unwrap_or_default();
        Reason::Hunk {
            hunk: number,
            at: start + differs + usize::from(hunk.old_count > 0),
            found: describe(found(differs), wanted),
            wanted: shown(text(wanted)),
        }
    }
}

/// Where a hunk must be by its lack of context.
struct Ends {
    first: bool,
    last: bool,
}

fn describe(found: Option<&[u8]>, wanted: &[u8]) -> String {
    match found {
        None => "does not exist".to_owned(),
        Some(line) if text(line) == text(wanted) && wanted.ends_with(b"\n") => "has no newline".to_owned(),
        Some(line) if text(line) == text(wanted) => "is not the last or has a newline".to_owned(),
        Some(line) if text(line).trim_ascii() == text(wanted).trim_ascii() => {
            format!("differs in white space: '{}'", String::from_utf8_lossy(text(line)).escape_debug())
        }
        Some(line) => format!("is '{}'", shown(text(line))),
    }
}

fn text(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::Body;
    use crate::patch::Patch;

    fn place(patch: &str, content: &str, comparisons: u64) -> Result<Vec<u8>, Reason> {
        let patch = Patch::parse(patch.as_bytes()).unwrap();
        let Body::Text(hunks) = &patch.files()[0].body else { panic!("the patch has no hunks") };
        let made = apply(content.as_bytes(), hunks, 0, &mut Work::of(comparisons));
        made.map(|(content, _)| content).map_err(|misfit| misfit.reason)
    }

    /// Hundreds of places at each of which hundreds of lines fit and only the last does not.
    #[test]
    fn a_place_that_costs_too_much_is_given_up() {
        let lines = " same\n".repeat(300);
        let patch = format!("--- a/f\n+++ b/f\n@@ -1,302 +1,302 @@\n{lines}-other\n+x\n same\n");
        let content = "same\n".repeat(1000);
        let found =
            |comparisons| matches!(place(&patch, &content, comparisons), Err(Reason::Work { hunk: 1 }));
        assert!(found(100_000));
        assert!(!found(1_000_000));
    }

    /// One comparison of two long lines is as much work as many of short ones.
    #[test]
    fn long_lines_cost_more() {
        let line = "x".repeat(64_000);
        let patch = format!("--- a/f\n+++ b/f\n@@ -1 +1 @@\n-{line}\n+y\n");
        let content = format!("{line}\n");
        assert!(matches!(place(&patch, &content, 1000), Err(Reason::Work { hunk: 1 })));
        assert_eq!(place(&patch, &content, 1002).as_deref(), Ok(&b"y\n"[..]));
    }

    #[test]
    fn the_nearest_place_is_taken() {
        let patch = "--- a/f\n+++ b/f\n@@ -5,2 +5,2 @@\n-x\n+y\n .\n";
        let made = place(patch, "x\n.\n2\n3\n4\nx\n.\n7\nx\n.\n", 1000);
        assert_eq!(made.as_deref(), Ok(&b"x\n.\n2\n3\n4\ny\n.\n7\nx\n.\n"[..]));
    }

    #[test]
    fn later_hunks_are_not_put_before_earlier_ones() {
        let patch = "--- a/f\n+++ b/f\n@@ -4,2 +4,2 @@\n-4\n+four\n 5\n@@ -1,2 +1,2 @@\n 1\n-2\n+two\n";
        assert!(place(patch, "1\n2\n3\n4\n5\n6\n", 1000).is_err());
    }
}
