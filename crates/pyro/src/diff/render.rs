//! Renders each change as git does: header, modes, names, ids, and the content as hunks or as a binary patch. It must
//! not decide what has moved.

use super::entry::Entry;
use super::entry::Pair;
use super::entry::Side;
use super::entry::is_binary;
use super::lines;
use super::names::Names;
use super::options::DiffOptions;
use super::options::SHORT_ID_DIGITS;
use super::renames;
use super::summary::Diff;
use super::summary::DiffStatus;
use super::summary::FileDiff;
use super::summary::Shown;
use crate::patch::blob_id;
use crate::patch::encode_base85;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use std::io::Write as _;

/// Compares pairs; those that are the same on both sides give nothing.
pub fn diff(pairs: &[Pair<'_>], options: &DiffOptions) -> Diff {
    let mut diff = Diff::default();
    let mut binary_left = options.binary_total_bytes_max;
    for entry in renames::entries(pairs, options) {
        let start = diff.patch.len();
        let Some(mut file) = FileDiff::of(&entry) else { continue };
        let out = &mut diff.patch;
        render(&mut Renderer { out, options, binary_left: &mut binary_left, file: &mut file }, &entry);
        if diff.patch.len() > options.patch_bytes_max {
            diff.patch.truncate(start);
            file.shown = Shown::LeftOut;
        }
        file.range = start..diff.patch.len();
        diff.files.push(file);
    }
    diff
}

fn render(renderer: &mut Renderer<'_>, entry: &Entry<'_, '_>) {
    if renderer.file.status != DiffStatus::TypeChanged {
        return renderer.entry(entry);
    }
    let halves = [
        Entry { old: entry.old, new: None, similarity: None },
        Entry { old: None, new: entry.new, similarity: None },
    ];
    for half in halves {
        renderer.entry(&half);
    }
}

/// A content that is at hand; that of nothing is empty.
fn bytes<'a>(side: Option<&Side<'a>>) -> Option<&'a [u8]> {
    side.map_or(Some(b""), |side| side.content.bytes())
}

struct Renderer<'r> {
    out: &'r mut Vec<u8>,
    options: &'r DiffOptions,
    /// Bytes of binary contents that the patch may still take.
    binary_left: &'r mut usize,
    file: &'r mut FileDiff,
}

impl Renderer<'_> {
    fn line(&mut self, parts: &[&[u8]]) {
        for part in parts {
            self.out.extend_from_slice(part);
        }
        self.out.push(b'\n');
    }

    fn entry(&mut self, entry: &Entry<'_, '_>) {
        let Some(names) = Names::of(entry) else { return };
        let (old, new) = (entry.old.as_ref().map(|(_, side)| side), entry.new.as_ref().map(|(_, side)| side));
        self.line(&[b"diff --git ", &names.old, b" ", &names.new]);
        self.modes(old, new);
        if let Some(similarity) = entry.similarity {
            self.line(&[b"similarity index ", similarity.to_string().as_bytes(), b"%"]);
            self.line(&[b"rename from ", &names.from]);
            self.line(&[b"rename to ", &names.to]);
        }
        self.content(old, new, &names);
    }

    fn modes(&mut self, old: Option<&Side<'_>>, new: Option<&Side<'_>>) {
        match (old.map(Side::git_mode), new.map(Side::git_mode)) {
            (Some(old), Some(new)) if old != new => {
                self.line(&[b"old mode ", old.as_bytes()]);
                self.line(&[b"new mode ", new.as_bytes()]);
            }
            (Some(old), None) => self.line(&[b"deleted file mode ", old.as_bytes()]),
            (None, Some(new)) => self.line(&[b"new file mode ", new.as_bytes()]),
            _ => {}
        }
    }

    fn content(&mut self, old: Option<&Side<'_>>, new: Option<&Side<'_>>, names: &Names) {
        let (Some(before), Some(after)) = (bytes(old), bytes(new)) else {
            return self.differ(old, new, names);
        };
        if old.is_some() && new.is_some() && before == after {
            return;
        }
        let is_text = !is_binary(before) && !is_binary(after);
        if is_text && before.len().max(after.len()) <= self.options.text_bytes_max {
            self.index(old, new, before, after, SHORT_ID_DIGITS);
            return self.text(old, new, before, after, names);
        }
        let size = before.len().saturating_add(after.len());
        let left = self.binary_left.checked_sub(size).filter(|_| size <= self.options.binary_bytes_max);
        let Some(left) = left.filter(|_| self.options.binary && !is_text) else {
            self.index(old, new, before, after, SHORT_ID_DIGITS);
            return self.differ(old, new, names);
        };
        *self.binary_left = left;
        self.index(old, new, before, after, usize::MAX);
        self.file.show(Shown::Binary);
        self.line(&[b"GIT binary patch"]);
        self.literal(after);
        self.literal(before);
    }

    /// The ids of both contents, and the mode if it stays.
    fn index(
        &mut self,
        old: Option<&Side<'_>>,
        new: Option<&Side<'_>>,
        before: &[u8],
        after: &[u8],
        digits: usize,
    ) {
        let id = |side: Option<&Side<'_>>, content| match side {
            Some(_) => blob_id(content),
            None => "0".repeat(40),
        };
        let (from, to) = (id(old, before), id(new, after));
        let digits = digits.min(from.len());
        let mut line = format!("index {}..{}", &from[..digits], &to[..digits]);
        if let (Some(old), Some(new)) = (old, new)
            && old.git_mode() == new.git_mode()
        {
            line = format!("{line} {}", new.git_mode());
        }
        self.line(&[line.as_bytes()]);
    }

    fn text(
        &mut self,
        old: Option<&Side<'_>>,
        new: Option<&Side<'_>>,
        before: &[u8],
        after: &[u8],
        names: &Names,
    ) {
        if before == after {
            return;
        }
        self.file.show(Shown::Text);
        let (from, to) = (names.side(old.is_some(), &names.old), names.side(new.is_some(), &names.new));
        self.line(&[b"--- ", &from]);
        self.line(&[b"+++ ", &to]);
        let (added, removed) = lines::render(self.out, before, after, self.options);
        self.file.lines_added += added;
        self.file.lines_removed += removed;
    }

    fn differ(&mut self, old: Option<&Side<'_>>, new: Option<&Side<'_>>, names: &Names) {
        self.file.show(Shown::Differs);
        let name = |side: Option<&Side<'_>>, name: &[u8]| match side {
            Some(_) => name.to_vec(),
            None => b"/dev/null".to_vec(),
        };
        let (from, to) = (name(old, &names.old), name(new, &names.new));
        self.line(&[b"Binary files ", &from, b" and ", &to, b" differ"]);
    }

    fn literal(&mut self, content: &[u8]) {
        self.line(&[b"literal ", content.len().to_string().as_bytes()]);
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        // Writing to memory does not fail.
        let packed = encoder.write_all(content).and_then(|()| encoder.finish()).unwrap_or_default();
        encode_base85(self.out, &packed);
        self.out.push(b'\n');
    }
}
