//! Bringing a folder of the guest up to date with one of the host: only what differs goes over, and a push that fails has
//! changed nothing. This file must not read content.
//!
//! ```text
//!   walk, digests (kept from before) --+
//!   scan of the guest -----------------+--> plan --(digests only the guest has)--> staged receive --> what was pushed
//!   what was pushed before ------------+
//! ```

use super::Moved;
use super::check_kinds;
use super::guest_path;
use super::outgoing::Destination;
use super::outgoing::SourceError;
use super::seed;
use super::seed::Source;
use super::seed::boxed;
use crate::host_path::HostPath;
use crate::tree;
use crate::tree::Encoder;
use crate::tree::HashCache;
use crate::tree::HostManifest;
use crate::tree::IntakeLimits;
use crate::tree::PushPlan;
use crate::tree::PushedManifest;
use crate::tree::Rules;
use crate::tree::WalkOptions;
use crate::tree::Walker;
use crate::tree::Warnings;
use crate::work::Work;
use crate::workspace::error::WorkspaceError;
use crate::workspace::handle::Workspace;
use pyro_proto::ByteString;
use pyro_proto::bytes::to_hex;
use pyro_proto::tool::Tool;
use pyro_proto::tree::Entry;
use pyro_proto::tree::Record;
use pyro_proto::tree::TreePath;
use sha2::Digest as _;
use sha2::Sha256;
use std::collections::HashMap;
use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::io::Read;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

