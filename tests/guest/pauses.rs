//! What runs in a workspace when it is paused goes on when it is resumed, and is found by what it was called before.

use crate::debian;
use crate::services::get;
use crate::services::put_web;
use crate::services::service;
use crate::services::start;
use crate::services::status;
use crate::shells::Shell;
use crate::snapshots::fork;
use pyro_testkit::Outcome;
use pyro_testkit::Workspace;
use serde_json::Value;
use std::io::Read as _;
use std::process::Stdio;

/// Typed bytes that nobody reads before the last pause: more than the guest's side takes, so that some wait on the host.
const TYPED_BYTES: usize = 600_000;

/// Numbers, one after the other, without end.
const COUNTER: &str = "$| = 1; while (1) { print ++$n, qq{\\n}; select(undef, undef, undef, 0.001) }";

fn job(work: &Workspace<'_>, id: &str) -> Value {
    let all = work.call("job list", &["--json"]).succeeds().json();
    let found = all["jobs"].as_array().unwrap().iter().find(|job| job["job_id"].as_u64() == id.parse().ok());
    found.unwrap().clone()
}

/// That a counter's output has every number once, in order; how many.
fn consecutive(text: &str) -> u64 {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let numbers: Vec<u64> = lines.map(|line| line.parse().unwrap()).collect();
    for pair in numbers.windows(2) {
        assert_eq!(pair[1], pair[0] + 1, "something is missing, or there twice");
    }
    *numbers.last().unwrap()
}

