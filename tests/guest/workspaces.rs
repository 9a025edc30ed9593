//! The life of a workspace: made, used, stopped, started, changed, found by name, left alone too long, deleted.

use crate::debian;
use pyro_testkit::Outcome;
use pyro_testkit::Sandbox;
use pyro_testkit::Workspace;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;

fn document(home: &Sandbox, workspace: &Workspace<'_>) -> PathBuf {
    home.state().join("workspaces").join(workspace.id()).join("workspace.json")
}

/// Changes a document behind the program's back.
fn edit(path: &PathBuf, change: impl FnOnce(&mut Value)) {
    let mut document: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut document);
    fs::write(path, document.to_string()).unwrap();
}

#[test]
fn what_a_workspace_holds_outlives_its_guest() {
    let home = debian();
    let work = home
        .workspace("debian:12", &["--wait", "--name", "first", "--label", "team=a", "--disk-mib", "1024"]);
    assert_eq!(work.status()["state"], "started", "with --wait as without");
    let script =
        "pwd; echo data > file; echo 10.0.0.1 peer >> /etc/hosts; touch /root/mark; hostname > /tmp/name";
    assert_eq!(work.sh(script), "/workspace");
    let boot_id = work.sh("cat /proc/sys/kernel/random/boot_id; cat /etc/machine-id");

    let stopped = work.call("stop", &["--json"]).succeeds().json();
    assert_eq!(
        (&stopped["state"], &stopped["stop_reason"]),
        (&"stopped".into(), &"requested".into()),
        "{stopped}"
    );
    assert_eq!(stopped["warning"], Value::Null, "it ended by itself");
    work.exec("true").fails_with(125, "workspace_not_running", work.id());
    work.call("stop", &[]).succeeds();
    assert_eq!(work.call("logs", &["--json"]).succeeds().json()["count"], 2, "history needs no guest");
    let text = work.call("logs", &[]).succeeds().stdout();
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with("#1 exit_code=0 duration_ms=") && lines[0].ends_with(" cwd=/workspace"),
        "{text}"
    );
    assert_eq!((lines[1], lines[2]), (format!("$ {script}").as_str(), "/workspace"));
    let cut = work.call("logs", &["--last", "1", "--max-output-bytes", "9"]).succeeds().stdout();
    assert!(
        cut.starts_with("#2 ")
            && cut.contains(&format!("\n{}\n[truncated] stdout: 70 bytes in all, in /", &boot_id[..9])),
        "{cut}"
    );

    let started = home.run(["workspace", "start", "first", "--json"]).succeeds().json();
    assert_eq!(started["state"], "started");
    work.call("start", &[]).succeeds();
    assert_eq!(
        work.sh("cat file; tail -n 1 /etc/hosts; ls /root/mark; cat /tmp/name | wc -l"),
        "data\n10.0.0.1 peer\n/root/mark\n1"
    );
    let again = work.sh("cat /proc/sys/kernel/random/boot_id; cat /etc/machine-id");
    assert_ne!(again.lines().next(), boot_id.lines().next(), "another boot");
    assert_eq!(again.lines().nth(1), boot_id.lines().nth(1), "the same machine");
    let status = work.status();
    assert_eq!(status["command_count"], 4);
    assert_eq!(status["last_command"]["sequence"], 4);
    assert_eq!(status["stop_reason"], Value::Null);

    work.call("delete", &[]).succeeds();
    work.call("status", &[]).fails_with(1, "workspace_unknown", work.id());
    let left = fs::read_dir(home.state().join("workspaces")).unwrap().count();
    assert_eq!(left, 0, "nothing is left of it");
}

