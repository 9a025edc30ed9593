//! Workspaces as files: packed, deleted, unpacked, and used again; and packs that are not what they were.

use crate::debian;
use crate::diffs::create;
use crate::diffs::exec;
use crate::diffs::seed;

#[test]
fn a_workspace_survives_being_packed_and_deleted() {
    let home = debian();
    let id = create(&home, &seed(&home));
    exec(&home, &id, "echo first > /workspace/first; echo system > /etc/own");
    home.run(["workspace", "snapshot", "create", &id, "one"]).succeeds();
    exec(&home, &id, "echo second > /workspace/second");
    let path = |name: &str| home.home().join(name).to_str().unwrap().to_owned();
    let (running, stopped) = (path("running.pack"), path("stopped.pack"));
    home.run(["workspace", "pack", &id, "--output", &running]).succeeds();
    // What it took for that is gone again, and the guest goes on.
    let listed = home.run(["workspace", "snapshot", "list", &id]).succeeds().stdout();
    assert!(!listed.contains("pack-"), "{listed}");
    exec(&home, &id, "echo third > /workspace/third");
    home.run(["workspace", "stop", &id]).succeeds();
    let report = home.run(["workspace", "pack", &id, "--output", &stopped, "--json"]).succeeds().json();
    assert_eq!(report["snapshots"], 2);
    home.run(["workspace", "pack", &id, "--output", &stopped]).fails_with(1, "output_exists", "stopped.pack");
    home.run(["workspace", "pack", &id, "--memory", "--output", &path("none")]).fails_with(
        1,
        "workspace_not_running",
        "memory",
    );
    home.run(["workspace", "delete", &id]).succeeds();
    for (pack, third) in [(&running, ""), (&stopped, "third\n")] {
        let new = home.run(["workspace", "unpack", pack, "--id-only"]).succeeds().stdout();
        let new = new.trim();
        assert_ne!(new, id);
        home.run(["workspace", "start", new]).succeeds();
        let script = "cd /workspace; cat first second third 2>/dev/null; cat /etc/own";
        let said = home.run(["workspace", "exec", new, "--", script]).succeeds().stdout();
        assert_eq!(said, format!("first\nsecond\n{third}system\n"));
        home.run(["workspace", "reset", new, "--snapshot", "one"]).succeeds();
        assert_eq!(exec(&home, new, "ls /workspace/second 2>&1 | wc -l; cat /workspace/first"), "1\nfirst\n");
        home.run(["workspace", "delete", new]).succeeds();
    }
}

#[test]
fn a_pack_that_is_not_what_it_was_leaves_nothing() {
    let home = debian();
    let id = create(&home, &seed(&home));
    home.run(["workspace", "stop", &id]).succeeds();
    let pack = home.home().join("pack");
    home.run(["workspace", "pack", &id, "--output", pack.to_str().unwrap()]).succeeds();
    let whole = std::fs::read(&pack).unwrap();
    let refused = |bytes: &[u8]| {
        std::fs::write(&pack, bytes).unwrap();
        home.run(["workspace", "unpack", pack.to_str().unwrap()]).fails_with(1, "pack_invalid", "pack");
    };
    refused(b"");
    refused(b"no pack at all");
    for length in [11, 12, 100, whole.len() / 2, whole.len() - 1] {
        refused(&whole[..length]);
    }
    for place in [0, 9, 40, whole.len() / 3, whole.len() / 2, whole.len() - 40, whole.len() - 3] {
        let mut changed = whole.clone();
        changed[place] ^= 0x10;
        refused(&changed);
    }
    std::fs::write(&pack, &whole).unwrap();
    let small = ["workspace", "unpack", pack.to_str().unwrap(), "--max-bytes", "1000"];
    home.run(small).fails_with(1, "quota_exceeded", "1000");
    // One workspace is there: the one that was packed.
    assert_eq!(
        std::fs::read_dir(home.state().join("workspaces"))
            .unwrap()
            .flatten()
            .filter(|entry| entry.path().is_dir())
            .count(),
        1
    );
    home.run(["workspace", "delete", &id]).succeeds();
}

#[test]
fn memory_is_packed_when_asked_for_and_snapshots_can_be_left_out() {
    let home = debian();
    let work = home.workspace("debian:12", &[]);
    work.sh("mkfifo /run/ask /run/answer; echo one > file");
    work.call("snapshot create", &["one"]).succeeds();
    // A process that knows something in its memory alone.
    let waits = "setsid sh -c 'secret=$$; echo $secret > /run/known; read line < /run/ask; echo $secret > /run/answer' \
                 > /dev/null 2>&1 < /dev/null &";
    work.sh(waits);
    let known = work.sh("while [ ! -s /run/known ]; do sleep 0.05; done; cat /run/known");
    let flags = ["--memory", "--exclude-snapshots", "--output", "pack", "--json"];
    let report = work.call("pack", &flags).succeeds().json();
    assert_eq!((&report["memory"], &report["snapshots"]), (&true.into(), &1.into()), "{report}");
    let asked = "echo go > /run/ask; cat /run/answer; cat file";
    assert_eq!(work.sh(asked), format!("{known}\none"));
    work.call("delete", &[]).succeeds();
    // Memory can be anything, and is taken over only when that is asked for.
    let without = home.run(["workspace", "unpack", "pack", "--name", "without"]).succeeds();
    assert!(without.stderr().contains("--memory"), "{without:?}");
    let without = home.adopt("without");
    assert_eq!(without.status()["state"], "stopped");
    without.call("start", &[]).succeeds();
    assert_eq!(without.sh("ls /run/known 2>&1 | grep -c 'No such file'; cat file"), "1\none");
    drop(without);
    let unpack = ["workspace", "unpack", "pack", "--memory", "--name", "again", "--json"];
    let made = home.run(unpack).succeeds().json();
    assert_eq!((&made["state"], &made["name"]), (&"suspended".into(), &"again".into()));
    let again = home.adopt(made["workspace_id"].as_str().unwrap());
    let list = again.call("snapshot list", &["--json"]).succeeds().json();
    assert_eq!((&list["count"], &list["snapshots"][0]["snapshot_name"]), (&1.into(), &"baseline".into()));
    again.call("start", &[]).succeeds();
    assert_eq!(again.sh(asked), format!("{known}\none"), "the process goes on where it was");
    home.run(["workspace", "unpack", "pack", "--name", "a/b"]).fails_with(2, "usage", "a/b");
}
