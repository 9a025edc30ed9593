//! A diff as it is handed out: what changed, counted, one page of it, and the patch as far as it may be long. This file must
//! not read a disk.

use super::changes::Changes;
use super::packages::PackageChange;
use crate::diff::Content;
use crate::diff::Diff;
use crate::diff::DiffOptions;
use crate::diff::FileDiff;
use crate::diff::Pair;
use crate::diff::Shown;
use crate::diff::Side;
use pyro_image::disk::Change;
use pyro_image::disk::Meta;
use pyro_proto::tree::EntryKind;
use pyro_proto::tree::TreePath;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Patches longer than this stand in the report as a whole alone, not with each entry again.
const ENTRY_PATCHES_BYTES_MAX: usize = 64 << 10;

/// How many paths changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// All of them.
    pub total: usize,
    /// Appeared.
    pub added: usize,
    /// Changed in place.
    pub modified: usize,
    /// Went.
    pub deleted: usize,
    /// Became another kind.
    pub type_changed: usize,
    /// Moved.
    pub renamed: usize,
    /// With a text in the patch.
    pub text_patched: usize,
    /// Without.
    pub non_text: usize,
}

/// One path.
#[derive(Clone, Debug)]
pub struct DiffEntry {
    /// Where, below the folder that was compared.
    pub path: TreePath,
    /// Where it was, of what moved.
    pub from: Option<TreePath>,
    /// `added`, `modified`, `deleted`, `type_changed` or `renamed`.
    pub status: &'static str,
    /// `file`, `directory`, `symlink` or `special`.
    pub artifact_type: &'static str,
    /// Permissions before.
    pub old_mode: Option<u32>,
    /// Permissions afterwards.
    pub new_mode: Option<u32>,
    /// Bytes before.
    pub old_size_bytes: Option<u64>,
    /// Bytes afterwards.
    pub new_size_bytes: Option<u64>,
    /// What git says of it, of what git knows.
    pub file: Option<FileDiff>,
}

/// A diff.
#[derive(Clone, Debug, Default)]
pub struct DiffReport {
    /// The workspace.
    pub workspace_id: String,
    /// The snapshot it is compared with.
    pub from: String,
    /// The snapshot that is compared; nothing for the workspace as it is.
    pub to: Option<String>,
    /// Counts of everything that changed.
    pub totals: Totals,
    /// One page of what changed, sorted by path.
    pub entries: Vec<DiffEntry>,
    /// Where the next page begins.
    pub next_cursor: Option<usize>,
    /// The patch of this page.
    pub patch: Vec<u8>,
    /// Something is missing from the patch: contents that are too large, or what would have made it too long.
    pub truncated: bool,
    /// What `git diff --stat` prints.
    pub stat: String,
    /// Packages that came, went or changed, of a system.
    pub packages: Option<Vec<PackageChange>>,
}

/// Which part of it is handed out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    pub(super) cursor: usize,
    pub(super) limit: usize,
    pub(super) patch: bool,
    pub(super) patch_bytes_max: usize,
}

/// Columns of the stat.
const STAT_COLUMNS: usize = 80;

/// Renders what changed.
pub(super) fn report(changes: &Changes, options: &DiffOptions, page: Page) -> DiffReport {
    let pairs: Vec<Pair<'_>> = (0..changes.list.len()).map(|index| pair(changes, index)).collect();
    let diff = crate::diff::diff(&pairs, options);
    let all = entries(changes, &diff);
    let mut report =
        DiffReport { totals: totals(&all), stat: diff.stat(STAT_COLUMNS), ..DiffReport::default() };
    let end = page.cursor.saturating_add(page.limit).min(all.len());
    report.next_cursor = (end < all.len()).then_some(end);
    for mut entry in all.into_iter().take(end).skip(page.cursor) {
        report.truncated |=
            entry.file.as_mut().is_some_and(|file| !move_patch(&diff, file, page, &mut report.patch));
        report.entries.push(entry);
    }
    report
}

