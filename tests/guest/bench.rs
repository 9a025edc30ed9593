//! What `pyro bench` prints, and that it leaves nothing. Its figures are nobody's business here.

use crate::debian;
use pyro_testkit::Outcome;
use pyro_testkit::processes;
use rustix::process::Signal;
use rustix::process::kill_process;
use std::io::BufRead as _;
use std::io::BufReader;
use std::process::Stdio;

fn names(report: &serde_json::Value) -> Vec<&str> {
    report["rows"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect()
}

#[test]
fn every_figure_has_a_method_and_nothing_is_left() {
    let home = debian();
    let args = ["bench", "debian:12", "--runs", "1", "--only", "floor,start,exec,idle", "--idle-guests", "2"];
    let report = home.run(args.iter().chain(&["--json"])).succeeds().json();
    assert_eq!(report["schema"], 1);
    assert_eq!(report["first_command"], "git --version");
    let names = names(&report);
    for name in
        ["floor_restore", "start_hello", "start_first_exec", "exec_warm_git", "idle_pss", "idle_answer"]
    {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    assert!(!names.iter().any(|name| name.starts_with("boot") || name.starts_with("fork")), "{names:?}");
    for row in report["rows"].as_array().unwrap() {
        let figure = |name: &str| row[name].as_f64().unwrap();
        assert!(figure("min") <= figure("p50") && figure("p50") <= figure("p90"), "{row}");
        assert!(row["n"].as_u64().unwrap() > 0 && !row["method"].as_str().unwrap().is_empty(), "{row}");
    }
    let idle = |row: &&serde_json::Value| row["group"] == "idle";
    assert!(report["rows"].as_array().unwrap().iter().filter(idle).all(|row| row["n"] == 2));
    home.assert_nothing_left();
}

#[test]
fn forks_and_snapshots_are_measured_in_a_table() {
    let home = debian();
    let args = ["bench", "--runs", "1", "--only", "snapshot,fork", "--forks", "1"];
    let table = home.run(args).succeeds().stdout();
    for name in ["snapshot_pause", "snapshot_restore", "fork_1_total", "fork_1_pss"] {
        let lines = table.lines().filter(|line| line.trim_start().starts_with(name)).count();
        assert_eq!(lines, 2, "{name} has no figures or no method: {table}");
    }
    assert!(!table.contains("fork_10"), "{table}");
    home.assert_nothing_left();
}

#[test]
fn an_interrupt_ends_what_is_measured() {
    let home = debian();
    let mut child = home
        .pyro(["bench", "--runs", "1000", "--only", "start"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let begun = lines.find(|line| line.as_ref().unwrap().contains("round 2"));
    assert!(begun.is_some(), "it never came to the second round");
    kill_process(rustix::process::Pid::from_child(&child), Signal::INT).unwrap();
    let said: Vec<String> = lines.map(Result::unwrap).collect();
    let run = Outcome::from_output("an interrupted bench", child.wait_with_output().unwrap()).ends_with(130);
    assert!(said.iter().any(|line| line.ends_with("(interrupted)")), "{said:?} {run:?}");
    processes::wait_until_none_uses(home.home());
    home.assert_nothing_left();
}

#[test]
fn what_cannot_be_measured_is_named() {
    let home = debian();
    home.run(["bench", "no-such-environment"]).fails_with(1, "environment_unknown", "no-such-environment");
    let wrong = home.run(["bench", "--only", "sleep"]).ends_with(2);
    assert!(wrong.stderr().contains("sleep") && wrong.stderr().contains("snapshot"), "{wrong:?}");
}
