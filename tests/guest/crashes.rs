//! Processes of a workspace are killed at bad moments: what was acknowledged is there afterwards, nothing is left over, and
//! the next command says what happened.

use crate::debian;
use crate::jobs::is_gone;
use pyro_testkit::Appearance;
use pyro_testkit::Outcome;
use pyro_testkit::Sandbox;
use pyro_testkit::Workspace;
use pyro_testkit::processes;
use rustix::process::Pid;
use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Read as _;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Stdio;

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Client,
    Supervisor,
    Engine,
}

/// When.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Idle,
    Exec,
    Snapshot,
    MemorySnapshot,
    Reset,
    Stop,
    Pause,
    Fork,
    SnapshotDelete,
    Pack,
    Write,
    Patch,
    Push,
}

use Moment::Exec;
use Moment::Fork;
use Moment::Idle;
use Moment::MemorySnapshot;
use Moment::Pack;
use Moment::Patch;
use Moment::Pause;
use Moment::Push;
use Moment::Reset;
use Moment::Snapshot;
use Moment::SnapshotDelete;
use Moment::Stop;
use Moment::Write;
use Victim::Client;
use Victim::Engine;
use Victim::Supervisor;

/// The moments at which there is something to kill, whoever it is.
const MOMENTS: [Moment; 13] = [
    Idle,
    Exec,
    Snapshot,
    MemorySnapshot,
    Reset,
    Stop,
    Pause,
    Fork,
    SnapshotDelete,
    Pack,
    Write,
    Patch,
    Push,
];

/// Files of a push and of a patch.
const FILES: usize = 300;

fn kill(pid: i32) {
    // It may have ended by itself in the meantime.
    let _ = rustix::process::kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
}

fn folder(home: &Sandbox, work: &Workspace<'_>) -> PathBuf {
    home.state().join("workspaces").join(work.id())
}

#[test]
fn what_was_acknowledged_is_there_after_a_client_is_killed() {
    // Idle there is none.
    kill_at(Client, &MOMENTS[1..]);
}

#[test]
fn what_was_acknowledged_is_there_after_a_supervisor_is_killed() {
    kill_at(Supervisor, &MOMENTS);
}

#[test]
fn a_guest_that_stands_still_is_not_waited_for_and_goes_on() {
    let home = debian();
    let work = home.workspace("debian:12", &[]);
    let engine = Pid::from_raw(work.pid("engine_pid")).unwrap();
    rustix::process::kill_process(engine, Signal::STOP).unwrap();
    let hung = work.call("exec", &["--timeout-seconds", "1", "--", "echo late > late"]);
    hung.fails_with(125, "guest_hung", "does not answer");
    rustix::process::kill_process(engine, Signal::CONT).unwrap();
    // What nobody waits for any more was ended, and the next command is answered.
    assert_eq!(work.sh("echo on"), "on");
}

#[test]
fn a_supervisor_that_hangs_is_killed_by_whoever_stops_or_deletes() {
    let home = debian();
    let work = home.workspace("debian:12", &[]);
    work.sh("echo data > file");
    let hang = || {
        let pids = [work.pid("supervisor_pid"), work.pid("engine_pid")];
        let pidfds: Vec<_> = pids.iter().filter_map(|pid| processes::open(*pid)).collect();
        rustix::process::kill_process(Pid::from_raw(pids[0]).unwrap(), Signal::STOP).unwrap();
        pidfds
    };
    let pidfds = hang();
    let stopped = work.call("stop", &["--timeout-seconds", "0", "--json"]).succeeds().json();
    assert_eq!((&stopped["state"], &stopped["stop_reason"]), (&"stopped".into(), &"guest_lost".into()));
    assert!(stopped["warning"].as_str().unwrap().contains("did not answer"), "{stopped}");
    assert!(pidfds.len() == 2 && pidfds.iter().all(processes::ended), "a process stays");
    work.call("start", &[]).succeeds();
    assert_eq!(work.sh("cat file"), "data");

    let pidfds = hang();
    work.call("delete", &[]).succeeds();
    assert!(pidfds.len() == 2 && pidfds.iter().all(processes::ended), "a process stays");
    assert_eq!(fs::read_dir(home.state().join("workspaces")).unwrap().count(), 0);
}

#[test]
fn what_was_acknowledged_is_there_after_an_engine_is_killed() {
    kill_at(Engine, &MOMENTS);
}

