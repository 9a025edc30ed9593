//! Looking into disks of stopped workspaces, and into snapshots.

use crate::operations::action::Action;
use crate::operations::action::Context;
use crate::operations::action::Outcome;
use crate::operations::given;
use crate::operations::given::default;
use crate::operations::relay::relay;
use crate::operations::table::Hints;
use crate::operations::table::Operation;
use pyro::workspace::DiskExportSpec;
use pyro::workspace::ReadSpec;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

/// Most bytes of one read.
const READ_BYTES_MAX: u64 = 4 << 20;

pub(super) fn all() -> Vec<Operation> {
    vec![Operation::of::<List>(), Operation::of::<Read>(), Operation::of::<Export>()]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct List {
    /// Workspace, by id or name.
    workspace_id: String,
    /// Folder; relative paths are below /workspace.
    #[serde(default = "default::workspace")]
    path: String,
    /// Everything below it too.
    #[serde(default)]
    recursive: bool,
    /// Look into this snapshot.
    snapshot: Option<String>,
    /// Entries after which the page ends; next_cursor then says where to go on.
    #[serde(default = "default::list_limit")]
    limit: usize,
    /// The next_cursor of the page before.
    #[serde(default)]
    cursor: usize,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Read {
    /// Workspace, by id or name.
    workspace_id: String,
    /// File; relative paths are below /workspace.
    path: String,
    /// Most bytes, up to 4 MiB.
    #[serde(default = "default::max_bytes")]
    max_bytes: u64,
    /// First byte.
    #[serde(default)]
    offset: u64,
    /// Read from this snapshot.
    snapshot: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Export {
    /// Workspace, by id or name.
    workspace_id: String,
    /// Path of the host at which there is nothing yet.
    output_path: String,
    /// Compress it with zstd.
    #[serde(default)]
    zstd: bool,
    /// Export this snapshot.
    snapshot: Option<String>,
}

impl Action for List {
    const NAME: &'static str = "workspace_disk_list";
    const TITLE: &'static str = "List a stopped disk";
    const DESCRIPTION: &'static str = "List a folder of a stopped workspace's disk, or of a snapshot, without starting \
        anything. Of a running workspace use workspace_file_list.";
    const HINTS: Hints = Hints::READS;
    const OUTPUT: &'static [&'static str] =
        &["workspace_id:str path:str recursive:bool entries:list truncated:bool next_cursor:int?"];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let snapshot = self.snapshot.as_deref().map(given::name).transpose()?;
        let workspace = with.find(&self.workspace_id)?;
        let mut list = workspace.disk_list(self.path.as_bytes(), self.recursive, snapshot.as_ref()).await?;
        let end = self.cursor.saturating_add(self.limit).min(list.entries.len());
        let next = (end < list.entries.len()).then_some(end);
        list.entries.truncate(end);
        list.entries.drain(..self.cursor.min(end));
        list.truncated |= next.is_some();
        let mut document = workspace.describe_disk_list(&list);
        document["next_cursor"] = json!(next);
        Ok(document)
    }
}

impl Action for Read {
    const NAME: &'static str = "workspace_disk_read";
    const TITLE: &'static str = "Read from a stopped disk";
    const DESCRIPTION: &'static str = "Read a file, or a part of it, of a stopped workspace's disk, or of a snapshot. When it \
        is truncated, read on with offset.";
    const HINTS: Hints = Hints::READS;
    const OUTPUT: &'static [&'static str] = &[
        "workspace_id:str path:str size_bytes:int max_bytes:int offset:int content:str content_base64:str? truncated:bool",
    ];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let snapshot = self.snapshot.as_deref().map(given::name).transpose()?;
        let workspace = with.find(&self.workspace_id)?;
        let spec = ReadSpec { offset: self.offset, max_bytes: self.max_bytes.min(READ_BYTES_MAX) };
        let read = workspace.disk_read(self.path.as_bytes(), spec, snapshot.as_ref()).await?;
        Ok(workspace.describe_disk_read(&read))
    }
}

impl Action for Export {
    const NAME: &'static str = "workspace_disk_export";
    const TITLE: &'static str = "Export a whole disk";
    const DESCRIPTION: &'static str = "Write the whole disk of a stopped workspace, or of a snapshot, environment included, to \
        one raw ext4 image on the host. For files, workspace_export is what you want.";
    const HINTS: Hints = Hints::ADDS;
    const OUTPUT: &'static [&'static str] = &[
        "workspace_id:str output_path:str disk_format:str compression:str? size_bytes:int bytes_written:int entry_count:int",
    ];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let snapshot = self.snapshot.as_deref().map(given::name).transpose()?;
        let output = with.operations.rules().host_paths.target(&self.output_path)?;
        let workspace = with.find(&self.workspace_id)?;
        let spec = DiskExportSpec { output, zstd: self.zstd, snapshot };
        let done = relay(with.progress, |teller| {
            let workspace = &workspace;
            async move { workspace.disk_export(spec, teller.advance("exporting the disk")).await }
        });
        Ok(done.await?.describe())
    }
}
