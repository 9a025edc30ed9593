//! Who asked a workspace for what, and what came of it: in a file that is only added to, and shown by `workspace logs --audit`.

use crate::debian;
use pyro::workspace::Update;
use pyro::workspace::Workspaces;
use pyro_testkit::Library;
use pyro_testkit::Workspace;
use pyro_testkit::library::block_on;
use serde_json::Value;
use std::fs;
use std::io::Write as _;
use std::process::Stdio;

fn lines(work: &Workspace<'_>) -> Vec<Value> {
    let audit = work.call("logs", &["--audit", "--json"]).succeeds().json();
    audit["entries"].as_array().unwrap().clone()
}

/// Operation, outcome and exit code of each line from the `first` on.
fn told(lines: &[Value], first: usize) -> Vec<String> {
    let text = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
    lines[first..]
        .iter()
        .map(|line| format!("{} {} {}", text(line, "operation"), text(line, "outcome"), line["exit_code"]))
        .collect()
}

#[test]
fn every_request_leaves_a_line_that_says_who_asked_and_what_came_of_it() {
    let home = debian();
    let work = home.workspace("debian:12", &[]);
    let made = lines(&work);
    assert_eq!(told(&made, 0), ["create ok null"]);

    work.exec("echo hello").succeeds();
    work.exec("exit 3").ends_with(3);
    work.call("exec", &["--timeout-seconds", "1", "--", "sleep 1000"]).ends_with(124);
    work.call("exec", &["--", "no-such-program", "x"]).ends_with(127);
    let mut fed =
        work.command("exec", &["--", "wc -c"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    fed.stdin.take().unwrap().write_all(&[b'x'; 5000]).unwrap();
    assert!(fed.wait().unwrap().success());
    fs::create_dir(home.home().join("project")).unwrap();
    fs::write(home.home().join("project/large"), vec![7; 300_000]).unwrap();
    work.call("sync push", &["project"]).succeeds();
    work.call("export", &["large", "--output", "copy"]).succeeds();
    work.call("snapshot create", &["one"]).succeeds();
    work.call("snapshot delete", &["one"]).succeeds();
    work.call("snapshot delete", &["one"]).fails_with(1, "snapshot_unknown", "one");
    // Whoever only looks leaves nothing.
    work.status();
    for looks in ["job list", "snapshot list", "diff", "logs"] {
        work.call(looks, &[]).succeeds();
    }
    let ran = lines(&work);
    assert_eq!(
        told(&ran, 1),
        [
            "exec ok 0",
            "exec ok 3",
            "exec ok 124",
            "exec command_not_found null",
            "exec ok 0",
            "sync_push ok null",
            "export ok null",
            "snapshot_create ok null",
            "snapshot_delete ok null",
            "snapshot_delete snapshot_unknown null",
        ]
    );
    let bytes = |at: usize| ["received_bytes", "sent_bytes"].map(|name| ran[at][name].as_u64().unwrap());
    assert_eq!((bytes(1), bytes(5)), ([0, 6], [5000, 5]), "{ran:?}");
    assert!(bytes(6)[0] > 300_000 && bytes(7)[1] > 300_000, "{ran:?}");
    assert!(ran[3]["duration_ms"].as_u64().unwrap() >= 1000, "{}", ran[3]);
    assert_eq!((&ran[2]["detail"], &ran[8]["detail"]), (&"exit 3".into(), &"one".into()));
    assert!(ran.iter().all(|line| line["caller"] == "cli" && line["pid"].is_i64()), "{ran:?}");
    assert!(ran.is_sorted_by_key(|line| line["time"].as_f64().unwrap().to_bits() >> 34), "{ran:?}");

    // In another process, by another surface, and of a workspace without a guest.
    work.call("stop", &[]).succeeds();
    let library = Library::of(&home);
    let all = Workspaces::open(&library.config).unwrap();
    let change = Update { retention_seconds: Some(1000), ..Update::default() };
    block_on(all.find(work.id()).unwrap().update(&change)).unwrap();
    work.call("start", &[]).succeeds();
    let after = lines(&work);
    assert_eq!(after[..ran.len()], ran, "what is written stays");
    assert_eq!(told(&after, ran.len()), ["stop ok null", "update ok null", "start ok null"]);
    let update = &after[ran.len() + 1];
    assert_eq!((&update["caller"], &update["pid"]), (&"rust".into(), &std::process::id().into()));

    // A reset forgets the history, and not who asked for it. People read the same, a line for each.
    work.call("reset", &[]).succeeds();
    let text = work.call("logs", &["--audit", "--last", "2"]).succeeds().stdout();
    let shown: Vec<&str> = text.lines().collect();
    assert!(
        shown.len() == 2
            && shown[0].contains(" operation=start ")
            && shown[1].contains(" operation=reset outcome=ok exit_code=- "),
        "{text}"
    );
    let file = home.state().join("workspaces").join(work.id()).join("audit.jsonl");
    assert_eq!(fs::read_to_string(file).unwrap().lines().count(), after.len() + 1);
}

#[test]
fn what_is_taken_out_of_a_stopped_workspace_leaves_a_line_too() {
    let home = debian();
    let work = home.workspace("debian:12", &["--disk-mib", "1024"]);
    work.sh("echo x > file");
    work.call("snapshot create", &["one"]).succeeds();
    work.call("stop", &[]).succeeds();
    let first = lines(&work).len();
    work.call("export", &["file", "--output", "copy"]).succeeds();
    work.call("export", &["none", "--output", "none"]).ends_with(1);
    work.call("export", &["file", "--snapshot", "one", "--output", "old"]).succeeds();
    work.call("disk export", &["--output", "disk"]).succeeds();
    work.call("pack", &["--output", "pack"]).succeeds();
    let all = lines(&work);
    assert_eq!(
        told(&all, first),
        [
            "export ok null",
            "export path_not_found null",
            "export ok null",
            "disk_export ok null",
            "pack ok null",
        ]
    );
    assert_eq!(
        (&all[first]["detail"], &all[first + 2]["detail"]),
        (&"file".into(), &"file of the snapshot one".into())
    );
}
