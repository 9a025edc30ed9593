//! Applies a patch to a tree of which only the needed part is known, and says what is to be done. All of it or nothing:
//! this file must not change anything itself.
//!
//! Within a section, moves and copies start from the tree before the section, as git compared it, so that two files may
//! change places. Other changes build on what came before.

use super::content::Content;
use super::delta;
use super::failure::AppliedAlready;
use super::failure::ApplyError;
use super::failure::Failure;
use super::failure::Reason;
use super::files::Action;
use super::files::Applied;
use super::files::Change;
use super::files::CurrentKind;
use super::files::FileReport;
use super::files::Files;
use super::files::HunkReport;
use super::files::Status;
use super::files::WrittenKind;
use super::limits::FAILURES_MAX;
use super::limits::MADE_BYTES_MAX;
use super::model::BinaryData;
use super::model::Body;
use super::model::FilePatch;
use super::model::GitMode;
use super::model::Operation;
use super::model::Patch;
use super::object;
use super::place;
use super::tree::Node;
use super::tree::Tree;
use super::work::Work;
use pyro_proto::tree::TreePath;
use std::borrow::Cow;

/// How a patch is applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ApplyOptions {
    /// Most lines of context that may be left out at either end of a hunk to make it fit; 0 as in `git apply`.
    pub fuzz_max: u8,
    /// Whether the patch is taken back instead.
    pub reverse: bool,
}

/// Applies a patch. Hunks may be anywhere in their file as long as their context fits exactly.
///
/// # Errors
/// [`ApplyError`], with every file that fails; nothing is to be done then.
pub fn apply(patch: &Patch<'_>, files: &dyn Files, options: &ApplyOptions) -> Result<Applied, ApplyError> {
    apply_within(patch, files, options, MADE_BYTES_MAX, &mut Work::new())
}

pub(super) fn apply_within(
    patch: &Patch<'_>,
    files: &dyn Files,
    options: &ApplyOptions,
    made_bytes_max: u64,
    work: &mut Work,
) -> Result<Applied, ApplyError> {
    let patch = if options.reverse { Cow::Owned(patch.reversed()) } else { Cow::Borrowed(patch) };
    let mut attempt = Attempt { files, fuzz_max: options.fuzz_max, made_bytes_max, work };
    attempt.apply(&patch).map_err(|failures| {
        let already = attempt.applied_already(&patch, &failures);
        ApplyError { failures, already }
    })
}

/// What a patch is applied to, and at what cost.
struct Attempt<'a> {
    files: &'a dyn Files,
    fuzz_max: u8,
    made_bytes_max: u64,
    work: &'a mut Work,
}

impl Attempt<'_> {
    fn apply(&mut self, patch: &Patch<'_>) -> Result<Applied, Vec<Failure>> {
        let mut applier = Applier {
            tree: Tree::new(self.files, self.made_bytes_max),
            work: &mut *self.work,
            fuzz_max: self.fuzz_max,
            reports: Vec::new(),
            uncopied: Vec::new(),
        };
        let mut failures: Vec<Failure> = Vec::new();
        for section in patch.files.chunk_by(|a, b| a.section == b.section) {
            applier.tree.begin_section(section);
            for file in section {
                if failures
                    .iter()
                    .any(|failure| failure.path == file.new_path || failure.path == file.old_path)
                {
                    continue;
                }
                if let Err(Stop { line, reason }) = applier.file(file) {
                    let path = blamed(file, &reason).clone();
                    failures.push(Failure { path, line: line.unwrap_or(file.line), reason });
                }
                if failures.len() >= FAILURES_MAX {
                    return Err(failures);
                }
            }
            failures.extend(applier.other_copies());
        }
        if failures.is_empty() {
            failures.extend(misplaced(&applier.tree, patch, applier.work));
        }
        if failures.is_empty() {
            Ok(Applied { changes: applier.tree.into_changes(), reports: applier.reports })
        } else {
            Err(failures)
        }
    }

    /// Tries the reverse: first all of the patch, then what it does to the file that failed first.
    fn applied_already(&mut self, patch: &Patch<'_>, failures: &[Failure]) -> AppliedAlready {
        let reversed = patch.reversed();
        if self.apply(&reversed).is_ok() {
            return AppliedAlready::Patch;
        }
        let is_failed = |file: &FilePatch<'_>| {
            failures.first().is_some_and(|first| first.path == file.old_path || first.path == file.new_path)
        };
        let part = Patch { files: reversed.files.into_iter().filter(is_failed).collect() };
        match part.files.is_empty() || self.apply(&part).is_err() {
            true => AppliedAlready::No,
            false => AppliedAlready::File,
        }
    }
}

