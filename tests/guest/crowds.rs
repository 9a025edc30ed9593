//! Very many at once in one small workspace: shells, services and connections, and what host and guest take for them.

use crate::debian;
use crate::ports::Server;
use crate::ports::connect;
use crate::ports::echoes;
use crate::ports::publish;
use crate::ports::resident_kib;
use pyro_testkit::Outcome;
use pyro_testkit::Sandbox;
use pyro_testkit::Workspace;
use std::io::BufRead as _;
use std::io::BufReader;
use std::net::TcpStream;
use std::process::Command;
use std::process::Stdio;

const SHELLS: usize = 100;
const SERVICES: usize = 50;
const CONNECTIONS: usize = 200;

/// So many callers at once.
const CALLERS: usize = 4;

/// Does something for each number, a few at a time; what came of them, in order.
fn each<T: Send>(count: usize, what: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let numbers: Vec<usize> = (0..count).collect();
    std::thread::scope(|scope| {
        let parts = numbers.chunks(count.div_ceil(CALLERS));
        let callers: Vec<_> = parts
            .map(|part| scope.spawn(|| part.iter().map(|number| what(*number)).collect::<Vec<T>>()))
            .collect();
        callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect()
    })
}

/// Finds the agent: the child of PID 1 that runs the same program.
const AGENT: &str = "for agent in $(cat /proc/1/task/1/children); do
    if [ \"$(readlink /proc/$agent/exe)\" = \"$(readlink /proc/1/exe)\" ]; then break; fi; done";

/// The most that the agent ever had in memory.
fn agent_kib(work: &Workspace<'_>) -> u64 {
    resident_kib(&work.sh(&format!("{AGENT}; cat /proc/$agent/status")))
}

/// The first that a service says, as soon as it does.
fn first_line(work: &Workspace<'_>, service: &str) -> String {
    let mut child =
        work.command("service logs", &[service, "--follow"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    line
}

fn supervisor_kib(work: &Workspace<'_>) -> u64 {
    let path = format!("/proc/{}/status", work.pid("supervisor_pid"));
    resident_kib(&std::fs::read_to_string(path).unwrap())
}

/// A workspace of 1 GiB, made by a caller who may have few files open.
fn made_with_few_files(home: &Sandbox) -> Workspace<'_> {
    let create = home.pyro(["workspace", "create", "debian:12", "--mem-mib", "1024", "--id-only"]);
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "ulimit -Sn 128 && exec \"$@\"", "sh"])
        .arg(create.get_program())
        .args(create.get_args());
    limited.envs(create.get_envs().filter_map(|(name, value)| Some((name, value?))));
    home.adopt(Outcome::of(&mut limited).succeeds().stdout().trim())
}

#[test]
fn shells_services_and_connections_by_the_hundred_all_answer() {
    let home = debian();
    let work = made_with_few_files(&home);
    let _server = Server::start(&work, "echo 127.0.0.1 7003");
    let at = publish(&work, "7003");
    let shells = each(SHELLS, |_| {
        let id = work.call("shell open", &["--id-only"]).succeeds().stdout();
        id.trim().to_owned()
    });
    each(SERVICES, |number| {
        let (name, script) =
            (format!("s{number}"), format!("echo service-$(({number} * 2)); exec sleep 1000"));
        work.call("service start", &[&name, "--no-wait", "--", &script]).succeeds();
    });
    let mut clients: Vec<TcpStream> = (0..CONNECTIONS).map(|_| connect(at)).collect();
    clients.iter_mut().enumerate().for_each(|(number, client)| echoes(client, &number.to_le_bytes()));

    each(SHELLS, |number| {
        let (shell, line) = (&shells[number], format!("echo shell-$(({number} * 3))"));
        work.call("shell write", &[shell, "--input", &line]).succeeds();
        let told = format!("shell-{}\\s", number * 3);
        let flags = [shell.as_str(), "--json", "--timeout-seconds", "120", "--wait-for", &told];
        assert_eq!(work.call("shell read", &flags).succeeds().json()["matched"], true, "shell {number}");
    });
    each(SERVICES, |number| {
        assert_eq!(first_line(&work, &format!("s{number}")), format!("service-{}\n", number * 2));
    });
    let services = work.call("service list", &["--json"]).succeeds().json();
    assert_eq!(services["running_count"], SERVICES, "{services}");

    let (agent, supervisor) = (agent_kib(&work), supervisor_kib(&work));
    assert!(agent < 32 << 10, "the agent took {agent} KiB");
    assert!(supervisor < 64 << 10, "the supervisor took {supervisor} KiB");
    // Still there, every one.
    clients.iter_mut().for_each(|client| echoes(client, b"still"));
}

#[test]
fn the_agent_is_heard_before_commands_and_they_are_ordinary() {
    let home = debian();
    let work = home.workspace("debian:12", &[]);
    // The scheduling policy, and the priority of real time: round robin, and the usual one.
    let policies = format!("{AGENT}; for it in $agent self; do cut -d ' ' -f 40,41 /proc/$it/stat; done");
    assert_eq!(work.sh(&policies), "1 2\n0 0");
}
