//! Two children of a running guest: each goes on with its parent's processes and files, and none sees what another does.
//!
//! `cargo run -p pyro --example forks`
#![expect(clippy::print_stdout, reason = "an example shows what it got")]

mod support;

use pyro::Command;
use pyro::run::RunIo;
use pyro::run::Silent;
use pyro::workspace::CreateSpec;
use pyro::workspace::ExecSpec;
use pyro::workspace::Workspace;
use pyro::workspace::Workspaces;
use std::error::Error;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let all = Workspaces::open(&support::config())?;
    let parent = all.create(CreateSpec::new("debian:12"), &mut Silent).await?;
    let mut children = Vec::new();
    let done = branch(&parent, &mut children).await;
    // Children live on without their parent.
    for workspace in children.iter().chain([&parent]) {
        workspace.delete().await?;
    }
    done
}

async fn branch(parent: &Workspace, children: &mut Vec<Workspace>) -> Result<(), Box<dyn Error>> {
    shell(parent, "echo begun > state; sleep 1000 >/dev/null 2>&1 & echo $! > /run/work").await?;
    *children = parent.fork(vec![None, None]).await?;
    Workspace::start_all(children, &mut |_| {}).await?;
    for (number, child) in children.iter().enumerate() {
        println!("child {number}");
        // The process that the parent started runs here, too.
        shell(
            child,
            &format!(
                "kill -0 $(cat /run/work) && echo its work goes on; echo tried {number} >> state; cat state"
            ),
        )
        .await?;
    }
    println!("parent");
    shell(parent, "cat state").await
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
