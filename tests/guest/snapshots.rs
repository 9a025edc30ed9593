//! Keeping a workspace as it is, going back, pausing, and making several of one.

use crate::debian;
use pyro_testkit::Sandbox;
use pyro_testkit::Workspace;
use pyro_testkit::sandbox::files_below;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

/// A process that counts, for ever, in memory alone.
const COUNTER: &str = "setsid sh -c 'echo $$ > /run/counter; n=0; while :; do n=$((n+1)); echo $n > /run/count; sleep 0.3; done' >/dev/null 2>&1 </dev/null &";

/// What the counter has come to; waits until it has counted on.
const COUNTS: &str = "a=$(cat /run/count); b=$a; while [ \"$a\" = \"$b\" ]; do sleep 0.1; b=$(cat /run/count); done; cat /proc/[0-9]*/cmdline | grep -ac 'n=[$]' ; echo $b";

fn folder(home: &Sandbox, work: &Workspace<'_>) -> PathBuf {
    home.state().join("workspaces").join(work.id())
}

fn count(work: &Workspace<'_>) -> u64 {
    let text = work.sh(COUNTS);
    assert!(text.starts_with("1\n"), "nothing counts: {text}");
    text.lines().last().unwrap().parse().unwrap()
}

#[test]
fn a_reset_brings_back_the_whole_disk() {
    let home = debian();
    let work = home.workspace("debian:12", &["--label", "a=b"]);
    work.sh("echo one > file; echo one > /etc/mark; mkdir -p /opt/dir/deep");
    let made = work.call("snapshot create", &["one", "--json"]).succeeds().json();
    assert_eq!(
        (&made["snapshot"]["snapshot_name"], &made["snapshot"]["kind"]),
        (&"one".into(), &"named".into())
    );
    // What only a look into it tells is not told at once.
    assert_eq!(made["snapshot"]["entry_count"], Value::Null);
    let show =
        |name: &str| work.call("snapshot show", &[name, "--json"]).succeeds().json()["snapshot"].clone();
    let one = show("one");
    assert_eq!((&one["entry_count"], &one["workspace_bytes"]), (&1.into(), &4.into()), "{one}");
    assert_eq!(
        (&one["snapshot_name"], &one["deletable"], &one["memory"]),
        (&"one".into(), &true.into(), &false.into())
    );
    assert!(one["layers"].as_array().unwrap().len() == 2 && one["disk_bytes"].as_u64().unwrap() > 0, "{one}");
    assert_eq!(show("baseline")["entry_count"], 0);
    let line = work.call("snapshot show", &["one"]).succeeds().stdout();
    assert!(
        line.starts_with("one [named] entry_count=1 bytes_written=")
            && line.ends_with(" deletable=yes memory=no\n"),
        "{line}"
    );
    work.call("snapshot show", &["no-such"]).fails_with(1, "snapshot_unknown", "no-such");
    work.call("snapshot create", &["one"]).fails_with(1, "snapshot_name_taken", "one");
    work.call("snapshot create", &["baseline"]).fails_with(1, "snapshot_protected", "baseline");
    work.call("snapshot create", &["a/b"]).fails_with(2, "usage", "a/b");
    work.sh("echo two > file; echo two > /etc/mark; rm -rf /opt/dir; rm /bin/ls; sleep 1006 & echo $!");

    let reset = work.call("reset", &["--snapshot", "one", "--json"]).succeeds().json();
    assert_eq!(
        (&reset["state"], &reset["reset_count"], &reset["command_count"]),
        (&"started".into(), &1.into(), &0.into())
    );
    assert_eq!(
        (&reset["workspace_reset"]["snapshot_name"], &reset["labels"]["a"]),
        (&"one".into(), &"b".into())
    );
    assert_eq!(
        work.sh("cat file /etc/mark; ls -d /opt/dir/deep; grep -lx sleep /proc/[0-9]*/comm | wc -l"),
        "one\none\n/opt/dir/deep\n0"
    );
    assert_eq!(work.call("logs", &["--json"]).succeeds().json()["count"], 1, "history begins anew");

    // Of a stopped workspace too, and back to where it began.
    work.call("stop", &[]).succeeds();
    work.call("snapshot create", &["stopped"]).succeeds();
    work.call("snapshot create", &["memory", "--memory"]).fails_with(1, "workspace_not_running", work.id());
    assert_eq!(work.call("reset", &["--json"]).succeeds().json()["state"], "stopped");
    work.call("start", &[]).succeeds();
    assert_eq!(work.sh("ls -A; ls /etc/mark 2>/dev/null || echo gone"), "gone");
    work.call("reset", &["--snapshot", "stopped"]).succeeds();
    assert_eq!(work.sh("cat file"), "one");
    work.call("reset", &["--snapshot", "no-such"]).fails_with(1, "snapshot_unknown", "no-such");

    let list = work.call("snapshot list", &["--json"]).succeeds().json();
    let names: Vec<&Value> =
        list["snapshots"].as_array().unwrap().iter().map(|one| &one["snapshot_name"]).collect();
    assert_eq!(names, ["baseline", "stopped", "one"], "the baseline first, then the newest");
    assert_eq!(list["snapshots"][0]["deletable"], false);
    work.call("snapshot delete", &["baseline"]).fails_with(1, "snapshot_protected", "baseline");
    for name in ["one", "stopped"] {
        assert_eq!(
            work.call("snapshot delete", &[name]).succeeds().stdout(),
            format!("Deleted workspace snapshot: {name}\n")
        );
    }
    assert_eq!(work.sh("cat file"), "one", "what is below stays");
    work.call("reset", &[]).succeeds();
    assert_eq!(files_below(&folder(&home, &work).join("layers")).len(), 2, "what nothing needs is gone");
}

