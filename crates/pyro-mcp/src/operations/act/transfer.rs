//! Files between the host and workspaces: pushed, pulled, exported. Which of the host's, the rules say.

use crate::operations::action::Action;
use crate::operations::action::Context;
use crate::operations::action::Outcome;
use crate::operations::error::OperationError;
use crate::operations::given;
use crate::operations::given::default;
use crate::operations::relay::relay;
use crate::operations::rules::HostPaths;
use crate::operations::table::Hints;
use crate::operations::table::Operation;
use pyro::tree::Compression;
use pyro::tree::Links;
use pyro::workspace::ExportFormat;
use pyro::workspace::ExportSpec;
use pyro::workspace::ExportTarget;
use pyro::workspace::PullSpec;
use pyro::workspace::PushSpec;
use schemars::JsonSchema;
use serde::Deserialize;

/// Most bytes that come out of a guest at once.
const OUT_BYTES_MAX: u64 = 64 << 30;

pub(super) fn all() -> Vec<Operation> {
    vec![Operation::of::<Push>(), Operation::of::<Pull>(), Operation::of::<Export>()]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Push {
    /// Workspace, by id or name.
    workspace_id: String,
    /// Folder or tar archive of the host.
    source_path: String,
    /// Folder in the guest; relative ones are below /workspace.
    #[serde(default = "default::workspace")]
    dest: String,
    /// Delete what is only in the guest: the folder becomes a mirror of the source.
    #[serde(default)]
    delete: bool,
    /// Leave out what one of these globs matches.
    #[serde(default)]
    exclude: Vec<String>,
    /// Leave out what .gitignore and .pyroignore say.
    #[serde(default = "default::yes")]
    ignore_files: bool,
    /// Only say what would be done.
    #[serde(default)]
    dry_run: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Pull {
    /// Workspace, by id or name.
    workspace_id: String,
    /// Folder in the guest; relative ones are below /workspace.
    source: String,
    /// Folder of the host; made if it is not there.
    target_path: String,
    /// Delete what is only on the host.
    #[serde(default)]
    delete: bool,
    /// Leave alone what one of these globs matches.
    #[serde(default)]
    exclude: Vec<String>,
    /// Leave alone what the host's .gitignore and .pyroignore say.
    #[serde(default = "default::yes")]
    ignore_files: bool,
    /// What becomes of links that lead out of the folder: "refuse" or "skip".
    #[serde(default = "default::refuse")]
    links: String,
    /// Only say what would be done.
    #[serde(default)]
    dry_run: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Export {
    /// Workspace, by id or name.
    workspace_id: String,
    /// What to copy; relative paths are below /workspace.
    path: String,
    /// Path of the host at which there is nothing yet.
    output_path: String,
    /// "tree" for the thing itself, or "tar", "tar.gz" or "tar.zst" for an archive of it.
    #[serde(default = "default::tree")]
    format: String,
    /// Copy it from this snapshot.
    snapshot: Option<String>,
    /// What becomes of links that lead out of what is copied: "refuse" or "skip".
    #[serde(default = "default::refuse")]
    links: String,
    /// Leave out what one of these globs matches.
    #[serde(default)]
    exclude: Vec<String>,
}

impl Action for Push {
    const NAME: &'static str = "workspace_sync_push";
    const TITLE: &'static str = "Copy files into a workspace";
    const DESCRIPTION: &'static str = "Bring a folder of a running workspace up to date with one of the host: only what \
        differs goes over, and a push that fails has changed nothing. It adds and replaces; delete makes a mirror. \
        Example: {\"workspace_id\": \"fix\", \"source_path\": \"/home/me/project\"}.";
    const HINTS: Hints = Hints::REPLACES;
    const OUTPUT: &'static [&'static str] = &["workspace_id:str execution_mode:str workspace_sync:obj"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let spec = PushSpec {
            source: with.operations.rules().host_paths.source(&self.source_path)?,
            destination: self.dest.into(),
            mirror: self.delete,
            exclude: self.exclude,
            ignore_files: self.ignore_files,
            keep_kinds: false,
            dry_run: self.dry_run,
        };
        let workspace = with.find(&self.workspace_id)?;
        let report = relay(with.progress, |teller| {
            let (workspace, spec) = (&workspace, &spec);
            async move { workspace.push(spec, &mut |bytes| teller.counted("pushing", bytes, None)).await }
        });
        Ok(workspace.describe_push(&report.await?, spec.dry_run))
    }
}

impl Action for Pull {
    const NAME: &'static str = "workspace_sync_pull";
    const TITLE: &'static str = "Copy files out of a workspace";
    const DESCRIPTION: &'static str = "Bring a folder of the host up to date with one of a running workspace: files that \
        differ are replaced on the host. For a fresh copy use workspace_export. Try dry_run first.";
    const HINTS: Hints = Hints::REPLACES;
    const OUTPUT: &'static [&'static str] = &["workspace_id:str execution_mode:str workspace_pull:obj"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let paths = &with.operations.rules().host_paths;
        let spec = PullSpec {
            source: self.source.into(),
            target: paths.folder(&self.target_path)?,
            mirror: self.delete,
            exclude: self.exclude,
            ignore_files: self.ignore_files,
            links: links(paths, &self.links)?,
            bytes_max: OUT_BYTES_MAX,
            keep_kinds: false,
            dry_run: self.dry_run,
        };
        let workspace = with.find(&self.workspace_id)?;
        let report = relay(with.progress, |teller| {
            let (workspace, spec) = (&workspace, &spec);
            async move { workspace.pull(spec, &mut |bytes| teller.counted("pulling", bytes, None)).await }
        });
        Ok(workspace.describe_pull(&report.await?, spec.dry_run))
    }
}

/// What becomes of links that lead out. To keep them is to put links of a guest's choice on the host, which a caller that is
/// bound to some folders may not.
fn links(paths: &HostPaths, text: &str) -> Result<Links, OperationError> {
    match text {
        "refuse" => Ok(Links::Refuse),
        "skip" => Ok(Links::Skip),
        "keep" if *paths == HostPaths::Anywhere => Ok(Links::Keep),
        other => Err(OperationError::arguments(format!("links '{other}' is neither refuse nor skip"))),
    }
}

impl Action for Export {
    const NAME: &'static str = "workspace_export";
    const TITLE: &'static str = "Export a path";
    const DESCRIPTION: &'static str = "Copy a file, folder or link out of a workspace, running or not, or out of a snapshot, \
        to a new path of the host. Example: {\"workspace_id\": \"fix\", \"path\": \"report.txt\", \"output_path\": \
        \"/home/me/project/report.txt\"}.";
    const HINTS: Hints = Hints::ADDS;
    const OUTPUT: &'static [&'static str] = &[
        "workspace_id:str workspace_path:str output_path:str artifact_type:str entry_count:int bytes_written:int \
         execution_mode:str warnings:list",
    ];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let paths = &with.operations.rules().host_paths;
        let format = match self.format.as_str() {
            "tree" => ExportFormat::Tree,
            "tar" => ExportFormat::Tar(Compression::None),
            "tar.gz" => ExportFormat::Tar(Compression::Gzip),
            "tar.zst" => ExportFormat::Tar(Compression::Zstd),
            other => {
                return Err(OperationError::arguments(format!(
                    "format '{other}' is none of tree, tar, tar.gz and tar.zst"
                )));
            }
        };
        let spec = ExportSpec {
            path: self.path.into(),
            format,
            target: ExportTarget::Path(paths.target(&self.output_path)?),
            links: links(paths, &self.links)?,
            exclude: self.exclude,
            bytes_max: OUT_BYTES_MAX,
            follow: false,
        };
        let snapshot = self.snapshot.as_deref().map(given::name).transpose()?;
        let workspace = with.find(&self.workspace_id)?;
        let report = relay(with.progress, |teller| {
            let (workspace, snapshot) = (&workspace, snapshot.as_ref());
            async move {
                workspace.export(spec, snapshot, &mut |bytes| teller.counted("exporting", bytes, None)).await
            }
        });
        Ok(workspace.describe_export(&report.await?))
    }
}
