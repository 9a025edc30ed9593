//! A patch that takes back what another does. It must not apply anything.

use super::model::Body;
use super::model::FilePatch;
use super::model::Hunk;
use super::model::Line;
use super::model::LineKind;
use super::model::Operation;
use super::model::Patch;
use std::mem;

impl Patch<'_> {
    /// The patch that takes this one back: last file first, sections too.
    #[must_use]
    pub fn reversed(&self) -> Self {
        let last = self.files.last().map_or(0, |file| file.section);
        let mut files = self.files.clone();
        files.reverse();
        for file in &mut files {
            file.section = last - file.section;
            reverse_file(file);
        }
        Self { files }
    }
}

fn reverse_file(file: &mut FilePatch<'_>) {
    file.operation = match file.operation {
        Operation::Create => Operation::Delete,
        Operation::Delete => Operation::Create,
        Operation::Copy => Operation::Uncopy,
        Operation::Uncopy => Operation::Copy,
        Operation::CreateOrModify => Operation::Modify,
        same @ (Operation::Modify | Operation::Rename) => same,
    };
    mem::swap(&mut file.old_path, &mut file.new_path);
    mem::swap(&mut file.old_mode, &mut file.new_mode);
    file.ids = file.ids.map(|(old, new)| (new, old));
    match &mut file.body {
        Body::Text(hunks) => hunks.iter_mut().for_each(reverse_hunk),
        Body::Binary { forward, backward } => match backward {
            Some(backward) => mem::swap(forward, backward),
            None => file.body = Body::BinaryUnknown,
        },
        Body::Unchanged | Body::BinaryUnknown => {}
    }
}

fn reverse_hunk(hunk: &mut Hunk<'_>) {
    mem::swap(&mut hunk.old_start, &mut hunk.new_start);
    mem::swap(&mut hunk.old_count, &mut hunk.new_count);
    for line in &mut hunk.lines {
        line.kind = match line.kind {
            LineKind::Add => LineKind::Remove,
            LineKind::Remove => LineKind::Add,
            LineKind::Context => LineKind::Context,
        };
    }
    // Removed lines come before added ones everywhere, or quotations would read oddly; the order means nothing else.
    let is_change = |line: &Line<'_>| line.kind != LineKind::Context;
    for run in hunk.lines.chunk_by_mut(|a, b| is_change(a) && is_change(b)) {
        run.sort_by_key(|line| line.kind == LineKind::Add);
    }
}
