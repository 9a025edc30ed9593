//! Copying a path out of a workspace, whatever state it is in, or out of a snapshot. This file must not make files.

use super::access::Access;
use super::diff::blocking;
use super::records::FromDisk;
use super::records::Wanted;
use super::view::Environment;
use crate::work::Work;
use crate::workspace::error::WorkspaceError;
use crate::workspace::handle::Workspace;
use crate::workspace::id::SnapshotName;
use crate::workspace::layers::Chain;
use crate::workspace::snapshots;
use crate::workspace::transfer::ExportReport;
use crate::workspace::transfer::ExportSpec;
use crate::workspace::transfer::Moved;
use crate::workspace::transfer::export;
use crate::workspace::transfer::guest_path;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;
use std::time::Instant;

impl Workspace {
    /// Copies a path out: of a snapshot if one is named, else of the workspace as it is, whether or not it runs.
    ///
    /// # Errors
    /// [`WorkspaceError`]; nothing is then left at the target.
    pub fn export<'a>(
        &'a self,
        spec: ExportSpec,
        from: Option<&'a SnapshotName>,
        moved: Moved<'a>,
    ) -> Work<'a, Result<ExportReport, WorkspaceError>> {
        Box::pin(async move {
            let began = Instant::now();
            let mut detail = spec.path.to_string_lossy().into_owned();
            detail.extend(from.map(|name| format!(" of the snapshot {name}")));
            match self.export_from(spec, from, moved).await {
                // The supervisor of a running workspace has written it down.
                (false, exported) => exported,
                (true, exported) => {
                    self.note("export", Some(detail), exported.as_ref().err(), began);
                    exported
                }
            }
        })
    }

    /// Whether it was done without a supervisor, and what came of it.
    async fn export_from(
        &self,
        spec: ExportSpec,
        from: Option<&SnapshotName>,
        moved: Moved<'_>,
    ) -> (bool, Result<ExportReport, WorkspaceError>) {
        let (access, chain) = match from {
            Some(name) => match snapshots::load(&self.folder, name) {
                Ok(snapshot) => (None, snapshot.chain),
                Err(error) => return (true, Err(error.into())),
            },
            None => match self.access_stopped().await {
                Ok(access) => {
                    let chain = access.document().chain.clone();
                    (Some(access), chain)
                }
                Err(WorkspaceError::Running { .. } | WorkspaceError::Busy { .. }) => {
                    return (false, self.export_running(spec, moved).await);
                }
                Err(error) => return (true, Err(error)),
            },
        };
        (true, self.export_chain(spec, access, chain, moved).await)
    }

    async fn export_chain(
        &self,
        spec: ExportSpec,
        access: Option<Access>,
        chain: Chain,
        moved: Moved<'_>,
    ) -> Result<ExportReport, WorkspaceError> {
        let (config, folder, document) = (self.config.clone(), self.folder.clone(), self.folder.load()?);
        let (environment, root) = blocking(move || {
            let environment = Environment::of(&config, &document)?;
            let root = environment.under(&folder, &chain)?;
            Ok((environment, root))
        })
        .await?;
        let path = guest_path(spec.path.as_bytes());
        let wanted = Wanted {
            path: path.clone(),
            exclude: spec.exclude.clone(),
            bytes_max: spec.bytes_max,
            follow: spec.follow,
        };
        let mut records = FromDisk::new(root, environment, wanted, access);
        export(&mut records, Arc::new(self.needles().await?), spec, &path, moved).await
    }
}
