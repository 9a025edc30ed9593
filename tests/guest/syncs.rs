//! Bringing folders of a guest and of the host up to date with each other: what goes over, what must not, and what is there
//! when it does not come to an end.

use crate::debian;
use crate::zoo::host;
use pyro_testkit::Outcome;
use pyro_testkit::Sandbox;
use pyro_testkit::Workspace;
use pyro_testkit::processes;
use pyro_testkit::trees::assert_same;
use pyro_testkit::trees::tree;
use pyro_testkit::trees::tree_without;
use rustix::process::Pid;
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Lines;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::ChildStdout;
use std::process::Stdio;

/// Files of a push that is long enough to be cut.
const MANY: usize = 1500;

/// No name of a test; trees without it are compared without the times of folders.
const UNTIMED: [&str; 1] = [".untimed"];

fn kill(pid: i32, signal: Signal) {
    rustix::process::kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// A folder of the host with these files, whose content is their path.
fn folder(home: &Sandbox, name: &str, files: &[&str]) -> PathBuf {
    let folder = home.home().join(name);
    for file in files {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
    folder
}

#[track_caller]
fn push(work: &Workspace<'_>, rest: &[&str]) -> Value {
    let report = work.call("sync push", &[rest, &["--json"]].concat()).succeeds().json();
    report["workspace_sync"].clone()
}

#[track_caller]
fn counts(report: &Value) -> [u64; 3] {
    ["entry_count", "deleted_count", "unchanged_count"].map(|name| report[name].as_u64().unwrap())
}

/// A script in the guest, and the lines it says.
fn watched(work: &Workspace<'_>, script: &str) -> (Child, Lines<BufReader<ChildStdout>>) {
    let args = ["--timeout-seconds", "120", "--", script];
    let mut child = work.command("exec", &args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

/// Everything in a folder of the guest, as far as a push decides it.
fn listing(work: &Workspace<'_>, folder: &str) -> String {
    work.sh(&format!(
        "cd {folder} && find . -mindepth 1 -printf '%P %y %m %T@ %l\\n' | LC_ALL=C sort; \
         find . -type f | LC_ALL=C sort | xargs -r -d '\\n' sha256sum | sha256sum"
    ))
}

#[test]
fn a_push_sends_what_differs_and_mirrors_when_asked_to() {
    let home = debian();
    let source =
        folder(&home, "project", &["same", "changes", "sub/run.sh", "build/out", "old/deep/file", "a.log"]);
    fs::write(source.join(".gitignore"), "build/\n").unwrap();
    fs::write(source.join(".pyroignore"), "*.log\n").unwrap();
    fs::create_dir(source.join("empty")).unwrap();
    let work = home.workspace("debian:12", &[]);
    work.sh("mkdir -p src/build; echo kept > src/build/artefact; echo extra > src/extra");
    // What is open in the guest stays what it was for whoever has it open.
    let first = push(&work, &["project", "--dest", "src"]);
    assert_eq!(counts(&first), [10, 0, 1], "{first}");
    assert_eq!(first["destination"], "/workspace/src");
    assert_eq!(counts(&push(&work, &["project", "--dest", "src"])), [0, 0, 11]);
    work.sh("(tail -f src/changes > /tmp/seen & echo $! > /tmp/pid); while [ ! -s /tmp/seen ]; do sleep 0.1; done");

    // Content decides: neither size nor time of this file tell that it is another one.
    let time = fs::metadata(source.join("same")).unwrap().modified().unwrap();
    fs::write(source.join("same"), "SAME").unwrap();
    fs::File::open(source.join("same")).unwrap().set_modified(time).unwrap();
    fs::write(source.join("changes"), "changed").unwrap();
    fs::set_permissions(source.join("sub/run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::remove_dir_all(source.join("old")).unwrap();
    fs::write(source.join("empty/new"), "new").unwrap();
    let before = listing(&work, "/workspace");
    let dry = push(&work, &["project", "--dest", "src", "--delete", "--dry-run"]);
    assert_eq!(dry["sent"], serde_json::json!(["changes", "empty/new", "same", "sub/run.sh"]), "{dry}");
    assert_eq!(dry["deleted"], serde_json::json!(["extra", "old"]), "{dry}");
    let plain = work.call("sync push", &["project", "--dest", "src", "--delete", "--dry-run"]).succeeds();
    assert!(plain.stdout().starts_with("delete extra\ndelete old\nsend changes\n"), "{plain:?}");
    assert_eq!(listing(&work, "/workspace"), before, "a dry run changes nothing");
    let second = push(&work, &["project", "--dest", "src", "--delete", "--exclude", "empty"]);
    assert_eq!(counts(&second)[..2], [3, 2], "{second}");
    let seen = work
        .sh("cat src/same src/changes; stat -c %a src/sub/run.sh; ls src src/empty src/build; cat /tmp/seen");
    assert_eq!(
        seen,
        "SAMEchanged755\nsrc:\nbuild\nchanges\nempty\nsame\nsub\n\nsrc/build:\nartefact\n\nsrc/empty:\nchanges"
    );
    // What the guest has changed is put right, what it has touched only is not sent.
    work.sh("kill $(cat /tmp/pid); echo other > src/changes; touch src/sub/run.sh; rm src/same");
    let third = push(&work, &["project", "--dest", "/workspace/src", "--no-ignore", "--delete"]);
    let back = home.home().join("back");
    work.call("sync pull", &["src", "back"]).succeeds();
    assert_same(&tree(&back), &tree(&source));
    assert_eq!(third["deleted_count"], 1, "{third}");

    // Anything of the guest can be the destination, and what cannot says so.
    push(&work, &["project", "--dest", "/etc/new/place"]);
    assert_eq!(
        work.sh("cat /etc/new/place/changes; ls -A / /etc/new /workspace | grep -c pyro-stage || true"),
        "changed0"
    );
    let refused = work.call("sync push", &["project", "--dest", "/etc/hostname"]);
    assert_eq!(refused.code(), 1, "{refused:?}");
    work.call("sync push", &["nowhere"]).fails_with(1, "source_missing", "nowhere");
    work.call("stop", &[]).succeeds();
    work.call("sync push", &["project"]).fails_with(1, "workspace_not_running", work.id());
    work.call("sync pull", &["src", "back"]).fails_with(1, "workspace_not_running", work.id());
}

#[test]
fn a_push_that_fails_changes_nothing() {
    let home = debian();
    let source = folder(&home, "project", &["a", "b/c", "conflict"]);
    let work = home.workspace("debian:12", &["--disk-mib", "64"]);
    work.sh(
        "echo old > a; mkdir -p conflict/build b; echo kept > conflict/build/it; touch -d @1000000000 b .",
    );
    let before = listing(&work, "/workspace");
    let time = work.sh("stat -c %Y .");
    let outcome = work.call("sync push", &["project", "--delete", "--exclude", "build"]);
    outcome.fails_with(1, "push_conflict", "conflict");
    fs::remove_file(source.join("conflict")).unwrap();
    let mut random = fs::File::open("/dev/urandom").unwrap();
    let mut large = fs::File::create(source.join("large")).unwrap();
    std::io::copy(&mut std::io::Read::take(&mut random, 96 << 20), &mut large).unwrap();
    let full = work.call("sync push", &["project", "--delete"]);
    assert!(full.code() == 1 && full.stderr().contains("(guest_disk_full)"), "{full:?}");
    assert_eq!(listing(&work, "/workspace"), before);
    assert_eq!(work.sh("stat -c %Y ."), time);
    // A client that is killed while it sends.
    let large = fs::OpenOptions::new().write(true).open(source.join("large")).unwrap();
    large.set_len(24 << 20).unwrap();
    let (mut watcher, mut lines) = watched(
        &work,
        "echo ready; until find .pyro-stage-* -size +1M 2> /dev/null | grep -q .; do sleep 0.01; done; echo now",
    );
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    let mut client = work.command("sync push", &["project"]).stdout(Stdio::null()).spawn().unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "now");
    client.kill().unwrap();
    client.wait().unwrap();
    watcher.wait().unwrap();
    work.sh("while ls -d .pyro-stage-* > /dev/null 2>&1; do sleep 0.1; done");
    let after = listing(&work, "/workspace");
    if after != before {
        // All of it had been sent already.
        assert!(after.contains("large f 644"), "half of a push: {after}");
    }
    let report = push(&work, &["project", "--delete"]);
    assert_eq!(report["deleted_count"].as_u64().unwrap_or_default(), 1, "{report}");
    work.call("sync pull", &[".", "back"]).succeeds();
    assert_same(&tree(&home.home().join("back")), &tree(&source));
}

/// Two versions of a tree: every file differs, some are gone, folders took the place of files.
fn versions(home: &Sandbox) -> [PathBuf; 2] {
    ["old", "new"].map(|version| {
        let folder = home.home().join(version);
        for at in 0..MANY {
            let path = folder.join(format!("d{}/f{at}", at % 20));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            if version == "new" && at % 5 == 0 {
                fs::create_dir(&path).unwrap();
                fs::write(path.join("inner"), version).unwrap();
            } else if at % 7 != usize::from(version == "new") {
                fs::write(path, format!("{version} {at}")).unwrap();
            }
        }
        folder
    })
}

#[test]
fn a_guest_that_dies_in_a_push_has_the_old_tree_or_the_new_one() {
    let home = debian();
    let [old, new] = versions(&home);
    let work = home.workspace("debian:12", &["--seed-path", "old"]);
    let trees = [&old, &new].map(|folder| tree_without(folder, &UNTIMED));
    let mut found = [0; 2];
    // What the guest has put in place when its engine is killed, and whether that has reached its disk.
    let moments = [("d1/f21", false), ("d1/f21", true), ("d14/f14", true), ("d9/f9", true)];
    for (at, (path, flushed)) in moments.into_iter().enumerate() {
        push(&work, &["old", "--delete"]);
        let engine = work.pid("engine_pid");
        let flush = if flushed { "sync" } else { "true" };
        let script = format!("echo ready; until grep -qs new {path}; do sleep 0.02; done; {flush}; echo now");
        let (mut watcher, mut lines) = watched(&work, &script);
        assert_eq!(lines.next().unwrap().unwrap(), "ready");
        let client = work
            .command("sync push", &["new", "--delete"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let Some(now) = lines.next() else {
            let outcome = Outcome::from_output("push", client.wait_with_output().unwrap());
            panic!("{path} is never there: {outcome:?}, {}", work.exec("ls -la . d1 | head -40").stdout());
        };
        assert_eq!(now.unwrap(), "now");
        let engine_end = processes::open(engine).unwrap();
        kill(engine, Signal::KILL);
        assert!(processes::ended(&engine_end));
        let outcome = Outcome::from_output("push", client.wait_with_output().unwrap());
        watcher.wait().unwrap();
        work.call("start", &[]).succeeds();
        assert_eq!(
            work.sh("for s in .pyro-stage-*; do test ! -e $s || ls -la $s | head -5; done"),
            "",
            "{path}"
        );
        let back = home.home().join(format!("back{at}"));
        work.call("sync pull", &[".", back.to_str().unwrap()]).succeeds();
        let is_new = back.join("d0/f0").is_dir();
        found[usize::from(is_new)] += 1;
        // What was taken back leaves its marks on the folders' times, and on nothing else.
        assert_same(&tree_without(&back, &UNTIMED), &trees[usize::from(is_new)]);
        assert!(is_new || outcome.code() != 0, "what was acknowledged is there: {outcome:?}");
    }
    println!("old and new: {found:?}");
}

#[test]
fn pushes_at_once_do_not_mix() {
    let home = debian();
    let [old, new] = versions(&home);
    let work = home.workspace("debian:12", &["--seed-path", "old"]);
    let other = folder(&home, "other", &["x/y", "x/z"]);
    let pushes =
        [vec!["new", "--delete", "--exclude", "x"], vec!["other"], vec!["other", "--dest", "elsewhere"]];
    let clients: Vec<_> = pushes
        .iter()
        .map(|args| {
            work.command("sync push", args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for client in clients {
        Outcome::from_output("push", client.wait_with_output().unwrap()).succeeds();
    }
    drop(old);
    for (path, expected) in [("x", other.join("x")), ("elsewhere", other.clone())] {
        work.call("sync pull", &[path, &format!("back-{path}")]).succeeds();
        assert_same(&tree(&home.home().join(format!("back-{path}"))), &tree(&expected));
    }
    work.sh("rm -r x elsewhere");
    work.call("sync pull", &[".", "back"]).succeeds();
    let without_times = |tree: pyro_testkit::trees::Tree| {
        tree.into_iter().filter(|(_, what)| !what.starts_with("folder")).collect()
    };
    assert_same(&without_times(tree(&home.home().join("back"))), &without_times(tree(&new)));
}

#[test]
fn a_watched_folder_is_pushed_until_somebody_stops_it() {
    let home = debian();
    let source = folder(&home, "project", &["a"]);
    let work = home.workspace("debian:12", &[]);
    let mut watch = work
        .command("sync push", &["project", "--delete", "--watch", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(next()["workspace_sync"]["entry_count"], 1);
    let mut until = |done: &dyn Fn(&Value) -> bool| loop {
        let line = next();
        if done(&line) {
            return;
        }
    };
    fs::create_dir_all(source.join("new/folder")).unwrap();
    fs::write(source.join("new/folder/b"), "b").unwrap();
    until(&|_| work.exec("cat new/folder/b").stdout() == "b");
    // One that fails is told, and the next change is pushed as if nothing had been.
    work.sh("mkdir -p c/kept; mount -t tmpfs none c");
    fs::write(source.join("c"), "c").unwrap();
    until(&|line| line["ok"] == false && line["code"].is_string());
    work.sh("umount c");
    fs::remove_file(source.join("a")).unwrap();
    until(&|_| work.exec("test ! -e a && cat c").stdout() == "c");
    kill(i32::try_from(watch.id()).unwrap(), Signal::INT);
    assert_eq!(watch.wait().unwrap().code(), Some(0));
}

#[test]
fn a_pull_takes_what_differs_and_nothing_of_a_hostile_guest_gets_out() {
    let home = debian();
    let work = home.workspace("debian:12", &[]);
    work.sh(
        "mkdir -p out/d out/e; echo one > out/one; echo two > out/d/two; ln out/one out/d/hard; ln -s ../one out/d/inside; \
         echo built > out/d/build; chmod 755 out/one",
    );
    let target = home.home().join("target");
    let pull = |rest: &[&str]| {
        let report =
            work.call("sync pull", &[&["out", "target"], rest, &["--json"]].concat()).succeeds().json();
        let report = &report["workspace_pull"];
        ["entry_count", "deleted_count", "unchanged_count"].map(|name| report[name].as_u64().unwrap())
    };
    let dry = work.call("sync pull", &["out", "target", "--dry-run"]);
    assert!(dry.clone().succeeds().stdout().contains("receive d/two"), "{dry:?}");
    assert!(!target.exists());
    assert_eq!(pull(&[]), [7, 0, 0]);
    assert_eq!(pull(&[]), [0, 0, 7]);
    assert_eq!(
        work.sh("cd out; find . -type f | sort | xargs stat -c '%n %a %h %Y'"),
        host(&target, "sh", &["-c", "find . -type f | sort | xargs stat -c '%n %a %h %Y'",])
    );
    fs::write(target.join(".gitignore"), "build\n").unwrap();
    folder(&home, "target", &["extra/deep", "gone/build", "gone/x", "one"]);
    work.sh("echo more >> out/one; mkfifo out/fifo; mknod out/null c 1 3; echo x > out/suid; chmod 6755 out/suid; rm out/d/two");
    assert_eq!(pull(&["--delete", "--dry-run"])[1], 4);
    pull(&["--delete"]);
    assert_eq!(
        host(&target, "sh", &["-c", "ls -A . d gone; cat one; stat -c %a suid"]),
        ".:\nd\ne\ngone\none\nsuid\n\nd:\nbuild\nhard\ninside\n\ngone:\nbuild\none\nmore\n755"
    );

    let outside = folder(&home, "outside", &["precious"]);
    let precious = tree(&outside);
    work.sh(&format!(
        "rm -r out; mkdir -p out/a; ln -s {0} out/a/absolute; ln -s ../../outside out/climbs; ln -s nowhere out/fine; \
         mkdir out/target; echo x > out/target/precious",
        outside.display()
    ));
    let refused = work.call("sync pull", &["out", "hostile"]);
    refused.fails_with(1, "link_escapes", "out of the tree");
    let skipped = work.call("sync pull", &["out", "hostile", "--links", "skip"]).succeeds();
    assert_eq!(skipped.stderr().matches("[warning]").count(), 2, "{skipped:?}");
    assert_eq!(
        host(home.home(), "sh", &["-c", "cd hostile; find . | sort"]),
        ".\n./a\n./fine\n./target\n./target/precious"
    );
    work.call("sync pull", &["out", "hostile", "--links", "keep"]).succeeds();
    assert_eq!(fs::read_link(home.home().join("hostile/climbs")).unwrap(), Path::new("../../outside"));
    // A folder that takes the place of a link, on either side, does not lead through it.
    work.sh("rm -r out/climbs; mkdir out/climbs; echo evil > out/climbs/precious");
    work.call("sync pull", &["out", "hostile", "--links", "keep"]).succeeds();
    fs::remove_dir_all(home.home().join("hostile/target")).unwrap();
    symlink(&outside, home.home().join("hostile/target")).unwrap();
    let through = work.call("sync pull", &["out", "hostile", "--links", "keep"]);
    assert!(through.code() < 2, "{through:?}");
    assert_same(&tree(&outside), &precious);
    let quota = work.exec("head -c 3M /dev/zero > out/large");
    quota.succeeds();
    let large = work.call("sync pull", &["out", "small", "--links", "keep", "--max-mib", "1"]);
    assert!(large.code() == 1 && large.stderr().contains("(limit_exceeded)"), "{large:?}");
    work.call("sync pull", &["nowhere", "small"]).fails_with(1, "path_unsuitable", "nowhere");
}

#[test]
fn two_workspaces_of_one_seed_go_their_own_ways() {
    let home = debian();
    folder(&home, "seed", &["shared.txt"]);
    let [first, second] = ["alpha", "beta"].map(|name| {
        home.workspace("debian:12", &["--name", name, "--label", "team=x", "--seed-path", "seed"])
    });
    first.sh("echo alpha > branch.txt");
    second.sh("echo beta > branch.txt; echo more >> shared.txt");
    second.call("update", &["--label", "owner=beta"]).succeeds();
    assert_eq!(first.sh("cat branch.txt shared.txt"), "alpha\nshared.txt");
    assert_eq!(second.sh("cat branch.txt shared.txt"), "beta\nshared.txtmore");
    first.sh("true");
    let list = home.run(["workspace", "list", "--json"]).succeeds().json();
    let names: Vec<_> =
        list["workspaces"].as_array().unwrap().iter().map(|record| record["name"].clone()).collect();
    assert_eq!(names, ["alpha", "beta"], "the last used is the first");
    assert_eq!(second.status()["labels"], serde_json::json!({"team": "x", "owner": "beta"}));
}
