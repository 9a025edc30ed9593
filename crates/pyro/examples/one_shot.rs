//! One command in a guest of its own: its output as it comes, its exit code, and nothing left.
//!
//! `cargo run -p pyro --example one_shot`

mod support;

use pyro::Command;
use pyro::run::RunIo;
use pyro::run::RunSpec;
use pyro::run::Silent;
use std::error::Error;
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let spec = RunSpec::new("debian:12", Command::Shell("git --version; exit 3".into()));
    let io = RunIo::to(tokio::io::stdout(), tokio::io::stderr());
    let report = pyro::run::run(&support::config(), spec, io, &mut Silent).await?;
    Ok(ExitCode::from(u8::try_from(report.exit_code())?))
}