#[test]
fn names_labels_and_the_order_of_a_list() {
    let home = debian();
    let first = home.workspace("debian:12", &["--name", "first", "--label", "team=a", "--label", "kind=x"]);
    let second = home.workspace("debian:12", &["--name", "second", "--label", "team=b"]);
    let taken = ["workspace", "create", "debian:12", "--name", "first"];
    home.run(taken).fails_with(1, "workspace_name_taken", first.id());
    second.call("update", &["--name", "first"]).fails_with(1, "workspace_name_taken", first.id());
    second.call("update", &[]).fails_with(1, "nothing_to_change", "nothing");
    second.call("update", &["--name", "second"]).fails_with(1, "nothing_to_change", "nothing");
    home.run(["workspace", "create", "debian:12", "--name", "a/b"]).fails_with(2, "usage", "a/b");

    let ids = |flags: &[&str]| {
        let list = home.run([&["workspace", "list", "--json"], flags].concat()).succeeds().json();
        let ids = list["workspaces"].as_array().unwrap().iter();
        ids.map(|record| record["workspace_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    first.sh("true");
    assert_eq!(ids(&[]), [first.id(), second.id()], "the last used first");
    home.run(["workspace", "exec", "second", "--", "true"]).succeeds();
    assert_eq!(ids(&[]), [second.id(), first.id()]);
    assert_eq!(ids(&["--label", "team=a"]), [first.id()]);
    assert_eq!(ids(&["--state", "stopped"]), [] as [&str; 0]);

    // Running and stopped alike.
    for running in [true, false] {
        if !running {
            first.call("stop", &["--timeout-seconds", "5"]).succeeds();
        }
        let flags =
            ["--label", "team=c", "--clear-label", "kind", "--ttl-seconds", "0", "--clear-name", "--json"];
        let changed = first.call("update", &flags).succeeds().json();
        assert_eq!(changed["labels"].to_string(), r#"{"team":"c"}"#);
        assert_eq!((&changed["ttl_seconds"], &changed["name"]), (&0.into(), &Value::Null));
        assert_eq!(changed["expires_at"], Value::Null);
        let back = ["--label", "team=a", "--label", "kind=x", "--ttl-seconds", "60", "--name", "first"];
        first.call("update", &back).succeeds();
    }
    home.run(["workspace", "delete", "--all", "--label", "team=b"]).succeeds();
    assert_eq!(ids(&[]), [first.id()]);
    let deleted = home.run(["workspace", "delete", "first", "no-such", "--json"]).ends_with(1).json();
    assert_eq!(
        (&deleted["count"], &deleted["failures"][0]["code"]),
        (&1.into(), &"workspace_unknown".into())
    );
}

#[test]
fn a_workspace_that_nobody_uses_is_stopped_and_keeps_its_data() {
    let home = debian();
    let mut events = home.events();
    let work = home.workspace("debian:12", &["--ttl-seconds", "2"]);
    work.sh("echo data > file");
    // One that runs is in use, however long it takes.
    work.sh("sleep 3");
    let stopped = events.wait_for("workspace_stopped");
    assert_eq!((&stopped["detail"], &stopped["workspace_id"]), (&"idle".into(), &work.id().into()));
    let refused = work.exec("true").fails_with(125, "workspace_not_running", "2 seconds");
    assert!(refused.stderr().contains("workspace start"), "{refused:?}");
    work.call("update", &["--ttl-seconds", "0"]).succeeds();
    work.call("start", &[]).succeeds();
    assert_eq!(work.sh("cat file"), "data");
    // The same of one that runs, from the moment it is changed.
    work.call("update", &["--ttl-seconds", "1"]).succeeds();
    assert_eq!(events.wait_for("workspace_stopped")["detail"], "idle");
}

#[test]
fn a_guest_that_does_not_end_in_time_is_killed_with_a_warning() {
    let home = debian();
    let work = home.workspace("debian:12", &[]);
    work.sh("echo data > file");
    for json in [false, true] {
        work.call("start", &[]).succeeds();
        work.call(
            "exec",
            &[
                "--detach",
                "--timeout-seconds",
                "0",
                "--",
                "trap '' TERM; touch /tmp/ready; while :; do sleep 0.1; done",
            ],
        )
        .succeeds();
        work.sh("while [ ! -e /tmp/ready ]; do sleep 0.05; done; rm /tmp/ready");
        let flags: &[&str] =
            if json { &["--wait", "--timeout-seconds", "0", "--json"] } else { &["--timeout-seconds", "0"] };
        let stopped = work.call("stop", flags).succeeds();
        if json {
            assert!(stopped.json()["warning"].is_string(), "{stopped:?}");
        } else {
            assert!(stopped.stderr().starts_with("[warning] the guest was killed: "), "{stopped:?}");
        }
    }
    work.call("start", &[]).succeeds();
    assert_eq!(work.sh("cat file"), "data");
}

#[test]
fn what_is_set_in_the_environment_is_the_limit() {
    let home = debian();
    let create = |name: &str| {
        let mut create = home.pyro(["workspace", "create", "debian:12", "--id-only", "--name", name]);
        Outcome::of(create.env("PYRO_MAX_WORKSPACES", "1").env("PYRO_MAX_OUTPUT_MIB", "1"))
    };
    let work = create("first").succeeds().stdout();
    let work = home.adopt(work.trim());
    create("second").fails_with(1, "workspace_limit_reached", "1");
    let said = work
        .call("exec", &["--json", "--", "head -c 3M /dev/zero; head -c 500K /dev/zero >&2"])
        .succeeds()
        .json();
    assert_eq!((&said["stdout_bytes"], &said["stdout_kept_bytes"]), (&(3 << 20).into(), &(1 << 20).into()));
    assert_eq!((&said["stderr_bytes"], &said["stderr_kept_bytes"]), (&512_000.into(), &512_000.into()));
    work.call("stop", &["--timeout-seconds", "0"]).succeeds();
    create("second").fails_with(1, "workspace_limit_reached", "1");
    work.call("delete", &[]).succeeds();
    let second = create("second").succeeds().stdout();
    home.adopt(second.trim()).sh("true");
}

/// What a file system takes of the host's disk for everything in a folder.
fn disk_mib(folder: &Path) -> u64 {
    let files = pyro_testkit::sandbox::files_below(folder);
    files.iter().map(|file| file.metadata().unwrap().blocks() * 512).sum::<u64>() >> 20
}

#[test]
fn a_stopped_workspace_costs_disk_only_for_what_changed_in_it() {
    let home = debian();
    let work = home.workspace("debian:12", &["--disk-mib", "4096"]);
    let folder = home.state().join("workspaces").join(work.id());
    let stopped_mib = || {
        work.call("stop", &[]).succeeds();
        disk_mib(&folder)
    };
    // The environment has some hundred MiB, the guest a GiB of memory.
    let empty = stopped_mib();
    assert!(empty < 16, "{empty} MiB of nothing");
    work.call("start", &[]).succeeds();
    // Not of random bytes, which an emulated guest takes minutes for.
    work.sh("head -c 64M /dev/zero | tr '\\0' x > large; head -c 16M /dev/zero | tr '\\0' x > /var/large");
    let filled = stopped_mib();
    assert!((80..112).contains(&(filled - empty)), "{empty} and {filled} MiB");
    work.call("snapshot create", &["one"]).succeeds();
    work.call("start", &[]).succeeds();
    work.sh("echo small > small");
    let kept = stopped_mib();
    assert!(kept - filled < 16, "a snapshot and a start cost {filled} to {kept} MiB");
}

#[test]
fn gc_deletes_what_is_past_its_retention_and_nothing_else() {
    let home = debian();
    let old = home.workspace("debian:12", &[]);
    old.call("update", &["--retention-seconds", "1000"]).succeeds();
    let young = home.workspace("debian:12", &["--retention-seconds", "1000"]);
    let kept = home.workspace("debian:12", &["--retention-seconds", "1000"]);
    kept.call("update", &["--retention-seconds", "0"]).succeeds();
    for work in [&old, &young, &kept] {
        work.call("stop", &["--timeout-seconds", "0"]).succeeds();
    }
    for work in [&old, &kept] {
        edit(&document(&home, work), |document| document["stopped"][1] = 1000.into());
    }
    let report = home.run(["gc", "--json"]).succeeds().json();
    assert_eq!(report["deleted_workspace_ids"], serde_json::json!([old.id()]));
    old.call("status", &[]).fails_with(1, "workspace_unknown", old.id());
    young.call("start", &[]).succeeds();
    kept.status();
}

#[test]
fn a_broken_document_harms_no_other() {
    let home = debian();
    let good = home.workspace("debian:12", &[]);
    let broken = home.workspace("debian:12", &["--name", "broken"]);
    broken.call("stop", &["--timeout-seconds", "0"]).succeeds();
    for text in ["", "{", "{}", "[1]", "\u{0}\u{0}"] {
        fs::write(document(&home, &broken), text).unwrap();
        let list = home.run(["workspace", "list", "--json"]).succeeds().json();
        assert_eq!(list["count"], 2, "{list}");
        assert_eq!(list["workspaces"][0]["state"], "started");
        assert_eq!(
            (&list["workspaces"][1]["state"], &list["workspaces"][1]["code"]),
            (&"broken".into(), &"document_invalid".into())
        );
        broken.call("start", &[]).fails_with(1, "document_invalid", "workspace.json");
    }
    let report = home.run(["gc", "--json"]).succeeds().json();
    assert_eq!(report["broken_workspaces"][0]["workspace_id"], broken.id());
    assert_eq!(report["deleted_environment_dirs"], serde_json::json!([]));
    assert_eq!(home.run(["ps", "--json"]).succeeds().json()["count"], 2);
    good.sh("true");
    broken.call("delete", &[]).succeeds();
    assert_eq!(home.run(["workspace", "list", "--json"]).succeeds().json()["count"], 1);
}

#[test]
fn four_processes_at_once_get_sixty_right_answers() {
    let home = debian();
    let work = home.workspace("debian:12", &[]);
    std::thread::scope(|scope| {
        for process in 0..4 {
            let work = &work;
            scope.spawn(move || {
                for number in 0..15 {
                    let answer = work.sh(&format!(
                        "echo {process} > {process}-{number}; echo $(({process} * 100 + {number}))"
                    ));
                    assert_eq!(answer, (process * 100 + number).to_string());
                }
            });
        }
    });
    assert_eq!(work.sh("ls | wc -l"), "60");
    assert_eq!(work.status()["command_count"], 61);
    let logs = work.call("logs", &["--json"]).succeeds().json();
    let numbers = logs["entries"].as_array().unwrap().iter().map(|entry| entry["sequence"].as_u64().unwrap());
    assert!(numbers.eq(1..=61), "{logs}");
}

#[test]
fn starts_and_stops_at_once_leave_one_guest() {
    let home = debian();
    let work = home.workspace("debian:12", &[]);
    work.call("stop", &["--timeout-seconds", "0"]).succeeds();
    let at_once = |words: &[&str]| {
        let spawn = |word: &&str| work.command(word, &["--json"]).stdout(Stdio::piped()).spawn().unwrap();
        let children: Vec<_> = words.iter().map(spawn).collect();
        let wait = |child: std::process::Child| child.wait_with_output().unwrap();
        children.into_iter().map(wait).collect::<Vec<_>>()
    };
    let records = at_once(&["start"; 4]);
    let pids: Vec<Value> = records
        .iter()
        .map(|output| {
            assert!(output.status.success(), "{output:?}");
            serde_json::from_slice::<Value>(&output.stdout).unwrap()["engine_pid"].clone()
        })
        .collect();
    assert!(pids.iter().all(|pid| *pid == pids[0] && pid.is_number()), "{pids:?}");
    // Whoever comes last decides; nobody is refused, and nothing is left in between.
    for output in at_once(&["stop", "start", "stop", "start"]) {
        assert!(output.status.success(), "{output:?}");
    }
    work.call("start", &[]).succeeds();
    work.sh("true");
    assert_eq!(home.run(["ps", "--json"]).succeeds().json()["count"], 1);
}