/// A push.
#[derive(Clone, Debug)]
pub struct PushSpec {
    /// A folder, or a tar archive, plain or compressed.
    pub source: HostPath,
    /// Where in the guest; relative paths are below the workspace.
    pub destination: OsString,
    /// Delete what is only in the guest, unless it is excluded.
    pub mirror: bool,
    /// Globs of what is left out.
    pub exclude: Vec<String>,
    /// Leave out what `.gitignore` and `.pyroignore` say.
    pub ignore_files: bool,
    /// Refuse to put a folder in the place of something that is none, or the other way round.
    pub keep_kinds: bool,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// What a push did, or would do.
#[derive(Clone, Debug, Default)]
pub struct PushReport {
    /// `directory` or `tar_archive`.
    pub mode: &'static str,
    /// The folder or archive.
    pub source: PathBuf,
    /// The folder of the guest.
    pub destination: String,
    /// Files, folders and links that went over.
    pub entry_count: u64,
    /// Bytes of them.
    pub bytes_written: u64,
    /// Entries that were as they should be.
    pub unchanged: u64,
    /// Paths that were deleted.
    pub deleted: Vec<TreePath>,
    /// Paths that went over; nothing for an archive.
    pub sent: Vec<TreePath>,
    /// What was left out.
    pub warnings: Warnings,
}

/// What is known of the host's folder.
struct Local {
    manifest: HostManifest,
    rules: Rules,
    source: Arc<tree::Source>,
    warnings: Warnings,
}

impl Workspace {
    /// Brings a folder of the guest up to date.
    ///
    /// # Errors
    /// [`WorkspaceError`]; the guest's files are then as they were.
    pub fn push<'a>(
        &'a self,
        spec: &'a PushSpec,
        moved: Moved<'a>,
    ) -> Work<'a, Result<PushReport, WorkspaceError>> {
        Box::pin(async move {
            let root = guest_path(spec.destination.as_bytes());
            match seed::open_path(&spec.source)? {
                Source::Folder { path } => self.push_folder(spec, path, root, moved).await,
                archive if spec.dry_run || spec.mirror || !spec.exclude.is_empty() => {
                    drop(archive);
                    let reason =
                        "of an archive all is pushed, without mirror, exclusions or dry run".to_owned();
                    Err(WorkspaceError::Unsuitable { path: spec.source.shown().to_owned(), reason })
                }
                archive => self.push_archive(spec, archive, root, moved).await,
            }
        })
    }

    /// Unpacks an archive that comes as a stream, plain or compressed, into a folder of the guest.
    ///
    /// # Errors
    /// [`WorkspaceError`]; the guest's files are then as they were.
    pub(in crate::workspace) async fn push_stream(
        &self,
        input: Box<dyn Read + Send>,
        root: &[u8],
        moved: Moved<'_>,
    ) -> Result<PushReport, WorkspaceError> {
        let destination = String::from_utf8_lossy(root).into_owned();
        let to = Destination { root: root.to_vec(), staged: true, activity: activity(Path::new("-")) };
        let encode = move |encoder: &mut Encoder<'_>| {
            tree::read_tar(input, &IntakeLimits::default(), encoder).map_err(boxed)
        };
        let (sent, _) = self.send_tree(to, encode, moved, None).await?;
        Ok(PushReport {
            mode: "tar_archive",
            source: PathBuf::from("-"),
            destination,
            entry_count: sent.entries,
            bytes_written: sent.bytes,
            warnings: sent.warnings,
            ..PushReport::default()
        })
    }

    async fn push_archive(
        &self,
        spec: &PushSpec,
        archive: Source,
        root: Vec<u8>,
        moved: Moved<'_>,
    ) -> Result<PushReport, WorkspaceError> {
        let destination = String::from_utf8_lossy(&root).into_owned();
        let to = Destination { root, staged: true, activity: activity(spec.source.shown()) };
        let encode = move |encoder: &mut Encoder<'_>| seed::encode(archive, encoder);
        let (sent, _) = self.send_tree(to, encode, moved, None).await?;
        Ok(PushReport {
            mode: "tar_archive",
            source: spec.source.shown().to_owned(),
            destination,
            entry_count: sent.entries,
            bytes_written: sent.bytes,
            warnings: sent.warnings,
            ..PushReport::default()
        })
    }

    async fn push_folder(
        &self,
        spec: &PushSpec,
        path: HostPath,
        root: Vec<u8>,
        moved: Moved<'_>,
    ) -> Result<PushReport, WorkspaceError> {
        let kept = self.kept(path.shown(), &root)?;
        let options = WalkOptions {
            exclude: spec.exclude.clone(),
            ignore_files: spec.ignore_files,
            ..WalkOptions::default()
        };
        let (local, scan) = tokio::join!(look(path.clone(), options, kept.cache.clone()), self.scan(&root));
        let (local, mut scan) = (local?, scan?);
        if spec.keep_kinds {
            check_kinds(local.manifest.entries().iter().map(|entry| &entry.entry), &scan)?;
        }
        let pushed = PushedManifest::load(&kept.pushed);
        let excluded = |path: &TreePath, folder: bool| local.rules.excludes(path, folder);
        let mut plan = tree::plan(&local.manifest, &scan, &pushed, spec.mirror, &excluded);
        if !plan.need_guest_hash.is_empty() {
            let digests = self.digests(&root, &plan.need_guest_hash).await?;
            plan.resolve(&local.manifest, &digests);
        }
        if let Some(conflict) = plan.conflicts.first() {
            return Err(WorkspaceError::PushConflict { path: conflict.to_string() });
        }
        let report = report(path.shown(), &root, &local, &plan);
        if spec.dry_run {
            return Ok(report);
        }
        if plan.is_empty() {
            self.remember_push(&kept, &local, &scan, &HashSet::new());
            return Ok(report);
        }
        let to = Destination { root: root.clone(), staged: true, activity: activity(spec.source.shown()) };
        let (unsteady, landed) = self.send_plan(to, &local, plan, moved).await?;
        // What was not sent is as it was before.
        scan.extend(landed.into_values());
        self.remember_push(&kept, &local, &scan, &unsteady);
        Ok(report)
    }

    async fn send_plan(
        &self,
        to: Destination,
        local: &Local,
        plan: PushPlan,
        moved: Moved<'_>,
    ) -> Result<(HashSet<TreePath>, HashMap<TreePath, Entry>), WorkspaceError> {
        let entries = entries(&local.manifest, &plan);
        let source = Arc::clone(&local.source);
        let delete = plan.delete;
        let encode = move |encoder: &mut Encoder<'_>| -> Result<HashSet<TreePath>, SourceError> {
            for path in delete {
                encoder.record(&Record::Delete(path)).map_err(|stop| boxed(tree::SendError::from(stop)))?;
            }
            Ok(tree::send_entries(&source, entries, encoder).map_err(boxed)?.unsteady)
        };
        let mut landed = HashMap::new();
        let mut land = |entry: Entry| {
            if local.manifest.get(&entry.path).is_some() {
                landed.insert(entry.path.clone(), entry);
            }
        };
        let (unsteady, _) = self.send_tree(to, encode, moved, Some(&mut land)).await?;
        Ok((unsteady, landed))
    }

    /// The digests that only the guest knows.
    async fn digests(
        &self,
        root: &[u8],
        paths: &[TreePath],
    ) -> Result<HashMap<TreePath, [u8; 32]>, WorkspaceError> {
        let mut run = self.tool(Tool::Hash { root: ByteString(root.to_vec()) }, true, None).await?;
        let mut digests = HashMap::new();
        // The tool answers as it reads, so somebody must take its answers meanwhile.
        let input = run.take_input();
        let send = async {
            let Some(mut input) = input else { return };
            for path in paths {
                if input.send(&Record::Path(path.clone())).await.is_err() {
                    return;
                }
            }
            let _ = input.finish().await;
        };
        let receive = async {
            while let Some(record) = run.next().await? {
                if let Record::Digest(path, digest) = record {
                    digests.insert(path, digest);
                }
            }
            Ok::<(), WorkspaceError>(())
        };
        tokio::join!(send, receive).1?;
        Ok(digests)
    }

    fn remember_push(&self, kept: &Kept, local: &Local, scan: &[Entry], unsteady: &HashSet<TreePath>) {
        // Without it the next push asks the guest for digests.
        let _ = PushedManifest::after_push(&local.manifest, scan, unsteady).save(&kept.pushed);
    }

    /// Where what is known of a pair of folders is kept.
    pub(super) fn kept(&self, source: &Path, root: &[u8]) -> Result<Kept, WorkspaceError> {
        let folder = self.folder.path().join("sync");
        crate::workspace::folder::private_folder(&folder)
            .map_err(self.disk_error("keeping what was pushed"))?;
        let name = |parts: &[&[u8]]| to_hex(&Sha256::digest(parts.join(&0))[..8]);
        let source = source.as_os_str().as_bytes();
        Ok(Kept {
            cache: folder.join(format!("digests-{}.json", name(&[source]))),
            pushed: folder.join(format!("pushed-{}.json", name(&[root]))),
        })
    }
}