fn kill_at(victim: Victim, moments: &[Moment]) {
    let home = debian();
    let work = home.workspace("debian:12", &[]);
    let mut acknowledged = Vec::new();
    for (number, moment) in moments.iter().copied().enumerate() {
        work.sh(&format!("echo {number} > {number}"));
        acknowledged.push(number.to_string());
        // What a reset goes back to.
        work.call("snapshot create", &["base"]).succeeds();
        let pids = [work.pid("supervisor_pid"), work.pid("engine_pid")];
        let pidfds: Vec<_> = pids.iter().filter_map(|pid| processes::open(*pid)).collect();

        let mut client = begin(&home, &work, moment);
        match (victim, &client) {
            (Client, Some(client)) => kill(i32::try_from(client.id()).unwrap()),
            (Client, None) => panic!("there is no client"),
            (Supervisor, _) => kill(pids[0]),
            (Engine, _) => kill(pids[1]),
        }
        let told =
            client.take().map(|client| Outcome::from_output("client", client.wait_with_output().unwrap()));
        if victim != Client {
            assert!(pidfds.iter().all(processes::ended), "a process stays");
            let status = work.status();
            let state = status["state"].as_str().unwrap();
            // A pause, a stop or a reset may have been done before the signal came.
            match moment {
                Reset if victim == Engine => {}
                Stop | Pause => assert!(["stopped", "suspended"].contains(&state), "{status}"),
                _ => {
                    assert_eq!(
                        (state, &status["stop_reason"]),
                        ("stopped", &"guest_lost".into()),
                        "{told:?}"
                    );
                    work.exec("true").fails_with(125, "workspace_not_running", "killed");
                }
            }
        }
        if moment == Exec && victim != Client {
            assert_eq!(told.as_ref().unwrap().code(), 125);
        }
        let is_acknowledged = told.is_some_and(|told| told.code() == 0);
        work.call("start", &[]).succeeds();
        let expected = acknowledged.iter().map(|name| format!("{name}:{name}\n")).collect::<String>();
        // A guest that goes on brings to its end what nobody waits for any more.
        work.sh("while ls -d .pyro-stage-* >/dev/null 2>&1; do sleep 0.1; done");
        let found = work.sh("for n in $(ls -A | grep -v tree | sort -n); do echo $n:$(cat $n); done");
        assert_eq!(found, expected.trim_end(), "after {victim:?} {moment:?}");
        // A command whose client is gone has a moment between TERM and KILL.
        is_gone(&work, "sleep 1007");
        assert_whole(&home, &work, moment, is_acknowledged, acknowledged.len());
        assert_eq!(home.run(["ps", "--json"]).succeeds().json()["count"], 1);
        work.call("snapshot delete", &["base"]).succeeds();
        assert_no_strays(&folder(&home, &work));
    }
}