/// Puts the patch of a file behind those before it; whether it is whole.
fn move_patch(diff: &Diff, file: &mut FileDiff, page: Page, patch: &mut Vec<u8>) -> bool {
    let own = diff.patch_of(file);
    let fits = page.patch && patch.len() + own.len() <= page.patch_bytes_max;
    let start = patch.len();
    if fits {
        patch.extend_from_slice(own);
    } else {
        file.shown = if file.shown == Shown::Unchanged { Shown::Unchanged } else { Shown::LeftOut };
    }
    file.range = start..patch.len();
    !page.patch || (fits && !matches!(file.shown, Shown::Differs | Shown::LeftOut))
}

fn pair(changes: &Changes, index: usize) -> Pair<'_> {
    let change = &changes.list[index];
    let bytes = |contents: &'_ [Option<Vec<u8>>]| -> Option<usize> { contents.get(index).map(|_| index) };
    let old = bytes(&changes.old).and_then(|index| changes.old[index].as_deref());
    let new = bytes(&changes.new).and_then(|index| changes.new[index].as_deref());
    Pair {
        path: change.path.clone(),
        old: change.old.as_ref().and_then(|meta| side(meta, old)),
        new: change.new.as_ref().and_then(|meta| side(meta, new)),
    }
}

fn side<'a>(meta: &'a Meta, content: Option<&'a [u8]>) -> Option<Side<'a>> {
    match meta.kind {
        EntryKind::File | EntryKind::HardLink => {
            let mut side = Side::file(meta.mode, content.unwrap_or_default());
            if content.is_none() {
                side.content = Content::Omitted { size_bytes: meta.size_bytes };
            }
            Some(side)
        }
        EntryKind::Symlink => Some(Side::symlink(&meta.target)),
        EntryKind::Directory | EntryKind::Special => None,
    }
}

/// What git says, and what git has no words for: folders without files, permissions but the one to execute, devices.
fn entries(changes: &Changes, diff: &Diff) -> Vec<DiffEntry> {
    let files: BTreeMap<&TreePath, &FileDiff> = diff.files.iter().map(|file| (&file.path, file)).collect();
    let moved: BTreeSet<&TreePath> = diff.files.iter().filter_map(|file| file.from.as_ref()).collect();
    let mut found: Vec<DiffEntry> = Vec::new();
    for (index, change) in changes.list.iter().enumerate() {
        let file = files.get(&change.path).map(|file| (*file).clone());
        let is_gone = file.is_none() && moved.contains(&change.path);
        if is_gone || (file.is_none() && is_implied(&changes.list, index)) {
            continue;
        }
        found.push(entry(change, file));
    }
    // A walk goes into a folder before what sorts behind it: "a/b" before "a.c".
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

/// Whether a folder that came or went has something in it that did too, which says enough.
fn is_implied(list: &[Change], index: usize) -> bool {
    let change = &list[index];
    let is_folder = |side: Option<&Meta>| side.is_some_and(|meta| meta.kind == EntryKind::Directory);
    let one_sided = change.old.is_none() || change.new.is_none();
    let folder = is_folder(change.old.as_ref()) || is_folder(change.new.as_ref());
    let next = list.get(index + 1).map(|next| next.path.as_bytes());
    let is_inside =
        |next: &[u8]| next.strip_prefix(change.path.as_bytes()).is_some_and(|rest| rest.starts_with(b"/"));
    one_sided && folder && next.is_some_and(is_inside)
}

fn entry(change: &Change, file: Option<FileDiff>) -> DiffEntry {
    let status = match (&change.old, &change.new) {
        (Some(old), Some(new)) if old.kind != new.kind => "type_changed",
        _ => match (&file, &change.old, &change.new) {
            (Some(file), _, _) => file.status.name(),
            (None, None, _) => "added",
            (None, _, None) => "deleted",
            (None, Some(_), Some(_)) => "modified",
        },
    };
    let kind = change.new.as_ref().or(change.old.as_ref()).map(|meta| meta.kind);
    let size = |meta: &Meta| (meta.kind == EntryKind::File).then_some(meta.size_bytes);
    let from = file.as_ref().and_then(|file| file.from.clone());
    let moved = file.as_ref().filter(|_| from.is_some());
    DiffEntry {
        path: change.path.clone(),
        status,
        artifact_type: artifact_type(kind),
        old_mode: change.old.as_ref().map(|meta| meta.mode),
        new_mode: change.new.as_ref().map(|meta| meta.mode),
        old_size_bytes: moved.map(|file| file.old_size_bytes).or(change.old.as_ref().and_then(size)),
        new_size_bytes: change.new.as_ref().and_then(size),
        from,
        file,
    }
}

/// As the contract calls it.
pub(super) const fn artifact_type(kind: Option<EntryKind>) -> &'static str {
    match kind {
        Some(EntryKind::Directory) => "directory",
        Some(EntryKind::Symlink) => "symlink",
        Some(EntryKind::Special) => "special",
        Some(EntryKind::File | EntryKind::HardLink) | None => "file",
    }
}