/// Which of a patch's two files a reason is about.
const fn blamed<'f>(file: &'f FilePatch<'_>, reason: &Reason) -> &'f TreePath {
    match (reason, file.operation) {
        (Reason::Missing | Reason::Kind { .. } | Reason::Twice, _) | (_, Operation::Uncopy) => &file.old_path,
        _ => &file.new_path,
    }
}

/// Files that would end up where no file can be.
fn misplaced(tree: &Tree<'_>, patch: &Patch<'_>, work: &mut Work) -> Option<Failure> {
    let (path, reason) = tree.misplaced(work)?;
    let line = patch.files.iter().rev().find(|file| file.new_path == path).map_or(1, |file| file.line);
    Some(Failure { path, line, reason })
}

struct Stop {
    line: Option<usize>,
    reason: Reason,
}

impl From<Reason> for Stop {
    fn from(reason: Reason) -> Self {
        Self { line: None, reason }
    }
}

struct Applier<'a> {
    tree: Tree<'a>,
    work: &'a mut Work,
    fuzz_max: u8,
    reports: Vec<FileReport>,
    /// Copies that the section takes back.
    uncopied: Vec<Uncopied<'a>>,
}

struct Uncopied<'a> {
    copy: TreePath,
    original: TreePath,
    content: Content<'a>,
    line: usize,
}

impl<'a> Applier<'a> {
    fn file(&mut self, file: &FilePatch<'_>) -> Result<(), Stop> {
        let report = match file.operation {
            Operation::Create => self.create(file)?,
            Operation::CreateOrModify if self.tree.kind(&file.old_path).is_none() => self.create(file)?,
            Operation::CreateOrModify | Operation::Modify => self.modify(file)?,
            Operation::Delete => self.delete(file)?,
            Operation::Uncopy => self.uncopy(file)?,
            Operation::Rename | Operation::Copy => self.relocate(file)?,
        };
        self.reports.push(report);
        Ok(())
    }

    fn create(&mut self, file: &FilePatch<'_>) -> Result<FileReport, Stop> {
        self.tree.check_free(&file.new_path)?;
        let mode = file.new_mode.unwrap_or(GitMode::Regular);
        let (content, hunks) = self.content(&[], file)?;
        let node = Node::new(kind_of(mode), permission(mode, 0o644), content);
        self.tree.put(&file.new_path, check_target(node)?)?;
        Ok(report(file, Status::Added, hunks))
    }

    fn modify(&mut self, file: &FilePatch<'_>) -> Result<FileReport, Stop> {
        let node = self.tree.now(&file.old_path).ok_or_else(|| self.tree.missing(&file.old_path))?;
        let (changed, hunks) = self.changed(&node, file)?;
        let status = if file.body == Body::Unchanged { Status::ModeChanged } else { Status::Modified };
        self.tree.replace(&file.new_path, check_target(changed)?)?;
        Ok(report(file, status, hunks))
    }

    fn delete(&mut self, file: &FilePatch<'_>) -> Result<FileReport, Stop> {
        let node = self.tree.leaving(&file.old_path).ok_or_else(|| self.tree.missing(&file.old_path))?;
        check_kind(&node, file.old_mode)?;
        let (content, hunks) = self.content(&node.content, file)?;
        if !content.is_empty() {
            return Err(Reason::Leftover.into());
        }
        self.tree.remove(&file.old_path)?;
        Ok(report(file, Status::Deleted, hunks))
    }