#[test]
fn shells_services_and_jobs_come_back_by_their_ids() {
    let home = debian();
    let work = home.workspace("debian:12", &["--persist-secrets"]);
    put_web(&work);
    let flags = ["--publish", "8010", "--ready-tcp", "127.0.0.1:8010", "--ready-timeout-seconds", "120"];
    let web = start(&work, "web", &flags, &["perl", "web.pl", "127.0.0.1", "8010"]);
    let port = web["published_ports"][0]["host_port"].as_u64().unwrap();
    start(&work, "counter", &[], &["perl", "-e", COUNTER]);
    let until_go = "while [ ! -e go ]; do sleep 0.05; done";
    let script = format!("echo one; {until_go}; echo two; echo error >&2; exit 5");
    let detached =
        work.call("exec", &["--detach", "--timeout-seconds", "0", "--", &script]).succeeds().stdout();
    let detached = detached.trim();
    // Its client waits, and has a time limit that lies behind the pauses.
    let script = format!("echo begun; {until_go}; kill -9 $$");
    let mut waiting = work.command("exec", &["--timeout-seconds", "1000", "--", &script]);
    let mut waiting = waiting.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut begun = [0; 6];
    waiting.stdout.as_mut().unwrap().read_exact(&mut begun).unwrap();

    let mut shell = Shell::open(&work, &[]);
    shell.wait_for("pyro\\$ ");
    shell.write("HERE=kept; cd /run; n=0; echo in $PWD");
    shell.wait_for("in /run");
    let before = shell.cursor;
    let exec = |command: &str| {
        let mut shell = Shell::open(&work, &[]);
        shell.wait_for("pyro\\$ ");
        shell.write(command);
        shell
    };
    let mut flood = exec(&format!("exec perl -e '{COUNTER}'"));
    flood.wait_for("(?m)^5\\s");
    let fifth = flood.cursor;
    let mut ended = exec("exec sh -c 'echo b\"\"ye; exit 4'");
    // Whoever waits for what never comes is told at its end.
    ended.read(&["--timeout-seconds", "120", "--wait-for", "never"]);
    let mut reader =
        exec(&format!("stty raw -echo; echo re''ady; {until_go}; head -c {TYPED_BYTES} | wc -c; exec cat"));
    reader.wait_for("ready");
    let typed = home.home().join("typed");
    std::fs::write(&typed, "x".repeat(TYPED_BYTES)).unwrap();
    reader.call("write", &["--input-file", typed.to_str().unwrap()]).succeeds();

    for round in 0..2 {
        work.call("pause", &[]).succeeds();
        assert_eq!(job(&work, detached)["state"], "suspended");
        assert_eq!(status(&work, "web")["state"], "stopped");
        work.call("job wait", &[detached]).fails_with(125, "workspace_not_running", "memory kept");
        assert_eq!(work.call("job logs", &[detached]).succeeds().stdout(), "one\n");
        if round == 0 {
            // A child has the processes, which are nobody's there.
            let child = fork(&work, "child", 1).remove(0);
            let perls = "for one in /proc/[0-9]*; do readlink $one/exe; done | grep -c perl";
            assert_eq!(child.sh(perls), "3");
            assert_eq!(
                child.call("shell list", &["--json"]).succeeds().json()["shells"],
                serde_json::json!([])
            );
            assert_eq!(child.call("service list", &["--json"]).succeeds().json()["count"], 0);
            child.call("delete", &[]).succeeds();
        } else {
            work.call("secret set", &["--secret", "TOKEN=swordfish-9"]).succeeds();
        }
        work.call("resume", &[]).succeeds();
    }
    let told = Outcome::from_output("waiting", waiting.wait_with_output().unwrap());
    told.fails_with(125, "workspace_not_running", "paused");

    // Every one is what it was: the same process, the same port, its output where it left off.
    let again = status(&work, "web");
    assert_eq!(
        (&again["state"], &again["pid"], &again["ready_at"]),
        (&"running".into(), &web["pid"], &web["ready_at"])
    );
    assert_eq!(again["published_ports"], web["published_ports"]);
    assert!(get(port, "hello").ends_with("\r\n\r\nhello\n"));
    let logs = service(&work, "logs", &["web", "--json"]);
    assert_eq!(logs["stdout"], "listening\nasked for hello\n");
    assert_eq!(job(&work, detached)["state"], "running");

    shell.cursor = before;
    shell.write("A=sword; B=fish-9; echo $HERE in $PWD, $A$B");
    let since = shell.wait_for("kept in /run, \\[REDACTED\\]");
    assert!(!since.contains("HERE=kept"), "a cursor means something else: {since}");
    shell.cursor = 0;
    let whole = shell.read(&["--plain"])["output"].as_str().unwrap().to_owned();
    assert_eq!(whole.matches("in /run\n").count(), 1, "{whole}");
    assert!(!whole.contains("swordfish"), "{whole}");
    ended.cursor = 0;
    assert!(ended.read(&[])["output"].as_str().unwrap().ends_with("bye\r\n"));
    let record = ended.record();
    assert_eq!((&record["state"], &record["exit_code"]), (&"stopped".into(), &4.into()));

    work.sh("touch go");
    reader.wait_for(&TYPED_BYTES.to_string());
    reader.write("and what comes then");
    reader.wait_for("and what comes then");
    work.call("job wait", &[detached]).ends_with(5);
    assert_eq!(work.call("job logs", &[detached]).succeeds().stdout(), "one\ntwo\n");
    let cut = (detached.parse::<u64>().unwrap() + 1).to_string();
    assert!(job(&work, &cut)["command"].as_str().unwrap().contains("begun"));
    work.call("job wait", &[&cut]).ends_with(137);
    assert_eq!(work.call("job logs", &[&cut]).succeeds().stdout(), "begun\n");

    // What printed without end is whole.
    let counter = service(&work, "stop", &["counter", "--json"]);
    assert_eq!((&counter["stop_reason"], &counter["signal"]), (&"sigterm".into(), &15.into()));
    let printed = service(&work, "logs", &["counter", "--json", "--all"]);
    assert!(consecutive(printed["stdout"].as_str().unwrap()) > 100);
    flood.call("signal", &["--signal", "INT"]).succeeds();
    flood.call("close", &[]).succeeds();
    let mut printed = String::new();
    flood.cursor = fifth;
    loop {
        let piece = flood.read(&["--max-chars", "1048576"]);
        assert_eq!(piece["dropped_bytes"], 0, "{piece}");
        printed.push_str(piece["output"].as_str().unwrap());
        if piece["remaining_bytes"] == 0 {
            break;
        }
    }
    // An interrupt may cut the last line, and leaves a mark.
    let whole = printed.rfind("\r\n").unwrap();
    let whole = printed[..whole].rfind("\r\n").unwrap();
    assert!(consecutive(&printed[..whole]) > 100);
}
