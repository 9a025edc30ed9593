//! A command whose lines are handled while it runs, and which gets an answer on its standard input.
//!
//! `cargo run -p pyro --example streaming`
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
use tokio::io::AsyncBufReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::io::BufReader;

/// Bytes that wait on the way before the command does.
const ON_THE_WAY: usize = 64 * 1024;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let all = Workspaces::open(&support::config())?;
    let workspace = all.create(CreateSpec::new("debian:12"), &mut Silent).await?;
    let done = converse(&workspace).await;
    workspace.delete().await?;
    done
}

/// The command waits for an answer that depends on what it said: neither could be known beforehand.
async fn converse(workspace: &Workspace) -> Result<(), Box<dyn Error>> {
    let (output, stdout) = tokio::io::duplex(ON_THE_WAY);
    let (mut input, stdin) = tokio::io::duplex(ON_THE_WAY);
    let script = "echo question $((6 * 7)); read -r answer; echo heard $answer";
    let mut spec = ExecSpec::new(Command::Shell(script.into()));
    spec.stdin = true;
    let mut io = RunIo::to(stdout, tokio::io::stderr());
    io.stdin = Box::new(stdin);

    let answers = async {
        let mut lines = BufReader::new(output).lines();
        while let Some(line) = lines.next_line().await? {
            println!("guest: {line}");
            if let Some(question) = line.strip_prefix("question ") {
                input.write_all(format!("answer-to-{question}\n").as_bytes()).await?;
            }
        }
        Ok::<_, Box<dyn Error>>(())
    };
    let runs = async { workspace.exec(spec, io).await.map_err(Box::<dyn Error>::from) };
    let (report, ()) = tokio::try_join!(runs, answers)?;
    println!("exit code {}", report.ended.exit_code);
    Ok(())
}
