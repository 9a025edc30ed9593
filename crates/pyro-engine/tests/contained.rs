//! Engine processes seen from outside the process that started them, and the host engine. This binary plays three parts, so it
//! has a `main` of its own: the tests, an agent (`--host-compat FOLDER`), and a parent that is killed (`--parent FOLDER`).
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the other parts tell the test what they see")]

mod support;

use libtest_mimic::Arguments;
use libtest_mimic::Failed;
use libtest_mimic::Trial;
use pyro_engine::Engine as _;
use pyro_engine::EngineError;
use pyro_engine::EngineExit;
use pyro_engine::HostEngine;
use pyro_engine::Memory;
use std::fs::File;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::process::ExitCode;
use std::process::Stdio;
use std::sync::Arc;
use support::counting_guest;
use support::follow;
use support::qemu;
use support::wait_for_end;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    match args.get(1).map(String::as_str) {
        Some("--host-compat") => play_agent(&args[2]),
        Some("--parent") => runtime().block_on(play_parent(Path::new(&args[2]))),
        _ => {
            let trials = vec![
                Trial::test("a_killed_parent_takes_its_guest_along", || runtime().block_on(killed_parent())),
                Trial::test("an_agent_gets_its_channel_and_nothing_else", || {
                    runtime().block_on(host_agent())
                }),
                Trial::test("the_host_engine_says_what_it_cannot_do", || runtime().block_on(host_refusals())),
            ];
            libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Tells over the channel what an agent can see of the host, then answers one line and ends.
fn play_agent(folder: &str) -> ExitCode {
    let mut fds: Vec<u32> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .map(|entry| entry.unwrap())
        // The listing itself is an open folder, and not what was inherited.
        .filter(|entry| std::fs::read_link(entry.path()).is_ok_and(|target| !target.starts_with("/proc")))
        .map(|entry| entry.file_name().to_str().unwrap().parse().unwrap())
        .collect();
    fds.sort_unstable();
    let mut names: Vec<String> = std::env::vars().map(|(name, _)| name).collect();
    names.sort_unstable();
    let here = std::env::current_dir().unwrap() == Path::new(folder);
    let mut channel = File::options().read(true).write(true).open("/proc/self/fd/3");
    // A socket cannot be opened by name; that it is one is half of what the test wants to know.
    let is_socket = channel.as_mut().is_err_and(|error| error.raw_os_error() == Some(6));
    eprintln!("agent: fds {fds:?} env {names:?} here {here} socket {is_socket}");
    ExitCode::from(7)
}

async fn host_agent() -> Result<(), Failed> {
    let folder = tempfile::tempdir().unwrap();
    let mut spec = counting_guest(folder.path(), Memory::Anonymous);
    spec.agent = Some(Arc::new(File::open("/proc/self/exe").unwrap()));
    let mut guest = HostEngine.start(spec).await.unwrap();
    let mut channel = guest.take_channel().unwrap();
    let mut nothing = Vec::new();
    let _ = channel.write_all(b"hello").await;
    // The agent ends without reading, which may be told as an error or as the end.
    let _ = channel.read_to_end(&mut nothing).await;
    assert_eq!(guest.wait().await, EngineExit { code: Some(7), signal: None });
    let said = String::from_utf8(guest.console_tail()).unwrap();
    assert!(said.contains(r#"fds [0, 1, 2, 3] env ["HOME", "PATH"] here true socket true"#), "{said}");
    Ok(())
}

async fn host_refusals() -> Result<(), Failed> {
    let folder = tempfile::tempdir().unwrap();
    let mut spec = counting_guest(folder.path(), Memory::Anonymous);
    assert!(matches!(HostEngine.start(spec.clone()).await, Err(EngineError::Spawn { .. })));
    spec.agent = Some(Arc::new(File::open("/bin/sleep").unwrap()));
    let mut guest = HostEngine.start(spec).await.unwrap();
    assert!(matches!(guest.pause().await, Err(EngineError::Unsupported { engine: "host", .. })));
    assert_eq!(guest.wait().await.code, Some(1));
    assert!(String::from_utf8(guest.console_tail()).unwrap().contains("--host-compat"));
    Ok(())
}

/// Starts a guest, tells its process number, and waits to be killed.
async fn play_parent(folder: &Path) -> ExitCode {
    let mut guest = qemu().start(counting_guest(folder, Memory::Anonymous)).await.unwrap();
    println!("{}", guest.pid());
    std::io::stdout().flush().unwrap();
    guest.wait().await;
    ExitCode::SUCCESS
}

async fn killed_parent() -> Result<(), Failed> {
    let folder = tempfile::tempdir().unwrap();
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .arg("--parent")
        .arg(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(parent.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let guest = follow(line.trim().parse().unwrap());
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait_for_end(&guest);
    Ok(())
}
