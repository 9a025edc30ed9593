//! Bringing a folder of the host up to date with one of the guest. Only what differs in size, time or kind comes over. This
//! file must not trust what a guest sends: the extractor does the checking.

use super::Moved;
use super::check_kinds;
use super::export::FromGuest;
use super::guest_path;
use super::incoming::Records;
use super::incoming::receive_tree;
use super::seed::boxed;
use crate::host_path::HostPath;
use crate::state;
use crate::tree::ExtractOptions;
use crate::tree::Extractor;
use crate::tree::Links;
use crate::tree::Rules;
use crate::tree::WalkOptions;
use crate::tree::Walker;
use crate::tree::Warnings;
use crate::work::Work;
use crate::workspace::error::StoreError;
use crate::workspace::error::WorkspaceError;
use crate::workspace::handle::Workspace;
use pyro_proto::ByteString;
use pyro_proto::tool::Tool;
use pyro_proto::tree::Entry;
use pyro_proto::tree::EntryKind;
use pyro_proto::tree::Record;
use pyro_proto::tree::TreePath;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::HashSet;
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::Arc;

/// A pull.
#[derive(Clone, Debug)]
pub struct PullSpec {
    /// A folder of the guest; relative paths are below the workspace.
    pub source: OsString,
    /// A folder of the host, made if it is not there.
    pub target: HostPath,
    /// Delete what is only on the host, unless it is excluded.
    pub mirror: bool,
    /// Globs of what is left alone.
    pub exclude: Vec<String>,
    /// Leave alone what the host's `.gitignore` and `.pyroignore` say.
    pub ignore_files: bool,
    /// What becomes of links that lead out of the tree.
    pub links: Links,
    /// Most bytes.
    pub bytes_max: u64,
    /// Refuse to put a folder in the place of something that is none, or the other way round.
    pub keep_kinds: bool,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// What a pull did, or would do.
#[derive(Clone, Debug, Default)]
pub struct PullReport {
    /// The folder of the guest.
    pub source: String,
    /// The folder of the host.
    pub target: PathBuf,
    /// Paths that came over.
    pub received: Vec<TreePath>,
    /// Paths that were deleted.
    pub deleted: Vec<TreePath>,
    /// Bytes of files.
    pub bytes_written: u64,
    /// Entries that were as they should be.
    pub unchanged: u64,
    /// What was left out.
    pub warnings: Warnings,
}

impl Workspace {
    /// Brings a folder of the host up to date.
    ///
    /// # Errors
    /// [`WorkspaceError`]; files that had come over by then stay.
    pub fn pull<'a>(
        &'a self,
        spec: &'a PullSpec,
        moved: Moved<'a>,
    ) -> Work<'a, Result<PullReport, WorkspaceError>> {
        Box::pin(async move {
            let root = guest_path(spec.source.as_bytes());
            let failed = |source| WorkspaceError::Output { path: spec.target.shown().to_owned(), source };
            let target =
                if spec.dry_run { spec.target.clone() } else { spec.target.folder().map_err(failed)? };
            let remote = self.scan(&root).await?;
            if remote.first().is_none_or(|first| first.kind != EntryKind::Directory) {
                let reason = "it is no folder of the guest".to_owned();
                return Err(WorkspaceError::Unsuitable { path: spec.source.clone().into(), reason });
            }
            let (local, rules) = self.look(spec, target.clone()).await?;
            if spec.keep_kinds {
                check_kinds(&remote, local.values())?;
            }
            let mut report = PullReport {
                source: String::from_utf8_lossy(&root).into_owned(),
                target: spec.target.shown().to_owned(),
                ..PullReport::default()
            };
            compare(&remote, &local, &|path, folder| rules.excludes(path, folder), &mut report);
            if spec.mirror {
                report.deleted = deletions(target.clone(), gone(&remote, &local)).await?;
            }
            if spec.dry_run || (report.received.is_empty() && report.deleted.is_empty()) {
                return Ok(report);
            }
            let send = Tool::Send {
                root: ByteString(root),
                exclude: Vec::new(),
                listed: true,
                bytes_max: spec.bytes_max,
            };
            let mut run = self.tool(send, true, Some(format!("sync_pull {}", report.source))).await?;
            let input = run.take_input();
            let paths = report.received.clone();
            let ask = async {
                let Some(mut input) = input else { return };
                for path in paths {
                    if input.send(&Record::Path(path)).await.is_err() {
                        return;
                    }
                }
                let _ = input.finish().await;
            };
            let needles = Arc::new(self.needles().await?);
            let mut records =
                Pulled { deleted: report.deleted.iter().cloned().collect(), rest: FromGuest::new(run) };
            let options = ExtractOptions {
                links: spec.links,
                mirror: spec.mirror,
                bytes_max: spec.bytes_max,
                ..ExtractOptions::default()
            };
            let make = move |next: &mut dyn FnMut() -> Option<Record>| {
                let mut extractor = Extractor::update(target, options).map_err(boxed)?;
                while let Some(record) = next() {
                    extractor.record(record).map_err(boxed)?;
                }
                extractor.finish().map_err(boxed)
            };
            let ((), done) = tokio::join!(ask, receive_tree(&mut records, needles, make, moved));
            let done = done?;
            report.bytes_written = done.bytes;
            report.warnings.absorb(done.warnings);
            Ok(report)
        })
    }
}