#[test]
fn memory_and_processes_are_kept_where_that_is_asked_for() {
    let home = debian();
    let work = home.workspace("debian:12", &[]);
    work.sh(COUNTER);
    work.sh("echo one > file; echo one > /run/mark");
    let before = count(&work);

    let paused = work.call("pause", &["--json"]).succeeds().json();
    assert_eq!((&paused["state"], &paused["engine_pid"]), (&"suspended".into(), &Value::Null));
    work.exec("true").fails_with(125, "workspace_not_running", "memory kept");
    assert_eq!(work.call("resume", &["--json"]).succeeds().json()["state"], "started");
    let after = count(&work);
    assert!(after > before && after < before + 1000, "{before}, {after}");

    let kept = work.call("stop", &["--keep-memory", "--json"]).succeeds().json();
    assert_eq!((&kept["state"], &kept["warning"]), (&"suspended".into(), &Value::Null));
    work.call("start", &[]).succeeds();
    assert!(count(&work) > after);

    assert_eq!(
        work.call("snapshot create", &["live", "--memory", "--json"]).succeeds().json()["snapshot"]["memory"],
        true
    );
    let kept = count(&work);
    work.sh("echo two > file; echo two > /run/mark; kill $(cat /run/counter)");
    work.call("reset", &["--snapshot", "live"]).succeeds();
    assert_eq!(work.sh("cat file /run/mark"), "one\none");
    assert!(count(&work) > after, "{kept}");
    // And once more, from stopped: a snapshot is not used up.
    work.call("stop", &[]).succeeds();
    work.call("resume", &[]).fails_with(1, "workspace_not_suspended", work.id());
    assert_eq!(work.call("reset", &["--snapshot", "live", "--json"]).succeeds().json()["state"], "suspended");
    work.call("start", &[]).succeeds();
    assert_eq!(work.sh("cat file /run/mark"), "one\none");
    count(&work);
    // A pause that is followed by a stopped snapshot keeps its memory in it.
    work.call("pause", &[]).succeeds();
    work.call("snapshot create", &["paused", "--memory"]).succeeds();
    work.call("start", &[]).succeeds();
    count(&work);
    work.sh("sync");
}

