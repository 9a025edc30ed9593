//! The hunks of a text: what changed in it, line by line, with context. It must not know files.

use super::options::DiffOptions;
use super::options::HEADING_BYTES_MAX;
use similar::Algorithm;
use similar::DiffOp;
use similar::capture_diff_slices_deadline;
use similar::group_diff_ops;

/// Writes the hunks; gives how many lines came and went.
pub(super) fn render(out: &mut Vec<u8>, old: &[u8], new: &[u8], options: &DiffOptions) -> (usize, usize) {
    let (old, new) = (split_lines(old), split_lines(new));
    let operations = if old.len() + new.len() <= options.lines_max {
        capture_diff_slices_deadline(Algorithm::Myers, &old, &new, options.deadline)
    } else {
        replaced(&old, &new)
    };
    let (mut added, mut removed) = (0, 0);
    let mut headings = Headings { lines: &old, seen: 0, last: &[] };
    for group in group_diff_ops(operations, options.context_lines) {
        put_header(out, &group, &mut headings);
        for operation in &group {
            let (went, came) = (&old[operation.old_range()], &new[operation.new_range()]);
            if matches!(operation, DiffOp::Equal { .. }) {
                put(out, b' ', went);
                continue;
            }
            put(out, b'-', went);
            put(out, b'+', came);
            (added, removed) = (added + came.len(), removed + went.len());
        }
    }
    (added, removed)
}

fn put_header(out: &mut Vec<u8>, group: &[DiffOp], headings: &mut Headings<'_>) {
    let (Some(first), Some(last)) = (group.first(), group.last()) else { return };
    let old = first.old_range().start..last.old_range().end;
    let new = first.new_range().start..last.new_range().end;
    out.extend_from_slice(format!("@@ -{} +{} @@", range(&old), range(&new)).as_bytes());
    let heading = headings.before(old.start);
    if !heading.is_empty() {
        out.push(b' ');
        out.extend_from_slice(heading);
    }
    out.push(b'\n');
}

fn split_lines(content: &[u8]) -> Vec<&[u8]> {
    content.split_inclusive(|byte| *byte == b'\n').collect()
}

/// Everything between the lines that both begin and end with.
fn replaced(old: &[&[u8]], new: &[&[u8]]) -> Vec<DiffOp> {
    let same = |(a, b): &(&&[u8], &&[u8])| a == b;
    let head = old.iter().zip(new).take_while(same).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(same).count();
    let (old_len, new_len) = (old.len() - head - tail, new.len() - head - tail);
    let equal = |old_index, new_index, len| DiffOp::Equal { old_index, new_index, len };
    let all = [
        equal(0, 0, head),
        DiffOp::Replace { old_index: head, old_len, new_index: head, new_len },
        equal(head + old_len, head + new_len, tail),
    ];
    all.into_iter()
        .filter(|operation| !operation.old_range().is_empty() || !operation.new_range().is_empty())
        .collect()
}

fn put(out: &mut Vec<u8>, sign: u8, lines: &[&[u8]]) {
    for line in lines {
        out.push(sign);
        out.extend_from_slice(line);
        if !line.ends_with(b"\n") {
            out.extend_from_slice(b"\n\\ No newline at end of file\n");
        }
    }
}

/// First line, from 1, and count; without lines, the line before.
fn range(range: &std::ops::Range<usize>) -> String {
    match range.len() {
        0 => format!("{},0", range.start),
        1 => format!("{}", range.start + 1),
        count => format!("{},{count}", range.start + 1),
    }
}

/// The last line before a hunk that looks like the beginning of something: it starts with a letter, `_` or `$`.
struct Headings<'a> {
    lines: &'a [&'a [u8]],
    seen: usize,
    last: &'a [u8],
}

impl<'a> Headings<'a> {
    fn before(&mut self, start: usize) -> &'a [u8] {
        let is_heading = |line: &&&[u8]| {
            line.first().is_some_and(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'$'))
        };
        let fresh = self.lines[self.seen.min(start)..start].iter().rev().find(is_heading);
        self.seen = start;
        if let Some(line) = fresh {
            self.last = line[..line.len().min(HEADING_BYTES_MAX)].trim_ascii_end();
        }
        self.last
    }
}
