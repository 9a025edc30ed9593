//! `pyro ps`.

use crate::commands::workspace::all;
use crate::commands::workspace::block_on;
use crate::commands::workspace::failed;
use crate::commands::workspace::render::text;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use comfy_table::presets::NOTHING;
use serde_json::json;

/// Show what runs, and what it uses: one line for each running workspace, the last used first.
#[derive(Debug, clap::Args)]
pub struct Ps {
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

const COLUMNS: [(&str, &str); 11] = [
    ("WORKSPACE", "workspace_id"),
    ("NAME", "name"),
    ("ENVIRONMENT", "environment"),
    ("ENGINE", "engine"),
    ("ENGINE_PID", "engine_pid"),
    ("SUPERVISOR_PID", "supervisor_pid"),
    ("RSS_KIB", "rss_kib"),
    ("PSS_KIB", "pss_kib"),
    ("CPU_MS", "cpu_ms"),
    ("UPTIME_S", "uptime_seconds"),
    ("JOBS", "running_jobs"),
];

impl Ps {
    pub(crate) fn call(&self, engine: &str) -> Result<i32, Failure> {
        let all = all(engine, exit::FAILED)?;
        let running = block_on(all.running())?.map_err(|error| failed(&error))?;
        if self.json {
            output::json(&json!({ "count": running.len(), "workspaces": running }));
            return Ok(exit::OK);
        }
        let mut table = comfy_table::Table::new();
        table.load_style(NOTHING).set_header(COLUMNS.map(|(heading, _)| heading));
        for workspace in running.iter().filter(|workspace| workspace["error"].is_null()) {
            table.add_row(COLUMNS.map(|(_, field)| text(workspace, field)));
        }
        output::line(&table.trim_fmt());
        for broken in running.iter().filter(|workspace| !workspace["error"].is_null()) {
            let (id, error) = (text(broken, "workspace_id"), text(broken, "error"));
            output::error_line(&format!("[warning] {id}: {error}"));
        }
        Ok(exit::OK)
    }
}
