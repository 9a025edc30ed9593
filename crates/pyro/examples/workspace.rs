//! A guest that stays: a file in, a command that changes it, the difference, a snapshot to go back to.
//!
//! `cargo run -p pyro --example workspace`
#![expect(clippy::print_stdout, reason = "an example shows what it got")]

mod support;

use pyro::Command;
use pyro::run::RunIo;
use pyro::run::Silent;
use pyro::workspace::CreateSpec;
use pyro::workspace::DiffSpec;
use pyro::workspace::ExecSpec;
use pyro::workspace::SnapshotName;
use pyro::workspace::Workspace;
use pyro::workspace::Workspaces;
use pyro::workspace::files::GuestPath;
use pyro::workspace::files::WriteOptions;
use std::error::Error;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let all = Workspaces::open(&support::config())?;
    let workspace = all.create(CreateSpec::new("debian:12"), &mut Silent).await?;
    let done = use_it(&workspace).await;
    // It would stay otherwise, until somebody deletes it.
    workspace.delete().await?;
    done
}

async fn use_it(workspace: &Workspace) -> Result<(), Box<dyn Error>> {
    let path: GuestPath = "message.txt".parse()?;
    workspace.write_file(&path, &mut &b"broken\n"[..], &WriteOptions::default()).await?;
    let before: SnapshotName = "before".parse()?;
    workspace.snapshot(before.clone(), false).await?;

    shell(workspace, "sed -i s/broken/fixed/ message.txt && cat message.txt").await?;
    let diff = workspace.diff(DiffSpec { from: before.clone(), ..DiffSpec::default() }).await?;
    print!("{}", String::from_utf8_lossy(&diff.patch));

    workspace.reset(&before).await?;
    shell(workspace, "cat message.txt").await
}

/// Runs a line of shell with its output on this program's own.
async fn shell(workspace: &Workspace, line: &str) -> Result<(), Box<dyn Error>> {
    let io = RunIo::to(tokio::io::stdout(), tokio::io::stderr());
    let report = workspace.exec(ExecSpec::new(Command::Shell(line.into())), io).await?;
    if report.ended.exit_code == 0 {
        return Ok(());
    }
    Err(format!("{line} ended with {}", report.ended.exit_code).into())
}
