//! `pyro workspace diff`.

use super::block_on;
use super::failed;
use super::find;
use super::parsed;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use pyro::workspace::BASELINE;
use pyro::workspace::DiffReport;
use pyro::workspace::DiffSpec;
use pyro::workspace::SnapshotName;

/// Show what changed in a workspace since its baseline or another snapshot, as a patch that `git apply` takes.
#[derive(Debug, clap::Args)]
pub struct Diff {
    /// Id or name of the workspace.
    workspace: String,
    /// Paths and globs below /workspace; everything if there are none.
    paths: Vec<String>,
    /// The snapshot to compare with.
    #[arg(long, value_name = "SNAPSHOT", default_value = BASELINE, value_parser = parsed::<SnapshotName>)]
    from: SnapshotName,
    /// The snapshot to compare, rather than the workspace as it is.
    #[arg(long, value_name = "SNAPSHOT", value_parser = parsed::<SnapshotName>)]
    to: Option<SnapshotName>,
    /// Show what changed outside of /workspace: packages, and files such as those in /etc.
    #[arg(long)]
    system: bool,
    /// With --system: the patch too.
    #[arg(long)]
    patch: bool,
    /// Leave out what this glob matches.
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Show counts of lines instead of the patch.
    #[arg(long, conflicts_with = "name_only")]
    stat: bool,
    /// Show names instead of the patch.
    #[arg(long)]
    name_only: bool,
    /// Lines of context.
    #[arg(long, short = 'U', value_name = "LINES", default_value_t = 3)]
    unified: usize,
    /// Do not look for files that moved.
    #[arg(long)]
    no_renames: bool,
    /// Only say that binary files differ.
    #[arg(long)]
    no_binary: bool,
    /// Most bytes of the patch.
    #[arg(long, value_name = "BYTES", default_value_t = 16 << 20)]
    max_bytes: usize,
    /// Most entries.
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    limit: usize,
    /// Skip so many entries: the `next_cursor` of the page before.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    cursor: usize,
    /// With --json: have each entry carry its part of the patch even if that is long.
    #[arg(long)]
    entry_patches: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

impl Diff {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        let workspace = find(engine, &self.workspace, exit::FAILED)?;
        let report = block_on(workspace.diff(self.spec()))?.map_err(|error| failed(&error))?;
        self.show(&report);
        Ok(exit::OK)
    }

    fn spec(&self) -> DiffSpec {
        let names_only = self.stat || self.name_only;
        DiffSpec {
            from: self.from.clone(),
            to: self.to.clone(),
            only: self.paths.clone(),
            exclude: self.exclude.clone(),
            system: self.system,
            patch: !names_only && (self.patch || !self.system),
            context_lines: self.unified,
            renames: !self.no_renames,
            binary: !self.no_binary,
            patch_bytes_max: self.max_bytes,
            limit: self.limit,
            cursor: self.cursor,
        }
    }

    fn show(&self, report: &DiffReport) {
        if self.json {
            return output::json(&report.describe(self.entry_patches));
        }
        if !report.is_changed() {
            return output::line("No workspace changes.");
        }
        let names_only = self.name_only || (self.system && !self.patch && !self.stat);
        if names_only {
            for entry in &report.entries {
                // As git has it, letters for what happened only where a patch would say so otherwise.
                let name = if self.system {
                    format!("{} {}", entry.status, entry.path)
                } else {
                    entry.path.to_string()
                };
                output::line(&name);
            }
        } else if self.stat {
            output::bytes(report.stat.as_bytes());
        }
        for package in report.packages.iter().flatten() {
            let version = |version: &Option<String>| version.clone().unwrap_or_else(|| "-".to_owned());
            let (old, new) = (version(&package.old_version), version(&package.new_version));
            output::line(&format!("package {} {} {old} -> {new}", package.status, package.name));
        }
        if !self.name_only && !self.stat {
            output::line(&summary(report));
        }
        output::bytes(&report.patch);
        if report.truncated {
            output::error_line(
                "[warning] something is missing from the patch: raise --max-bytes, or name paths",
            );
        }
        if let Some(cursor) = report.next_cursor {
            output::error_line(&format!("[warning] there is more: --cursor {cursor}"));
        }
    }
}

fn summary(report: &DiffReport) -> String {
    let totals = &report.totals;
    format!(
        "[workspace-diff] workspace_id={} total={} added={} modified={} deleted={} type_changed={} renamed={} text_patched={} non_text={}",
        report.workspace_id,
        totals.total,
        totals.added,
        totals.modified,
        totals.deleted,
        totals.type_changed,
        totals.renamed,
        totals.text_patched,
        totals.non_text
    )
}
