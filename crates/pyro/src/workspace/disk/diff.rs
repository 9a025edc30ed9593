//! What changed in a workspace: against its baseline or another snapshot, as it is now or in a snapshot; or, of the system,
//! against its environment. A running guest's disk is held only while what is there now is read. This file must not render
//! anything.

use super::changes::Changes;
use super::changes::Filter;
use super::error::FilesError;
use super::packages::PackageChange;
use super::report;
use super::report::DiffReport;
use super::report::Page;
use super::system;
use super::view::Environment;
use crate::diff::DiffOptions;
use crate::work::Work;
use crate::workspace::WORKSPACE_PATH;
use crate::workspace::error::WorkspaceError;
use crate::workspace::handle::Workspace;
use crate::workspace::id::SnapshotName;
use crate::workspace::layers::Chain;
use crate::workspace::snapshots;
use pyro_image::disk::MergedRoot;
use pyro_image::disk::compare;
use pyro_image::disk::system_changes;
use std::time::Duration;
use std::time::Instant;

/// How long comparing texts line by line may take in all, before answers become coarser.
const RENDER_TIME_MAX: Duration = Duration::from_secs(20);

/// A diff to be made.
#[derive(Clone, Debug)]
pub struct DiffSpec {
    /// The snapshot to compare with.
    pub from: SnapshotName,
    /// The snapshot to compare; nothing for the workspace as it is.
    pub to: Option<SnapshotName>,
    /// Paths and globs of what it is to be about; everything if there are none.
    pub only: Vec<String>,
    /// Globs of what is left out.
    pub exclude: Vec<String>,
    /// What changed outside of the workspace's folder, against the environment where `from` is the baseline.
    pub system: bool,
    /// Whether the report shall have a patch.
    pub patch: bool,
    /// Lines of context.
    pub context_lines: usize,
    /// Whether files that moved are found.
    pub renames: bool,
    /// Whether binary contents are in the patch.
    pub binary: bool,
    /// Most bytes of the patch.
    pub patch_bytes_max: usize,
    /// Most entries of the report.
    pub limit: usize,
    /// How many entries to skip.
    pub cursor: usize,
}

impl Default for DiffSpec {
    fn default() -> Self {
        Self {
            from: SnapshotName::baseline(),
            to: None,
            only: Vec::new(),
            exclude: Vec::new(),
            system: false,
            patch: true,
            context_lines: 3,
            renames: true,
            binary: true,
            patch_bytes_max: 16 << 20,
            limit: 10_000,
            cursor: 0,
        }
    }
}

/// What was read while the disk stood still.
struct Read {
    changes: Changes,
    old: MergedRoot,
    packages: Option<Vec<PackageChange>>,
    // The environment stays installed until all is read.
    _environment: Environment,
}

impl Workspace {
    /// What changed.
    ///
    /// # Errors
    /// [`WorkspaceError`]; the workspace goes on as before.
    pub fn diff(&self, spec: DiffSpec) -> Work<'_, Result<DiffReport, WorkspaceError>> {
        Box::pin(async move {
            let root = if spec.system { "/" } else { WORKSPACE_PATH };
            let filter = Filter::new(root, &spec.only, &spec.exclude)?;
            let old = snapshots::load(&self.folder, &spec.from)?.chain;
            let read = match &spec.to {
                Some(name) => {
                    let new = snapshots::load(&self.folder, name)?.chain;
                    self.read(&spec, old, new, filter).await?
                }
                None => {
                    let access = self.access().await?;
                    let read = self.read(&spec, old, access.document().chain.clone(), filter).await;
                    access.end().await?;
                    read?
                }
            };
            let workspace_id = self.id().to_string();
            blocking(move || {
                let Read { mut changes, old, packages, _environment } = read;
                if wants_content(&spec) {
                    changes.read_old(&old)?;
                }
                let report = report::report(&changes, &options(&spec), page(&spec));
                let to = spec.to.map(|name| name.to_string());
                Ok(DiffReport { workspace_id, from: spec.from.to_string(), to, packages, ..report })
            })
            .await
        })
    }

    async fn read(
        &self,
        spec: &DiffSpec,
        old: Chain,
        new: Chain,
        filter: Filter,
    ) -> Result<Read, WorkspaceError> {
        let (config, folder, document) = (self.config.clone(), self.folder.clone(), self.folder.load()?);
        let (spec, needles) = (spec.clone(), self.needles().await?);
        blocking(move || {
            let environment = Environment::of(&config, &document)?;
            let new = environment.under(&folder, &new)?;
            let against_environment = spec.system && spec.from.is_baseline();
            let old =
                if against_environment { environment.alone() } else { environment.under(&folder, &old)? };
            let list = match (spec.system, against_environment) {
                (false, _) => compare(&old, &new, WORKSPACE_PATH.as_bytes()),
                (true, true) => system_changes(&new),
                (true, false) => compare(&old, &new, b"/"),
            };
            let mut list = list.map_err(FilesError::from)?;
            if spec.system {
                list.retain(system::is_own);
            }
            let packages = if spec.system { Some(system::packages(&old, &new)?) } else { None };
            let mut changes = Changes::of(list, &filter, needles);
            if wants_content(&spec) {
                changes.read_new(&new)?;
            }
            Ok(Read { changes, old, packages, _environment: environment })
        })
        .await
    }
}

/// A system's files are many, and mostly those of packages: their contents are read when a patch is wanted.
const fn wants_content(spec: &DiffSpec) -> bool {
    spec.patch || !spec.system
}

fn options(spec: &DiffSpec) -> DiffOptions {
    DiffOptions {
        context_lines: spec.context_lines,
        renames: spec.renames,
        binary: spec.binary,
        deadline: Instant::now().checked_add(RENDER_TIME_MAX),
        ..DiffOptions::default()
    }
}

const fn page(spec: &DiffSpec) -> Page {
    Page { cursor: spec.cursor, limit: spec.limit, patch: spec.patch, patch_bytes_max: spec.patch_bytes_max }
}

/// Does what blocks on a thread.
pub(in crate::workspace) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, WorkspaceError> + Send + 'static,
) -> Result<T, WorkspaceError> {
    let done = tokio::task::spawn_blocking(work).await;
    let broke = |error| WorkspaceError::Caller {
        operation: "reading the disk",
        source: std::io::Error::other(error),
    };
    done.map_err(broke)?
}