/// What is sent, and the folders that change with it: their times are the host's afterwards, too.
fn entries(manifest: &HostManifest, plan: &PushPlan) -> Vec<Entry> {
    let mut send: HashSet<TreePath> = plan.send.iter().cloned().collect();
    send.extend(plan.send.iter().chain(&plan.delete).filter_map(TreePath::parent));
    let all = manifest.entries().iter().map(|entry| &entry.entry);
    all.filter(|entry| send.contains(&entry.path)).cloned().collect()
}

pub(super) struct Kept {
    /// Digests of the host's files.
    pub(super) cache: PathBuf,
    /// What was pushed to a folder of the guest.
    pub(super) pushed: PathBuf,
}

fn activity(source: &Path) -> String {
    format!("sync_push {}", source.display())
}

/// Walks the host's folder.
async fn look(path: HostPath, options: WalkOptions, cache_path: PathBuf) -> Result<Local, WorkspaceError> {
    let looked = tokio::task::spawn_blocking(move || {
        let mut walker = Walker::new(path.path(), options).map_err(boxed)?;
        let source = Arc::clone(walker.source());
        let mut cache = HashCache::load(&cache_path);
        let manifest = HostManifest::build(&mut walker, &mut cache, SystemTime::now()).map_err(boxed)?;
        // Without it the next push takes all digests again.
        let _ = cache.save(&cache_path);
        let (rules, warnings) = walker.into_rules();
        Ok(Local { manifest, rules, source, warnings })
    });
    let failed =
        |error| WorkspaceError::Caller { operation: "reading the files", source: io::Error::other(error) };
    looked.await.map_err(failed)?.map_err(WorkspaceError::Source)
}

fn report(path: &Path, root: &[u8], local: &Local, plan: &PushPlan) -> PushReport {
    PushReport {
        mode: "directory",
        source: path.to_owned(),
        destination: String::from_utf8_lossy(root).into_owned(),
        entry_count: plan.send.len() as u64,
        bytes_written: plan.bytes,
        unchanged: plan.unchanged,
        deleted: plan.delete.clone(),
        sent: plan.send.clone(),
        warnings: local.warnings.clone(),
    }
}