#[test]
fn a_reset_that_fails_changes_nothing() {
    let home = debian();
    let work = home.workspace("debian:12", &[]);
    work.sh("echo one > file");
    work.call("snapshot create", &["one"]).succeeds();
    work.sh("echo two > file");
    let before = work.status();
    let path = folder(&home, &work).join("snapshots/one/snapshot.json");
    let snapshot: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let layer = snapshot["chain"].as_array().unwrap().last().unwrap().as_str().unwrap().to_owned();
    let layer = folder(&home, &work).join("layers").join(layer);
    // Another file in its place: the one that the running guest has open is as it was.
    fs::rename(&layer, home.home().join("kept")).unwrap();
    fs::write(&layer, [0x55; 4096]).unwrap();
    let failed = work.call("reset", &["--snapshot", "one"]).ends_with(1);
    assert!(failed.stderr().contains("[error] "), "{failed:?}");
    assert_eq!(work.sh("cat file"), "two");
    let after = work.status();
    assert_eq!((&after["engine_pid"], &after["reset_count"]), (&before["engine_pid"], &0.into()));
    fs::rename(home.home().join("kept"), &layer).unwrap();
    work.call("reset", &["--snapshot", "one"]).succeeds();
    assert_eq!(work.sh("cat file"), "one");
}

#[test]
fn children_share_what_was_and_nothing_that_comes() {
    let home = debian();
    let parent = home.workspace("debian:12", &["--name", "parent"]);
    parent.sh(COUNTER);
    parent.sh("echo shared > file; echo shared > /etc/mark");
    let snapshot = parent.call("snapshot create", &["before"]).succeeds();
    assert!(snapshot.stdout().starts_with("[workspace-snapshot-create] snapshot_name=before kind=named "));
    let running = fork(&parent, "running", 3);
    for child in &running {
        count(child);
        child.sh("kill $(cat /run/counter)");
    }
    let waiting = parent.call("fork", &["--no-start", "--json"]).succeeds().json()["children"][0].clone();
    assert_eq!((&waiting["state"], &waiting["engine_pid"]), (&"suspended".into(), &Value::Null), "{waiting}");
    let waiting = parent.sibling(waiting["workspace_id"].as_str().unwrap());
    waiting.exec("true").fails_with(125, "workspace_not_running", waiting.id());
    parent.call("stop", &[]).succeeds();
    let stopped = fork(&parent, "stopped", 2);
    waiting.call("start", &[]).succeeds();
    count(&waiting);
    parent.call("delete", &[]).succeeds();

    let all: Vec<&Workspace<'_>> = running.iter().chain(&stopped).collect();
    let identity =
        "hostname; cat /etc/machine-id; head -c 16 /dev/urandom | base64; cat /proc/sys/kernel/random/uuid";
    let mut seen = BTreeSet::new();
    for (number, child) in all.iter().enumerate() {
        let told =
            child.sh(&format!("cat file /etc/mark; {identity}; echo {number} > file; echo > own-{number}"));
        let told = told.strip_prefix("shared\nshared\n").unwrap_or_else(|| panic!("{told}"));
        for line in told.lines() {
            assert!(seen.insert(line.to_owned()), "{line} is not this child's alone");
        }
    }
    for (number, child) in all.iter().enumerate() {
        assert_eq!(child.sh("cat file; ls"), format!("{number}\nfile\nown-{number}"));
    }
    // A child has its parent's snapshots.
    all[0].call("reset", &["--snapshot", "before"]).succeeds();
    assert_eq!(all[0].sh("cat file; ls"), "shared\nfile");
}

/// Children, found by their names.
pub(crate) fn fork<'a>(parent: &Workspace<'a>, prefix: &str, count: usize) -> Vec<Workspace<'a>> {
    let made = parent
        .call("fork", &["--count", &count.to_string(), "--name-prefix", prefix, "--json"])
        .succeeds()
        .json();
    let children = made["children"].as_array().unwrap().clone();
    let names: Vec<&str> = children.iter().map(|child| child["name"].as_str().unwrap()).collect();
    assert_eq!(names, (1..=count).map(|number| format!("{prefix}-{number}")).collect::<Vec<_>>());
    children
        .iter()
        .map(|child| {
            assert_eq!((&child["state"], &child["forked_from"]), (&"started".into(), &parent.id().into()));
            parent.sibling(child["workspace_id"].as_str().unwrap())
        })
        .collect()
}
