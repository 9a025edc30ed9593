//! The files a workspace begins with: a folder, an archive, a clone. This file must not send anything that is not named by
//! the caller.

use super::outgoing::Destination;
use super::outgoing::SourceError;
use crate::config::Config;
use crate::host_path::HostPath;
use crate::run::RunObserver;
use crate::state;
use crate::state::Scratch;
use crate::tree;
use crate::tree::Encoder;
use crate::tree::GitProgram;
use crate::tree::GitSource;
use crate::tree::HashCache;
use crate::tree::HostManifest;
use crate::tree::IntakeLimits;
use crate::tree::PushedManifest;
use crate::tree::TreePath;
use crate::tree::WalkOptions;
use crate::tree::Walker;
use crate::tree::Warnings;
use crate::workspace::WORKSPACE_PATH;
use crate::workspace::create::SeedSource;
use crate::workspace::document::Seed;
use crate::workspace::error::StoreError;
use crate::workspace::error::WorkspaceError;
use crate::workspace::handle::Workspace;
use pyro_proto::tree::Entry;
use std::collections::HashMap;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::path::PathBuf;
use std::time::SystemTime;

/// Most warnings that are passed on one by one.
const WARNINGS_SHOWN: usize = 20;

/// Most files of a guest that are remembered at once: a guest says what it likes.
const LANDED_MAX: usize = 5_000_000;

/// Files that are ready to be sent.
#[derive(Debug)]
pub(in crate::workspace) enum Source {
    /// All of a folder.
    Folder { path: HostPath },
    /// What is in an archive.
    Archive { path: HostPath, file: File },
    /// A fresh clone, which goes when this is dropped.
    Clone { shown: String, folder: PathBuf, commit: String, _scratch: Scratch },
}

/// Looks whether there is anything to send, before anything is made.
///
/// # Errors
/// There is nothing there, or it is neither folder nor archive.
pub(in crate::workspace) fn open(
    config: &Config,
    source: &SeedSource,
) -> Result<Option<Source>, WorkspaceError> {
    match source {
        SeedSource::Empty => Ok(None),
        SeedSource::Path(path) => open_path(path).map(Some),
        SeedSource::Git(address) => {
            let source = GitSource::parse(OsStr::new(address))
                .map_err(|error| WorkspaceError::Source(Box::new(error)))?;
            clone(config, &source, address.clone()).map(Some)
        }
        SeedSource::Repository(source) => {
            let reference = source.reference.as_ref().map(|reference| format!("#{reference}"));
            let shown = format!("{}{}", source.path.shown().display(), reference.unwrap_or_default());
            clone(config, source, shown).map(Some)
        }
    }
}

/// A folder or an archive.
pub(super) fn open_path(path: &HostPath) -> Result<Source, WorkspaceError> {
    let failed = |source| WorkspaceError::Input { path: path.shown().to_owned(), source };
    let path = path.absolute().map_err(failed)?;
    let metadata = std::fs::metadata(path.path()).map_err(failed)?;
    if metadata.is_dir() {
        return Ok(Source::Folder { path });
    }
    if !metadata.is_file() {
        return Err(failed(std::io::ErrorKind::InvalidInput.into()));
    }
    let file = File::open(path.path()).map_err(failed)?;
    Ok(Source::Archive { path, file })
}

fn clone(config: &Config, source: &GitSource, shown: String) -> Result<Source, WorkspaceError> {
    let failed = |error: tree::GitError| WorkspaceError::Source(Box::new(error));
    let scratch = state::scratch(config, "clone").map_err(StoreError::State)?;
    let program = GitProgram { search_path: &config.search_path, home: config.home.as_deref() };
    let seed = program.seed(source, &scratch.path().join("repository")).map_err(failed)?;
    Ok(Source::Clone { shown, folder: seed.folder, commit: seed.commit, _scratch: scratch })
}

