//! What runs and what happens, for whoever watches: `pyro ps` and `pyro events`.

use crate::debian;
use pyro_testkit::Sandbox;
use serde_json::Value;
use std::io::BufRead as _;
use std::io::BufReader;
use std::process::Stdio;
use std::sync::mpsc;

fn events(home: &Sandbox, flags: &[&str]) -> Vec<Value> {
    let told = home.run([&["events", "--json"], flags].concat()).succeeds().json();
    assert_eq!(told["count"], told["events"].as_array().unwrap().len());
    told["events"].as_array().unwrap().clone()
}

fn shown(event: &Value) -> String {
    let detail = event["detail"].as_str().map(|detail| format!(" {detail}")).unwrap_or_default();
    format!("{}{detail}", event["event"].as_str().unwrap())
}

#[test]
fn all_that_happens_to_a_workspace_is_told_once_and_in_order() {
    let home = debian();
    let work = home.workspace("debian:12", &["--name", "watched", "--ttl-seconds", "0"]);
    let other = home.workspace("debian:12", &["--name", "other"]);
    work.sh("true");
    other.sh("true");
    work.call("snapshot create", &["one"]).succeeds();
    work.call("reset", &["--snapshot", "one"]).succeeds();
    let fork = work.call("fork", &["--no-start", "--id-only"]).succeeds().stdout();
    work.call("snapshot delete", &["one"]).succeeds();
    work.call("stop", &[]).succeeds();
    work.call("start", &[]).succeeds();
    work.call("pause", &[]).succeeds();
    work.call("pack", &["--output", "pack"]).succeeds();
    let unpacked = home.run(["workspace", "unpack", "pack", "--id-only"]).succeeds().stdout();
    work.call("delete", &[]).succeeds();
    let fork = home.adopt(fork.trim());
    let unpacked = home.adopt(unpacked.trim());
    // By its id: its name went with it.
    let own = events(&home, &["--workspace", work.id()]);
    assert!(own.iter().all(|event| event["workspace_id"] == work.id()), "{own:?}");
    let own: Vec<String> = own.iter().map(shown).collect();
    assert_eq!(
        own,
        [
            "workspace_started",
            "workspace_created",
            "command_started 1",
            "command_ended 1",
            "snapshot_created one",
            "workspace_reset one",
            "snapshot_deleted one",
            "workspace_stopping requested",
            "workspace_stopped requested",
            "workspace_started",
            "workspace_stopping requested",
            "workspace_stopped requested",
            "workspace_deleted",
        ]
    );
    assert_eq!(shown(&events(&home, &["--workspace", unpacked.id()])[0]), "workspace_unpacked");
    assert_eq!(
        shown(&events(&home, &["--workspace", fork.id()])[0]),
        format!("workspace_forked {}", work.id())
    );
    assert!(events(&home, &["--workspace", "other"]).iter().all(|event| event["workspace_id"] == other.id()));
    let all = events(&home, &[]);
    assert!(
        all.len() > own.len() + 3
            && all.is_sorted_by_key(|event| event["time"].as_f64().unwrap().to_bits() >> 34)
    );
    let text = home.run(["events", "--workspace", work.id()]).succeeds().stdout();
    let last = text.lines().last().unwrap();
    assert!(
        last.starts_with("[event] time=")
            && last.ends_with(&format!(" event=workspace_deleted workspace_id={}", work.id())),
        "{text}"
    );
}

#[test]
fn a_follower_is_told_of_what_comes_and_of_its_workspace_alone() {
    let home = debian();
    let work = home.workspace("debian:12", &["--name", "watched"]);
    let other = home.workspace("debian:12", &[]);
    let mut follower =
        home.pyro(["events", "--follow", "--workspace", "watched"]).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let (sender, told) = mpsc::channel();
    std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
    // Nothing says that it follows by now but what it tells.
    let mut first = told.try_recv();
    while first.is_err() {
        work.sh("true");
        other.sh("true");
        first = told.try_recv();
    }
    let first = first.unwrap();
    assert!(first.contains(" event=command_"), "what was before is not told: {first}");
    other.call("snapshot create", &["other"]).succeeds();
    work.call("snapshot create", &["own"]).succeeds();
    let line = told.iter().find(|line| line.contains("snapshot_created")).unwrap();
    assert!(line.ends_with(&format!("workspace_id={} detail=own", work.id())), "{line}");
    let pid = rustix::process::Pid::from_raw(i32::try_from(follower.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(follower.wait().unwrap().code(), Some(0));
}

#[test]
fn what_runs_is_listed_with_what_it_uses() {
    let home = debian();
    let none = home.run(["ps"]).succeeds().stdout();
    assert_eq!(none.lines().count(), 1, "{none}");
    let work = home.workspace("debian:12", &["--name", "busy"]);
    let stopped = home.workspace("debian:12", &["--name", "idle"]);
    stopped.call("stop", &["--timeout-seconds", "0"]).succeeds();
    work.call("exec", &["--detach", "--timeout-seconds", "0", "--", "sleep 1000"]).succeeds();
    let table = home.run(["ps"]).succeeds().stdout();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    let heading =
        "WORKSPACE NAME ENVIRONMENT ENGINE ENGINE_PID SUPERVISOR_PID RSS_KIB PSS_KIB CPU_MS UPTIME_S JOBS";
    assert_eq!((rows.len(), rows[0].join(" ").as_str()), (2, heading), "{table}");
    let (engine, supervisor) = (work.pid("engine_pid").to_string(), work.pid("supervisor_pid").to_string());
    assert_eq!(rows[1][..3], [work.id(), "busy", "debian:12"]);
    assert_eq!(rows[1][3..6], ["qemu", &engine, &supervisor]);
    let number = |column: usize| rows[1][column].parse::<f64>().unwrap();
    assert!(
        number(6) > 10_000.0 && number(7) <= number(6) && number(8) > 0.0 && number(9) < 600.0,
        "{table}"
    );
    assert_eq!(rows[1][10], "1", "{table}");
}