/// What is to be deleted, then what comes from the guest.
struct Pulled {
    deleted: VecDeque<TreePath>,
    rest: FromGuest,
}

impl Records for Pulled {
    async fn next(&mut self) -> Result<Option<Record>, WorkspaceError> {
        match self.deleted.pop_front() {
            Some(path) => Ok(Some(Record::Delete(path))),
            None => self.rest.next().await,
        }
    }
}

type Local = HashMap<TreePath, Entry>;

type Looked = (Local, Rules);

impl Workspace {
    async fn look(&self, spec: &PullSpec, target: HostPath) -> Result<Looked, WorkspaceError> {
        let (exclude, ignore_files) = (spec.exclude.clone(), spec.ignore_files);
        // Who only asks what would be done need not have a folder yet.
        let nothing = if spec.dry_run && target.is_missing() {
            Some(state::scratch(&self.config, "pull").map_err(StoreError::State)?)
        } else {
            None
        };
        let looked = tokio::task::spawn_blocking(move || {
            let options = WalkOptions { exclude, ignore_files, ..WalkOptions::default() };
            let root = nothing.as_ref().map_or(target.path(), |scratch| scratch.path());
            let mut walker = Walker::new(root, options).map_err(boxed)?;
            let mut entries = Local::new();
            while let Some(entry) = walker.next().transpose().map_err(boxed)? {
                entries.insert(entry.path.clone(), entry);
            }
            Ok((entries, walker.into_rules().0))
        });
        let failed = |error| WorkspaceError::Caller {
            operation: "reading the files",
            source: io::Error::other(error),
        };
        looked.await.map_err(failed)?.map_err(WorkspaceError::Source)
    }
}

fn compare(
    remote: &[Entry],
    local: &Local,
    excluded: &dyn Fn(&TreePath, bool) -> bool,
    report: &mut PullReport,
) {
    let mut wanted = Vec::new();
    for entry in remote.iter().filter(|entry| !entry.path.is_root()) {
        if excluded(&entry.path, entry.kind == EntryKind::Directory) {
            continue;
        }
        if entry.kind == EntryKind::Special {
            report.warnings.add(format!("{}: a socket, FIFO or device, left out", entry.path));
        } else {
            wanted.push(entry);
        }
    }
    let differs = |entry: &Entry| local.get(&entry.path).is_none_or(|there| !is_same(entry, there));
    // The names of one file come together: a name that came alone would become a file of its own.
    let different = wanted.iter().filter(|entry| differs(entry));
    let touched: HashSet<&[u8]> = different.map(|entry| file_of(entry)).collect();
    for entry in wanted {
        if touched.contains(file_of(entry)) {
            report.received.push(entry.path.clone());
        } else {
            report.unchanged += 1;
        }
    }
}

/// The first name of a file.
fn file_of(entry: &Entry) -> &[u8] {
    if entry.kind == EntryKind::HardLink { &entry.target } else { entry.path.as_bytes() }
}

/// What is only on the host, and is not excluded.
fn gone(remote: &[Entry], local: &Local) -> BTreeSet<TreePath> {
    let there: HashSet<&TreePath> = remote.iter().map(|entry| &entry.path).collect();
    local.keys().filter(|path| !there.contains(path) && !path.is_root()).cloned().collect()
}

/// What of it can go: no folder that holds something else. Folders stand for what is in them.
async fn deletions(target: HostPath, gone: BTreeSet<TreePath>) -> Result<Vec<TreePath>, WorkspaceError> {
    let looked = tokio::task::spawn_blocking(move || {
        let mut can_go: BTreeSet<TreePath> = BTreeSet::new();
        // What is in a folder comes after it, so from the last to the first.
        for path in gone.iter().rev() {
            if holds_nothing_else(&target, path, &can_go)? {
                can_go.insert(path.clone());
            }
        }
        let topmost = |path: &&TreePath| path.parent().is_none_or(|parent| !can_go.contains(&parent));
        Ok(can_go.iter().filter(topmost).cloned().collect())
    });
    let failed =
        |error| WorkspaceError::Caller { operation: "reading the files", source: io::Error::other(error) };
    looked.await.map_err(failed)?
}

fn holds_nothing_else(
    target: &HostPath,
    path: &TreePath,
    can_go: &BTreeSet<TreePath>,
) -> Result<bool, WorkspaceError> {
    let below = OsStr::from_bytes(path.as_bytes());
    let full = target.path().join(below);
    let failed = |source| WorkspaceError::Output { path: target.shown().join(below), source };
    if !full.symlink_metadata().map_err(failed)?.is_dir() {
        return Ok(true);
    }
    for entry in full.read_dir().map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let known = path.join(name.as_bytes()).is_ok_and(|inner| can_go.contains(&inner));
        if !known {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether nothing needs to come over: a file's time and size stand for its content, as they do for rsync.
fn is_same(remote: &Entry, local: &Entry) -> bool {
    if remote.kind != local.kind {
        return false;
    }
    let modes = (remote.mode & 0o777) == (local.mode & 0o777);
    match remote.kind {
        EntryKind::File => modes && remote.size_bytes == local.size_bytes && remote.mtime == local.mtime,
        EntryKind::Symlink | EntryKind::HardLink => remote.target == local.target,
        EntryKind::Directory => modes,
        EntryKind::Special => true,
    }
}