/// Begins what the moment is about, and returns in the midst of it.
fn begin(home: &Sandbox, work: &Workspace<'_>, moment: Moment) -> Option<Child> {
    let folder = folder(home, work);
    let spawn = |words: &str, rest: &[&str]| {
        let mut command = work.command(words, rest);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let said = |child: &mut Child, expected: &[u8]| {
        let mut first = vec![0; expected.len()];
        child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
        assert_eq!(first, expected);
    };
    let exec = |script: &str| spawn("exec", &["--timeout-seconds", "0", "--", script]);
    match moment {
        Idle => None,
        Exec => {
            let mut child = exec("echo begun; sleep 1007");
            said(&mut child, b"begun\n");
            Some(child)
        }
        Snapshot | MemorySnapshot => {
            let watch = Appearance::below(&folder.join("snapshots"));
            let flags: &[&str] = if moment == Snapshot { &["new"] } else { &["new", "--memory"] };
            let child = spawn("snapshot create", flags);
            watch.wait_for(|path| path.ends_with(".partial-new") || path.ends_with("new"));
            Some(child)
        }
        Reset => {
            let before = names(&folder.join("layers"));
            let watch = Appearance::below(&folder.join("layers"));
            let child = spawn("reset", &["--snapshot", "base"]);
            watch
                .wait_for(|path| !before.contains(&path.file_name().unwrap().to_string_lossy().into_owned()));
            Some(child)
        }
        Stop => {
            // The guest has something to wait for.
            work.call("exec", &["--detach", "--", "trap '' TERM; while :; do sleep 0.1; done"]).succeeds();
            let so_far = home.run(["events", "--json"]).succeeds().json();
            let so_far = so_far["events"].as_array().unwrap().iter();
            let so_far = so_far.filter(|event| event["event"] == "workspace_stopping").count();
            let mut events = home.events();
            let child = spawn("stop", &["--timeout-seconds", "20"]);
            for _ in 0..=so_far {
                events.wait_for("workspace_stopping");
            }
            Some(child)
        }
        Fork => {
            let all = folder.parent().unwrap();
            let watch = Appearance::below(all);
            let child = spawn("fork", &["--count", "2"]);
            let is_other = |path: &Path| path.parent() == Some(all) && path.is_dir() && path != folder;
            watch.wait_for(is_other);
            Some(child)
        }
        SnapshotDelete => {
            work.call("snapshot create", &["doomed"]).succeeds();
            // At whatever moment it is: nothing of it can be seen that stays.
            Some(spawn("snapshot delete", &["doomed"]))
        }
        Pack => {
            let before = names(&folder.join("layers"));
            let watch = Appearance::below(&folder.join("layers"));
            let child = spawn("pack", &["--memory", "--output", "pack"]);
            watch
                .wait_for(|path| !before.contains(&path.file_name().unwrap().to_string_lossy().into_owned()));
            Some(child)
        }
        Write => {
            let at_moment = in_guest(
                work,
                "until ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q '/workspace/tree/#'; do :; done",
            );
            let mut command = work.command("file write", &["tree/file", "--stdin"]);
            let mut child =
                command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let mut input = child.stdin.take().unwrap();
            input.write_all(&vec![b'x'; 1 << 20]).unwrap();
            at_moment();
            // It ends when there is nobody to take more.
            std::thread::spawn(move || while input.write_all(&[b'x'; 4096]).is_ok() {});
            Some(child)
        }
        Patch | Push => {
            let at_moment =
                in_guest(work, "until ls -d .pyro-stage-* tree 2>/dev/null | grep -q .; do :; done");
            let child = if moment == Patch {
                let file = |number| format!("--- /dev/null\n+++ b/tree/{number}\n@@ -0,0 +1 @@\n+{number}\n");
                let patch: String = (0..FILES).map(file).collect();
                fs::write(home.home().join("patch"), patch).unwrap();
                spawn("patch apply", &["--patch-file", "patch"])
            } else {
                let tree = home.home().join("source/tree");
                fs::create_dir_all(&tree).unwrap();
                (0..FILES).for_each(|number| fs::write(tree.join(number.to_string()), "pushed").unwrap());
                spawn("sync push", &["source"])
            };
            at_moment();
            Some(child)
        }
        Pause => {
            let watch = Appearance::below(&folder);
            let child = spawn("pause", &[]);
            watch.wait_for(|path| path.ends_with("suspended"));
            Some(child)
        }
    }
}

/// Fails unless what was asked for is there, if that was acknowledged, and whole or gone if not. Removes it.
fn assert_whole(home: &Sandbox, work: &Workspace<'_>, moment: Moment, is_acknowledged: bool, files: usize) {
    let snapshots = |name: &str| work.call("snapshot show", &[name, "--json"]);
    match moment {
        Snapshot | MemorySnapshot => {
            let new = snapshots("new");
            if is_acknowledged || new.code() == 0 {
                assert_eq!(new.succeeds().json()["snapshot"]["entry_count"], files, "{moment:?}");
                work.call("snapshot delete", &["new"]).succeeds();
            }
        }
        SnapshotDelete => {
            let doomed = snapshots("doomed");
            if is_acknowledged {
                assert_eq!(doomed.ends_with(1).json()["code"], "snapshot_unknown");
            } else if doomed.code() == 0 {
                work.call("snapshot delete", &["doomed"]).succeeds();
            }
        }
        Fork => {
            // Whoever changes the disk next comes after what is still under way.
            work.call("snapshot create", &["after"]).succeeds();
            work.call("snapshot delete", &["after"]).succeeds();
            let list = home.run(["workspace", "list", "--json"]).succeeds().json();
            let ids = list["workspaces"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one["workspace_id"].as_str().unwrap());
            let children: Vec<&str> = ids.filter(|id| *id != work.id()).collect();
            assert!(!is_acknowledged || children.len() == 2, "{list}");
            for child in children {
                let child = home.adopt(child);
                child.call("start", &[]).succeeds();
                assert_eq!(child.sh("ls | wc -l"), files.to_string());
            }
        }
        Pack => {
            let pack = home.home().join("pack");
            if is_acknowledged {
                let unpacked = home.run(["workspace", "unpack", "pack", "--id-only"]).succeeds();
                drop(home.adopt(unpacked.stdout().trim()));
            }
            // Whoever is killed cannot remove what he was writing.
            let _ = fs::remove_file(pack);
        }
        Write | Patch | Push => {
            let found = work.sh("find tree -type f 2>/dev/null | wc -l; rm -rf tree");
            let whole = if moment == Write { 1 } else { FILES }.to_string();
            assert!(found == whole || (found == "0" && !is_acknowledged), "{moment:?}: {found} files");
        }
        Idle | Exec | Reset | Stop | Pause => {}
    }
}

/// Starts a script in the guest and waits until it says `begun`.
fn in_guest(work: &Workspace<'_>, script: &str) -> impl FnOnce() + use<> {
    let args = ["--timeout-seconds", "0", "--", &format!("echo begun; {script}; echo moment")];
    let mut child = work.command("exec", &args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "begun");
    move || {
        assert_eq!(lines.next().unwrap().unwrap(), "moment");
        std::thread::spawn(move || child.wait());
    }
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

/// Fails when there is a layer that no chain has, or a folder that nobody needs any more.
fn assert_no_strays(folder: &Path) {
    let read = |path: PathBuf| serde_json::from_slice::<Value>(&fs::read(path).unwrap()).unwrap();
    let mut documents = vec![read(folder.join("workspace.json"))];
    for name in names(&folder.join("snapshots")) {
        assert!(!name.starts_with('.'), "{name} is left");
        documents.push(read(folder.join("snapshots").join(name).join("snapshot.json")));
    }
    let chains = documents.iter().flat_map(|document| document["chain"].as_array().unwrap());
    let needed: BTreeSet<String> = chains.map(|layer| layer.as_str().unwrap().to_owned()).collect();
    assert_eq!(names(&folder.join("layers")), needed);
    for name in names(folder) {
        assert!(!name.ends_with(".tmp") && !name.starts_with("suspended"), "{name} is left");
    }
}

#[test]
fn a_workspace_that_is_being_made_is_whole_or_gone() {
    let home = debian();
    home.run(["run", "debian:12", "--", "true"]).succeeds();
    let workspaces = home.state().join("workspaces");
    for moment in ["workspace.json", "layers", "order.json", "control.sock"] {
        for victim in [Client, Supervisor, Engine] {
            let watch = Appearance::below(&workspaces);
            let mut client = home
                .pyro(["workspace", "create", "debian:12", "--ttl-seconds", "0"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            watch.wait_for(|path| path.ends_with(moment));
            match victim {
                Client => client.kill().unwrap(),
                Supervisor => kill_those(&home, &client, "supervise"),
                Engine => kill_those(&home, &client, "qemu"),
            }
            let made = client.wait().unwrap().success();
            let list = || home.run(["workspace", "list", "--json"]).succeeds().json();
            let mut listed = list();
            if !made && listed["workspaces"][0]["state"] != "started" {
                // What it had started ends with it; one that was just finished stays.
                processes::wait_until_none_uses(home.home());
                listed = list();
                assert_eq!(listed["count"], 0, "{victim:?} {moment}: {listed}");
            }
            for record in listed["workspaces"].as_array().unwrap() {
                let work = home.adopt(record["workspace_id"].as_str().unwrap());
                work.call("start", &[]).succeeds();
                work.sh("true");
            }
            assert_eq!(names(&workspaces), BTreeSet::new(), "{victim:?} {moment}");
        }
    }
}

#[test]
fn a_start_that_is_cut_short_loses_nothing() {
    let home = debian();
    let work = home.workspace("debian:12", &[]);
    work.sh("echo data > file");
    let folder = folder(&home, &work);
    for (ends, starts, moment) in [
        ("stop", "start", "order.json"),
        ("stop", "start", "control.sock"),
        ("pause", "resume", "control.sock"),
    ] {
        for victim in [Client, Supervisor, Engine] {
            work.call(ends, &[]).succeeds();
            let _ = fs::remove_file(folder.join(moment));
            let watch = Appearance::below(&folder);
            let mut client =
                work.command(starts, &[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            watch.wait_for(|path| path.ends_with(moment));
            match victim {
                Client => client.kill().unwrap(),
                Supervisor => kill_those(&home, &client, "supervise"),
                Engine => kill_those(&home, &client, "qemu"),
            }
            client.wait().unwrap();
            work.call("start", &[]).succeeds();
            assert_eq!(work.sh("cat file"), "data", "after {victim:?} at {moment} of {starts}");
            assert_eq!(home.run(["ps", "--json"]).succeeds().json()["count"], 1);
            assert_no_strays(&folder);
        }
    }
}

/// Kills the processes of this sandbox whose command line has this word, if there are any yet.
fn kill_those(home: &Sandbox, client: &Child, word: &str) {
    let client = i32::try_from(client.id()).unwrap();
    for user in processes::using(home.home()) {
        if user.pid != client && user.command.contains(word) {
            kill(user.pid);
        }
    }
}