    /// The copy goes if it is what copying would make again; what that is, shows when the section has been applied.
    fn uncopy(&mut self, file: &FilePatch<'_>) -> Result<FileReport, Stop> {
        let node = self.tree.now(&file.old_path).ok_or_else(|| self.tree.missing(&file.old_path))?;
        let (changed, hunks) = self.changed(&node, file)?;
        self.tree.remove(&file.old_path)?;
        self.tree.hold(changed.content.len())?;
        self.uncopied.push(Uncopied {
            copy: file.old_path.clone(),
            original: file.new_path.clone(),
            content: changed.content,
            line: file.line,
        });
        let report = report(file, Status::Deleted, hunks);
        Ok(FileReport { path: file.old_path.clone(), from: None, ..report })
    }

    /// Copies that were taken back and were more than copies.
    fn other_copies(&mut self) -> Vec<Failure> {
        let mut uncopied = std::mem::take(&mut self.uncopied);
        for copy in &uncopied {
            self.tree.release(copy.content.len());
        }
        uncopied.retain(|copy| {
            self.tree.now(&copy.original).is_none_or(|original| original.content != copy.content)
        });
        let failure = |Uncopied { copy: path, original, line, .. }: Uncopied<'_>| Failure {
            path,
            line,
            reason: Reason::NoCopy { original },
        };
        uncopied.into_iter().map(failure).collect()
    }

    fn relocate(&mut self, file: &FilePatch<'_>) -> Result<FileReport, Stop> {
        let node = self.tree.before(&file.old_path).ok_or_else(|| self.tree.missing(&file.old_path))?;
        let (mut changed, hunks) = self.changed(&node, file)?;
        self.tree.check_free(&file.new_path)?;
        changed.source = self.tree.origin(&file.old_path);
        let is_rename = file.operation == Operation::Rename;
        if is_rename {
            self.tree.remove(&file.old_path)?;
        }
        self.tree.put(&file.new_path, check_target(changed)?)?;
        let status = if is_rename { Status::Renamed } else { Status::Copied };
        Ok(report(file, status, hunks))
    }

    fn changed(
        &mut self,
        node: &Node<'a>,
        file: &FilePatch<'_>,
    ) -> Result<(Node<'a>, Vec<HunkReport>), Stop> {
        // A mere move does not say what it moves.
        if file.body != Body::Unchanged || file.old_mode.is_some() || !WrittenKind::can_be(node.kind) {
            check_kind(node, file.old_mode)?;
        }
        if file.new_mode.is_some() {
            check_kind(node, file.new_mode)?;
        }
        let mut changed = node.clone();
        let mut hunks = Vec::new();
        if file.body != Body::Unchanged {
            let content;
            (content, hunks) = self.content(&node.content, file)?;
            changed.content = Content::made(content);
        }
        if let (Some(mode), WrittenKind::File) = (file.new_mode, WrittenKind::of(node.kind)) {
            changed.mode = permission(mode, node.mode);
        }
        Ok((changed, hunks))
    }

    fn content(&mut self, old: &[u8], file: &FilePatch<'_>) -> Result<(Vec<u8>, Vec<HunkReport>), Stop> {
        match &file.body {
            Body::Unchanged => {
                self.afford(old.len(), 1, old.len())?;
                Ok((old.to_vec(), Vec::new()))
            }
            Body::BinaryUnknown => Err(Reason::BinaryUnknown.into()),
            Body::Binary { forward, .. } => {
                let bytes = size(forward);
                self.afford(bytes, 1, old.len().saturating_add(bytes))?;
                Ok((binary(old, forward, file)?, Vec::new()))
            }
            Body::Text(hunks) => {
                self.afford(place::memory(old, hunks), place::line_count(old), old.len())?;
                place::apply(old, hunks, self.fuzz_max, self.work).map_err(|misfit| Stop {
                    line: Some(misfit.line).filter(|line| *line > 0),
                    reason: misfit.reason,
                })
            }
        }
    }

    /// Whether so much memory and work is left.
    fn afford(&mut self, memory: usize, lines: usize, bytes: usize) -> Result<(), Reason> {
        self.tree.check_room(memory)?;
        self.work.spend(lines, bytes).ok_or(Reason::Effort)
    }
}

