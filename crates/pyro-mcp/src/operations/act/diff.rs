//! What changed in a workspace.

use crate::operations::action::Action;
use crate::operations::action::Context;
use crate::operations::action::Outcome;
use crate::operations::given;
use crate::operations::given::default;
use crate::operations::table::Hints;
use crate::operations::table::Operation;
use pyro::workspace::DiffSpec;
use schemars::JsonSchema;
use serde::Deserialize;

pub(super) fn all() -> Vec<Operation> {
    vec![Operation::of::<Diff>()]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Diff {
    /// Workspace, by id or name.
    workspace_id: String,
    /// Paths and globs below /workspace; everything if there are none.
    #[serde(default)]
    paths: Vec<String>,
    /// Snapshot to compare with; "baseline" is how the workspace began.
    #[serde(default = "default::baseline")]
    from: String,
    /// Snapshot to compare, rather than the workspace as it is.
    to: Option<String>,
    /// Show what changed outside of /workspace, such as packages and files in /etc.
    #[serde(default)]
    system: bool,
    /// Whether to give the patch, or only names and counts.
    #[serde(default = "default::yes")]
    patch: bool,
    /// Leave out what one of these globs matches.
    #[serde(default)]
    exclude: Vec<String>,
    /// Lines of context.
    #[serde(default = "default::context_lines")]
    context_lines: usize,
    /// Most bytes of the patch; truncated says when something is missing.
    #[serde(default = "default::patch_bytes")]
    max_bytes: usize,
    /// Most entries; next_cursor then says where to go on.
    #[serde(default = "default::diff_limit")]
    limit: usize,
    /// The next_cursor of the page before.
    #[serde(default)]
    cursor: usize,
}

impl Action for Diff {
    const NAME: &'static str = "workspace_diff";
    const TITLE: &'static str = "Show what changed";
    const DESCRIPTION: &'static str = "Show what changed in a workspace since its baseline or another snapshot: counts, one \
        entry for each path, and a patch that git apply takes. Use it to review your own work before exporting it.";
    const HINTS: Hints = Hints::READS;
    const OUTPUT: &'static [&'static str] = &[
        "workspace_id:str from:str to:str? changed:bool summary:obj entries:list next_cursor:int? patch:str \
         patch_is_exact:bool truncated:bool packages:list?",
    ];

    async fn run(self, with: &Context<'_>) -> Outcome {
        let spec = DiffSpec {
            from: given::name(&self.from)?,
            to: self.to.as_deref().map(given::name).transpose()?,
            only: self.paths,
            exclude: self.exclude,
            system: self.system,
            patch: self.patch,
            context_lines: self.context_lines,
            patch_bytes_max: self.max_bytes,
            limit: self.limit,
            cursor: self.cursor,
            ..DiffSpec::default()
        };
        Ok(with.find(&self.workspace_id)?.diff(spec).await?.describe(false))
    }
}