/// Sends everything into the workspace's folder of a guest that nobody has used yet.
pub(in crate::workspace) async fn seed(
    workspace: &Workspace,
    source: Source,
    observer: &mut dyn RunObserver,
) -> Result<Seed, WorkspaceError> {
    let (mode, shown, commit) = match &source {
        Source::Folder { path } => ("directory", path.shown().display().to_string(), None),
        Source::Archive { path, .. } => ("tar_archive", path.shown().display().to_string(), None),
        Source::Clone { shown, commit, .. } => ("git", shown.clone(), Some(commit.clone())),
    };
    let to = Destination {
        root: WORKSPACE_PATH.as_bytes().to_vec(),
        staged: false,
        activity: format!("seed {shown}"),
    };
    let from = source.path().to_owned();
    let encode = move |encoder: &mut Encoder<'_>| encode(source, encoder);
    let mut landed = HashMap::new();
    let mut land = |entry: Entry| {
        if landed.len() < LANDED_MAX {
            landed.insert(entry.path.clone(), entry);
        }
    };
    let mut moved = |bytes| observer.transferred(bytes);
    let (sent, _) = workspace.send_tree(to, encode, &mut moved, Some(&mut land)).await?;
    if let Some(known) = &sent.known {
        let landed: Vec<Entry> = landed.into_values().collect();
        remember(workspace, &from, known, &landed)?;
    }
    for warning in sent.warnings.list().iter().take(WARNINGS_SHOWN) {
        observer.notice(warning);
    }
    let unshown = sent.warnings.count().saturating_sub(WARNINGS_SHOWN as u64);
    if unshown > 0 {
        observer.notice(&format!("and {unshown} more warnings"));
    }
    Ok(Seed {
        mode: mode.to_owned(),
        seed_path: Some(shown),
        destination: WORKSPACE_PATH.to_owned(),
        entry_count: sent.entries,
        bytes_written: sent.bytes,
        commit,
    })
}

/// Keeps what the first push needs to know: then it need not ask the guest for the digests of what has just been sent.
fn remember(
    workspace: &Workspace,
    from: &Path,
    known: &Known,
    landed: &[Entry],
) -> Result<(), WorkspaceError> {
    let kept = workspace.kept(from, WORKSPACE_PATH.as_bytes())?;
    // Without these the first push takes the digests after all.
    let _ = known.digests.save(&kept.cache);
    let _ = PushedManifest::after_push(&known.manifest, landed, &known.unsteady).save(&kept.pushed);
    Ok(())
}

/// What is known of the files of a folder that was sent.
#[derive(Debug)]
pub(super) struct Known {
    manifest: HostManifest,
    digests: HashCache,
    unsteady: HashSet<TreePath>,
}

/// What went over.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) entries: u64,
    pub(super) bytes: u64,
    pub(super) warnings: Warnings,
    /// Nothing for an archive.
    known: Option<Known>,
}

impl Source {
    /// Where people say that it is on this host.
    fn path(&self) -> &Path {
        match self {
            Self::Folder { path } | Self::Archive { path, .. } => path.shown(),
            Self::Clone { folder, .. } => folder,
        }
    }
}

/// Encodes all of a source.
pub(super) fn encode(source: Source, encoder: &mut Encoder<'_>) -> Result<Sent, SourceError> {
    match source {
        Source::Folder { path } => folder(path.path(), encoder),
        Source::Clone { folder: path, .. } => folder(&path, encoder),
        Source::Archive { file, .. } => {
            let report = tree::read_tar(file, &IntakeLimits::default(), encoder).map_err(boxed)?;
            Ok(Sent { entries: report.entries, bytes: report.bytes, warnings: report.warnings, known: None })
        }
    }
}

fn folder(path: &Path, encoder: &mut Encoder<'_>) -> Result<Sent, SourceError> {
    let mut walker = Walker::new(path, WalkOptions::default()).map_err(boxed)?;
    let mut digests = HashCache::default();
    let noted = tree::send_and_note(&mut walker, encoder, &mut digests, SystemTime::now());
    let (mut sent, manifest) = noted.map_err(boxed)?;
    sent.warnings.absorb(walker.warnings().clone());
    Ok(Sent {
        entries: sent.entries,
        bytes: sent.bytes,
        warnings: sent.warnings,
        known: Some(Known { manifest, digests, unsteady: sent.unsteady }),
    })
}

pub(super) fn boxed<E: crate::code::Coded + Send + Sync + 'static>(error: E) -> SourceError {
    Box::new(error)
}