fn totals(entries: &[DiffEntry]) -> Totals {
    let mut totals = Totals { total: entries.len(), ..Totals::default() };
    for entry in entries {
        *match entry.status {
            "added" => &mut totals.added,
            "deleted" => &mut totals.deleted,
            "type_changed" => &mut totals.type_changed,
            "renamed" => &mut totals.renamed,
            _ => &mut totals.modified,
        } += 1;
        match entry.file.as_ref().map(|file| file.shown) {
            Some(Shown::Text) => totals.text_patched += 1,
            Some(Shown::Unchanged) => {}
            Some(Shown::Binary | Shown::Differs | Shown::LeftOut) | None => totals.non_text += 1,
        }
    }
    totals
}

impl DiffReport {
    /// Whether anything changed.
    pub const fn is_changed(&self) -> bool {
        self.totals.total > 0
    }

    /// As the contract shows it. `entry_patches` has each entry carry its own part of the patch however long all of it is.
    pub fn describe(&self, entry_patches: bool) -> Value {
        let totals = &self.totals;
        let with_entries = entry_patches || self.patch.len() <= ENTRY_PATCHES_BYTES_MAX;
        let entries: Vec<Value> =
            self.entries.iter().map(|entry| self.describe_entry(entry, with_entries)).collect();
        json!({
            "workspace_id": self.workspace_id,
            "from": self.from,
            "to": self.to,
            "changed": self.is_changed(),
            "summary": {
                "total": totals.total,
                "added": totals.added,
                "modified": totals.modified,
                "deleted": totals.deleted,
                "type_changed": totals.type_changed,
                "renamed": totals.renamed,
                "text_patched": totals.text_patched,
                "non_text": totals.non_text,
            },
            "entries": entries,
            "entry_patches": with_entries,
            "next_cursor": self.next_cursor,
            "patch": String::from_utf8_lossy(&self.patch),
            // Bytes that are no UTF-8 are shown as U+FFFD: such a patch cannot be applied.
            "patch_is_exact": std::str::from_utf8(&self.patch).is_ok(),
            "truncated": self.truncated,
            "packages": self.packages,
        })
    }

    fn describe_entry(&self, entry: &DiffEntry, with_patch: bool) -> Value {
        let mode = |mode: Option<u32>| mode.map(|mode| format!("{mode:04o}"));
        let text = entry.file.as_ref().filter(|file| with_patch && file.shown == Shown::Text);
        let text = text.and_then(|file| self.patch.get(file.range.clone()));
        json!({
            "path": entry.path.to_string(),
            "from": entry.from.as_ref().map(ToString::to_string),
            "status": entry.status,
            "artifact_type": entry.artifact_type,
            "text_patch": text.map(String::from_utf8_lossy),
            "old_mode": mode(entry.old_mode),
            "new_mode": mode(entry.new_mode),
            "old_size_bytes": entry.old_size_bytes,
            "new_size_bytes": entry.new_size_bytes,
            "lines_added": entry.file.as_ref().map(|file| file.lines_added),
            "lines_removed": entry.file.as_ref().map(|file| file.lines_removed),
        })
    }
}