/// Bytes of the content that this makes.
fn size(data: &BinaryData) -> usize {
    match data {
        BinaryData::Literal(content) => content.len(),
        BinaryData::Delta(delta) => delta::sizes(delta).map_or(0, |(_, size, _)| size),
    }
}

/// As git, which writes ids in full there so that nothing binary is ever put on the wrong content.
fn binary(old: &[u8], data: &BinaryData, file: &FilePatch<'_>) -> Result<Vec<u8>, Reason> {
    let (old_id, new_id) = file
        .ids
        .filter(|(old, new)| object::is_full(old) && object::is_full(new))
        .ok_or(Reason::BinaryIds)?;
    let is_absent =
        matches!(file.operation, Operation::Create | Operation::CreateOrModify) && object::is_zero(old_id);
    if !is_absent && !object::is_id_of(old_id, old) {
        return Err(Reason::BinaryOld);
    }
    let content = match data {
        BinaryData::Literal(content) => content.to_vec(),
        BinaryData::Delta(delta) => delta::carry_out(old, delta).ok_or(Reason::BinaryOld)?,
    };
    let goes = file.operation == Operation::Delete && object::is_zero(new_id);
    if !goes && !object::is_id_of(new_id, &content) {
        return Err(Reason::BinaryNew);
    }
    Ok(content)
}

fn report(file: &FilePatch<'_>, status: Status, hunks: Vec<HunkReport>) -> FileReport {
    let from = (file.old_path != file.new_path).then(|| file.old_path.clone());
    let binary = matches!(file.body, Body::Binary { .. });
    FileReport { path: file.new_path.clone(), from, status, binary, hunks }
}

const fn kind_of(mode: GitMode) -> WrittenKind {
    if mode.is_symlink() { WrittenKind::Symlink } else { WrittenKind::File }
}

/// The permission bits that stand for git's mode, with as much as possible left of those that are there.
const fn permission(mode: GitMode, now: u32) -> u32 {
    match mode {
        GitMode::Symlink => 0o777,
        GitMode::Regular => now & !0o111,
        GitMode::Executable => now | 0o100 | (now & 0o044) >> 2,
    }
}

/// A patch for a file does nothing to a link, and the other way round. Without a mode it is for a file.
fn check_kind(node: &Node<'_>, mode: Option<GitMode>) -> Result<(), Reason> {
    let wanted = if mode.is_some_and(GitMode::is_symlink) { CurrentKind::Symlink } else { CurrentKind::File };
    if node.kind == wanted {
        return Ok(());
    }
    Err(Reason::Kind { found: node.kind.words(), wanted: wanted.words() })
}

fn check_target(node: Node<'_>) -> Result<Node<'_>, Reason> {
    let is_target = (1..pyro_proto::limits::PATH_BYTES_MAX).contains(&node.content.len());
    if node.kind == CurrentKind::Symlink && (!is_target || node.content.contains(&0)) {
        return Err(Reason::Target);
    }
    Ok(node)
}

impl Node<'_> {
    /// What is to be done to make it.
    pub(super) fn into_action(self) -> Action {
        let kind = WrittenKind::of(self.kind);
        Action::Write { kind, mode: self.mode, content: self.content.into_vec(), source: self.source }
    }
}

impl Change {
    pub(super) fn new(path: &TreePath, action: Action) -> Self {
        Self { path: path.clone(), action }
    }
}
