//! `pyro workspace sync`: bringing folders of the guest and of the host up to date with each other.

use super::block_on;
use super::export::OutwardLinks;
use super::failed;
use super::find;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use crate::progress::Transfer;
use crate::signals;
use clap::Subcommand;
use pyro::tree::Warnings;
use pyro::workspace::PullSpec;
use pyro::workspace::PushReport;
use pyro::workspace::PushSpec;
use pyro::workspace::Workspace;
use pyro::workspace::WorkspaceError;
use std::ffi::OsString;
use std::path::PathBuf;

/// Most bytes that a pull takes from a guest unless it is told otherwise, in MiB.
const PULL_MIB_MAX: u64 = 64 * 1024;

/// Bring folders of the guest and of the host up to date with each other.
#[derive(Debug, Subcommand)]
pub enum Sync {
    /// Bring a folder of the guest up to date with one of the host: only what differs goes over, and a push that fails has
    /// changed nothing.
    Push(Push),
    /// Bring a folder of the host up to date with one of the guest.
    Pull(Pull),
}

/// Bring a folder of the guest up to date with one of the host.
///
/// SOURCE is a folder, or a tar archive (.tar, .tar.gz, .tar.zst). What differs is found by content; modes, times, links and
/// empty folders go over too. Sockets, FIFOs and devices are left out with a warning.
#[derive(Debug, clap::Args)]
pub struct Push {
    /// Workspace, by id or name.
    workspace: String,

    /// Folder or tar archive of this host.
    source: PathBuf,

    /// Folder in the guest; relative ones are below /workspace.
    #[arg(long, value_name = "DIR", default_value = "/workspace")]
    dest: OsString,

    /// Delete what is only in the guest, unless it is excluded: the folder becomes a mirror of the source.
    #[arg(long)]
    delete: bool,

    /// Leave out what matches this glob; may be given several times.
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,

    /// Send what .gitignore and .pyroignore would leave out too.
    #[arg(long)]
    no_ignore: bool,

    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,

    /// Push again after each change until interrupted.
    #[arg(long, conflicts_with = "dry_run")]
    watch: bool,

    /// Print JSON; with --watch one line for each push.
    #[arg(long)]
    json: bool,
}

/// Bring a folder of the host up to date with one of the guest.
///
/// A file whose size and time are the same on both sides is taken to be the same. What comes from the guest is checked: no
/// link that leads out of the folder, no device, no set-user-id bit.
#[derive(Debug, clap::Args)]
pub struct Pull {
    /// Workspace, by id or name.
    workspace: String,

    /// Folder in the guest; relative ones are below /workspace.
    source: OsString,

    /// Folder of this host; made if it is not there.
    target: PathBuf,

    /// Delete what is only on this host, unless it is excluded.
    #[arg(long)]
    delete: bool,

    /// Leave alone what matches this glob; may be given several times.
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,

    /// Touch what the host's .gitignore and .pyroignore would leave alone too.
    #[arg(long)]
    no_ignore: bool,

    /// What to do with links that lead out of the folder.
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = OutwardLinks::Refuse)]
    links: OutwardLinks,

    /// Most MiB to take.
    #[arg(long, value_name = "MIB", default_value_t = PULL_MIB_MAX)]
    max_mib: u64,

    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Sync {
    pub(crate) fn call(self, engine: &str) -> Result<i32, Failure> {
        match self {
            Self::Push(command) => command.call(engine),
            Self::Pull(command) => command.call(engine),
        }
    }
}

impl Push {
    fn call(self, engine: &str) -> Result<i32, Failure> {
        let workspace = find(engine, &self.workspace, exit::FAILED)?;
        let spec = PushSpec {
            source: self.source.into(),
            destination: self.dest,
            mirror: self.delete,
            exclude: self.exclude,
            ignore_files: !self.no_ignore,
            keep_kinds: false,
            dry_run: self.dry_run,
        };
        let (json, dry_run) = (self.json, self.dry_run);
        if self.watch {
            let mut show = |pushed: Result<PushReport, &WorkspaceError>| match pushed {
                Ok(report) if json => output::json_line(&workspace.describe_push(&report, false)),
                Ok(report) => show_push(&workspace, &report, false),
                Err(error) if json => output::json_line(&failed(error).document()),
                Err(error) => drop(failed(error).report(false)),
            };
            block_on(async {
                let mut stop = signals::listen();
                workspace.push_watch(&spec, &mut stop, &mut show).await
            })?
            .map_err(|error| failed(&error))?;
            return Ok(exit::OK);
        }
        let bar = Transfer::new("pushing", json);
        let report = block_on(workspace.push(&spec, &mut |bytes| bar.moved(bytes)))?;
        drop(bar);
        let report = report.map_err(|error| failed(&error))?;
        if json {
            output::json(&workspace.describe_push(&report, dry_run));
        } else {
            show_push(&workspace, &report, dry_run);
        }
        Ok(exit::OK)
    }
}

fn show_push(workspace: &Workspace, report: &PushReport, dry_run: bool) {
    warn(&report.warnings);
    if dry_run {
        report.deleted.iter().for_each(|path| output::line(&format!("delete {path}")));
        report.sent.iter().for_each(|path| output::line(&format!("send {path}")));
    }
    output::line(&format!(
        "[workspace-sync] workspace_id={} mode={} source={} destination={} entry_count={} bytes_written={} deleted={} \
         unchanged={}{} execution_mode=guest_vsock",
        workspace.id(),
        report.mode,
        report.source.display(),
        report.destination,
        report.entry_count,
        report.bytes_written,
        report.deleted.len(),
        report.unchanged,
        if dry_run { " dry_run=true" } else { "" },
    ));
}

fn warn(warnings: &Warnings) {
    for warning in warnings.list() {
        output::error_line(&format!("[warning] {warning}"));
    }
    let unlisted = warnings.count() - warnings.list().len() as u64;
    if unlisted > 0 {
        output::error_line(&format!("[warning] and {unlisted} more"));
    }
}

impl Pull {
    fn call(self, engine: &str) -> Result<i32, Failure> {
        let workspace = find(engine, &self.workspace, exit::FAILED)?;
        let spec = PullSpec {
            source: self.source,
            target: self.target.into(),
            mirror: self.delete,
            exclude: self.exclude,
            ignore_files: !self.no_ignore,
            links: self.links.into(),
            bytes_max: self.max_mib.saturating_mul(1 << 20),
            keep_kinds: false,
            dry_run: self.dry_run,
        };
        let bar = Transfer::new("pulling", self.json);
        let report = block_on(workspace.pull(&spec, &mut |bytes| bar.moved(bytes)))?;
        drop(bar);
        let report = report.map_err(|error| failed(&error))?;
        if self.json {
            output::json(&workspace.describe_pull(&report, self.dry_run));
            return Ok(exit::OK);
        }
        warn(&report.warnings);
        if self.dry_run {
            report.deleted.iter().for_each(|path| output::line(&format!("delete {path}")));
            report.received.iter().for_each(|path| output::line(&format!("receive {path}")));
        }
        output::line(&format!(
            "[workspace-pull] workspace_id={} source={} target={} entry_count={} bytes_written={} deleted={} unchanged={}{}",
            workspace.id(),
            report.source,
            report.target.display(),
            report.received.len(),
            report.bytes_written,
            report.deleted.len(),
            report.unchanged,
            if self.dry_run { " dry_run=true" } else { "" },
        ));
        Ok(exit::OK)
    }
}
