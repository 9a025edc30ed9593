//! Templates: the first start makes one, later ones are restored from it, and nothing that happens to one makes a start fail.

use crate::linked_sandbox;
use pyro_testkit::Appearance;
use pyro_testkit::Outcome;
use pyro_testkit::Sandbox;
use pyro_testkit::processes;
use pyro_testkit::sandbox::files_below;
use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process;
use serde_json::Value;
use std::fs;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Stdio;

/// The smallest guest: its templates are made soonest.
const RUN: [&str; 4] = ["run", "--mem-mib", "256", "debian:12"];

/// Such a run, with more flags.
fn run_with(home: &Sandbox, flags: &[&str], script: &str) -> Outcome {
    home.run([&RUN[..], flags, &["--", script]].concat())
}

/// How such a run's guest came up.
fn started_by(home: &Sandbox, flags: &[&str]) -> String {
    let flags: Vec<&str> = flags.iter().chain(&["--json"]).copied().collect();
    let document = run_with(home, &flags, "echo up").succeeds().json();
    assert_eq!(document["stdout"], "up\n");
    document["started_by"].as_str().unwrap().to_owned()
}

/// The templates that `env inspect` shows.
fn shown(home: &Sandbox) -> Vec<Value> {
    let detail = home.run(["env", "inspect", "debian:12", "--json"]).succeeds().json();
    detail["templates"].as_array().unwrap().clone()
}

/// The one template's folder.
fn only(home: &Sandbox) -> PathBuf {
    let shown = shown(home);
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert_eq!(shown[0]["whole"], true, "{shown:?}");
    PathBuf::from(shown[0]["dir"].as_str().unwrap())
}

/// Fails when an unfinished template is left.
fn assert_nothing_partial(home: &Sandbox) {
    let entries = fs::read_dir(home.templates()).unwrap().map(|entry| entry.unwrap().file_name());
    let partial: Vec<_> = entries.filter(|name| name.to_string_lossy().starts_with("partial-")).collect();
    assert!(partial.is_empty(), "{partial:?}");
}

#[test]
fn the_first_start_makes_the_template_and_later_ones_are_restored() {
    let home = linked_sandbox();
    assert!(shown(&home).is_empty());
    let first = run_with(&home, &[], "echo up").succeeds();
    assert!(first.stderr().contains("[run] phase=template environment=debian:12\n"), "{first:?}");
    let folder = only(&home);
    let second = run_with(&home, &[], "echo up").succeeds();
    assert!(!second.stderr().contains("phase=template"), "{second:?}");
    assert_eq!(started_by(&home, &[]), "restore");
    assert_eq!(started_by(&home, &["--no-template"]), "boot");
    assert_eq!(only(&home), folder);
    // Another size is another machine.
    assert_eq!(started_by(&home, &["--disk-mib", "64"]), "restore");
    let sizes: Vec<_> = shown(&home).iter().map(|template| template["disk_mib"].as_u64().unwrap()).collect();
    assert!(sizes.len() == 2 && sizes.contains(&64) && sizes.contains(&8192), "{sizes:?}");
    let text = home.run(["env", "inspect", "debian:12"]).succeeds().stdout();
    assert_eq!(text.lines().filter(|line| line.starts_with("Template: ")).count(), 2, "{text}");
    home.assert_nothing_left();
}

#[test]
fn the_least_recently_used_go_when_room_is_needed() {
    let home = linked_sandbox();
    for disk in ["64", "65"] {
        run_with(&home, &["--disk-mib", disk], "true").succeeds();
    }
    // The older one is the one that was used last.
    run_with(&home, &["--disk-mib", "64"], "true").succeeds();
    let size_mib = |template: &Value| template["disk_bytes"].as_u64().unwrap() / (1024 * 1024);
    let cap_mib = shown(&home).iter().map(size_mib).max().unwrap() + 1;
    let args = [&RUN[..], &["--disk-mib", "66", "--", "true"]].concat();
    let mut third = home.pyro(args);
    Outcome::of(third.env("PYRO_TEMPLATE_CACHE_MIB", cap_mib.to_string())).succeeds();
    let mut sizes: Vec<_> =
        shown(&home).iter().map(|template| template["disk_mib"].as_u64().unwrap()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [64, 66], "the cap is {cap_mib} MiB");
}

/// A run that waits in its guest for its standard input to end.
fn waiting(home: &Sandbox) -> Child {
    let mut child = home
        .pyro([&RUN[..], &["--timeout-seconds", "1000", "--", "echo begun; cat"]].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "begun");
    child
}

#[test]
fn pruning_removes_templates_of_what_is_gone_and_never_one_in_use() {
    let home = linked_sandbox();
    let mut user = waiting(&home);
    let folder = only(&home);
    for garbage in ["partial-00000000000000000000000000000000", "11111111111111111111111111111111"] {
        fs::create_dir(home.templates().join(garbage)).unwrap();
        fs::write(home.templates().join(garbage).join("memory"), "x").unwrap();
    }
    // Whoever removes the environment by hand leaves a template of nothing.
    fs::remove_dir_all(home.cache().join("environments")).unwrap();
    let prune = home.run(["env", "prune", "--json"]).succeeds().json();
    assert_eq!(prune["deleted_template_dirs"].as_array().unwrap().len(), 2, "{prune}");
    assert!(folder.join("memory").exists(), "it is in use");
    drop(user.stdin.take());
    assert!(user.wait().unwrap().success());
    let prune = home.run(["env", "prune", "--json"]).succeeds().json();
    assert_eq!(prune["deleted_template_dirs"][0], folder.to_str().unwrap(), "{prune}");
    assert!(!folder.exists());
}

fn cut_memory(folder: &Path) {
    let memory = fs::OpenOptions::new().write(true).open(folder.join("memory")).unwrap();
    let size = memory.metadata().unwrap().len();
    memory.set_len(size / 2).unwrap();
}

/// One bit, and the stamp as it was: what a failing disk does.
fn flip_state(folder: &Path) {
    let state = fs::OpenOptions::new().read(true).write(true).open(folder.join("state")).unwrap();
    let metadata = state.metadata().unwrap();
    let (middle, mut byte) = (metadata.len() / 2, [0]);
    state.read_exact_at(&mut byte, middle).unwrap();
    state.write_all_at(&[byte[0] ^ 1], middle).unwrap();
    state.set_modified(metadata.modified().unwrap()).unwrap();
}

fn lose_disk(folder: &Path) {
    fs::remove_file(folder.join("rw.ext4")).unwrap();
}

fn garble_document(folder: &Path) {
    fs::write(folder.join("template.json"), b"{\"schema\": 1, \xff\xfe").unwrap();
}

fn foreign_document(folder: &Path) {
    let path = folder.join("template.json");
    let mut document: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    document["schema"] = 4_000_000.into();
    fs::write(&path, document.to_string()).unwrap();
}

/// A guest lives from the template when it is damaged: it goes on, and later ones get a new template beside it.
#[test]
fn a_damaged_template_in_use_is_set_aside() {
    let home = linked_sandbox();
    let mut user = waiting(&home);
    garble_document(&only(&home));
    assert_eq!(started_by(&home, &[]), "restore");
    drop(user.stdin.take());
    assert!(user.wait().unwrap().success());
    assert_eq!(started_by(&home, &[]), "restore");
    only(&home);
    assert_nothing_partial(&home);
}

/// A document that is right about files which are not what the engine wants: only a restore finds that out.
fn plausible_nonsense(folder: &Path) {
    let state = folder.join("state");
    fs::write(&state, "nonsense").unwrap();
    let path = folder.join("template.json");
    let mut document: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let sum = std::process::Command::new("sha256sum").arg(&state).output().unwrap();
    document["state_sha256"] = String::from_utf8(sum.stdout).unwrap()[..64].into();
    let metadata = fs::metadata(&state).unwrap();
    use std::os::unix::fs::MetadataExt as _;
    let stamp = document["files"].as_array_mut().unwrap().iter_mut().find(|stamp| stamp["name"] == "state");
    let stamp = stamp.unwrap();
    stamp["size_bytes"] = metadata.len().into();
    stamp["inode"] = metadata.ino().into();
    stamp["mtime_s"] = metadata.mtime().into();
    stamp["mtime_ns"] = metadata.mtime_nsec().into();
    fs::write(&path, document.to_string()).unwrap();
}

/// How a template is damaged, by name.
type Damage = (&'static str, fn(&Path));

#[test]
fn a_damaged_template_is_made_again_and_no_start_fails() {
    const DAMAGES: [Damage; 6] = [
        ("memory cut short", cut_memory),
        ("a bit of the state flipped", flip_state),
        ("the disk missing", lose_disk),
        ("a document that is no JSON", garble_document),
        ("a document of another schema", foreign_document),
        ("a state the engine refuses", plausible_nonsense),
    ];
    let home = linked_sandbox();
    run_with(&home, &[], "true").succeeds();
    for (name, damage) in DAMAGES {
        damage(&only(&home));
        let run = run_with(&home, &[], "echo up").succeeds();
        assert_eq!(run.stdout(), "up\n", "{name}");
        // At the latest this one makes it again.
        assert_eq!(started_by(&home, &[]), "restore", "{name}");
        only(&home);
        assert_nothing_partial(&home);
    }
    home.assert_nothing_left();
}

#[test]
fn two_first_starts_at_once_share_one_template() {
    let home = linked_sandbox();
    let start = || {
        home.pyro([&RUN[..], &["--", "hostname"]].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let children = [start(), start(), start()];
    let mut names: Vec<String> = children
        .map(|child| {
            Outcome::from_output("one of three", child.wait_with_output().unwrap()).succeeds().stdout()
        })
        .to_vec();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 3, "{names:?}");
    only(&home);
    assert_nothing_partial(&home);
    home.assert_nothing_left();
}

/// What a run is told is not in the template that it made, nor in the one that it was restored from.
#[test]
fn a_template_holds_no_secret_and_no_history() {
    // In two parts, so that it is found nowhere but where pyro put it.
    let secret = ["planted-secret", "of-this-test"].join("-");
    let home = linked_sandbox();
    let variable = format!("TOKEN={secret}");
    let script = "echo $TOKEN > /workspace/token; echo $TOKEN > /root/.bash_history; sync";
    for _ in 0..2 {
        run_with(&home, &["--env", &variable, "--disk-mib", "64"], script).succeeds();
    }
    let files = files_below(&only(&home));
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let found = std::process::Command::new("grep").args(["-acF", &secret]).arg(&file).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&found.stdout).trim(), "0", "the secret is in {}", file.display());
    }
    let next = run_with(&home, &["--disk-mib", "64"], "ls -A /workspace; ls -A /root").succeeds();
    assert!(!next.stdout().contains("token") && !next.stdout().contains("history"), "{next:?}");
}

/// A template is frozen in its own time: a guest restored an hour later has the hour it lives in.
#[test]
fn the_clock_is_right_whenever_the_template_was_made() {
    let home = linked_sandbox();
    let library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
    assert!(Path::new(library).exists(), "the package libfaketime is missing");
    let script = "date +%s";
    let mut builder = home.pyro([&RUN[..], &["--", script]].concat());
    builder.env("LD_PRELOAD", library).env("FAKETIME", "-1h");
    // The files' times are the disk's, and time-outs are counted as they pass.
    builder.env("NO_FAKE_STAT", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1");
    let seconds = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let first = Outcome::of(&mut builder).succeeds();
    let old: u64 = first.stdout().trim().parse().unwrap();
    assert!(old < seconds() - 3000, "the host's time was not faked: {first:?}");
    let template = only(&home);
    let before = seconds();
    let run = run_with(&home, &[], script).succeeds();
    let guest: u64 = run.stdout().trim().parse().unwrap();
    assert!((before..=seconds() + 1).contains(&guest), "host {before}, guest {guest}");
    assert!(!run.stderr().contains("phase=template"), "it must be the old template: {run:?}");
    assert_eq!(only(&home), template);
}

/// The program is killed in the moment in which each file of a new template appears.
#[test]
fn killing_the_builder_at_any_step_leaves_nothing() {
    let home = linked_sandbox();
    for step in ["partial-", "memory", "rw.ext4", "state", "template.json"] {
        let appearance = Appearance::below(&home.templates());
        let args = [&RUN[..], &["--", "true"]].concat();
        let mut builder = home.pyro(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let found = appearance.wait_for(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            let is_built = path.to_string_lossy().contains("/partial-");
            is_built && (name == step || name.starts_with("partial-") && step == "partial-")
        });
        builder.kill().unwrap();
        builder.wait().unwrap();
        processes::wait_until_none_uses(home.home());
        let prune = home.run(["env", "prune"]).succeeds();
        assert!(!found.exists(), "{step}: {prune:?}");
        assert_nothing_partial(&home);
        // The last of them may have got its name before it was killed.
        for left in shown(&home) {
            assert_eq!(left["whole"], true, "{step}");
            fs::remove_dir_all(left["dir"].as_str().unwrap()).unwrap();
        }
        home.assert_nothing_left();
    }
    // What is left unfinished is also removed by the next start itself.
    let unfinished = home.templates().join("partial-00000000000000000000000000000000");
    fs::create_dir(&unfinished).unwrap();
    fs::File::create(unfinished.join("memory")).unwrap().write_all(b"x").unwrap();
    assert_eq!(started_by(&home, &[]), "restore");
    assert!(!unfinished.exists());
    only(&home);
    home.assert_nothing_left();
}

/// A run that makes the template and whose engine is killed while it saves it; nothing if that was over already.
fn killed_while_it_saves(home: &Sandbox) -> Option<Outcome> {
    let appearance = Appearance::below(&home.templates());
    let args = [&RUN[..], &["--", "echo up"]].concat();
    let builder = home.pyro(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    appearance.wait_for(|path| path.ends_with("rw.ext4"));
    // While the program stands still its engine can be found and ended in peace.
    let pid = Pid::from_raw(i32::try_from(builder.id()).unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    let users = processes::using(home.home());
    let engine = users.iter().find(|user| user.command.contains("qemu-system"));
    if let Some(engine) = engine {
        kill_process(Pid::from_raw(engine.pid).unwrap(), Signal::KILL).unwrap();
    }
    kill_process(pid, Signal::CONT).unwrap();
    let run = Outcome::from_output("echo up", builder.wait_with_output().unwrap()).succeeds();
    if run.stderr().contains("starting without a template") {
        return Some(run);
    }
    for template in shown(home) {
        fs::remove_dir_all(template["dir"].as_str().unwrap()).unwrap();
    }
    None
}

/// The engine dies while it saves the template's guest: the start boots a guest of its own, and the next one tries again.
#[test]
fn a_template_that_cannot_be_saved_is_done_without() {
    let home = linked_sandbox();
    // A busy host may notice the save only once it is over; then there is nothing to kill, and another try.
    let run = std::iter::repeat_with(|| killed_while_it_saves(&home)).take(20).flatten().next().unwrap();
    assert_eq!(run.stdout(), "up\n");
    assert!(run.stderr().contains("starting without a template: saving the template's guest"), "{run:?}");
    assert_nothing_partial(&home);
    home.assert_nothing_left();
    assert_eq!(started_by(&home, &[]), "restore");
}

#[test]
fn where_no_template_can_be_kept_guests_are_booted() {
    let home = linked_sandbox();
    fs::write(home.templates(), "in the way").unwrap();
    let run = run_with(&home, &["--json"], "echo up").succeeds();
    assert_eq!(run.json()["started_by"], "boot");
    assert!(run.stderr().contains("starting without a template: "), "{run:?}");
    assert!(run.stderr().contains(home.templates().to_str().unwrap()), "{run:?}");
    home.assert_nothing_left();
}

/// `pyro gc` removes what killed processes have left, wherever it is, and nothing that is needed.
#[test]
fn collecting_garbage_removes_what_nobody_needs() {
    let home = linked_sandbox();
    run_with(&home, &[], "true").succeeds();
    let folder = only(&home);
    let left = [home.state().join("scratch/fork-left"), home.templates().join("partial-left")];
    for path in &left {
        fs::create_dir(path).unwrap();
        fs::write(path.join("memory"), "x").unwrap();
    }
    let report = home.run(["gc", "--json"]).succeeds().json();
    assert_eq!(report["deleted_scratch_count"], 1, "{report}");
    assert_eq!(report["deleted_template_dirs"].as_array().unwrap().len(), 1, "{report}");
    assert!(left.iter().all(|path| !path.exists()));
    assert_eq!(only(&home), folder);
    assert_eq!(started_by(&home, &[]), "restore");
}

/// `env pull` makes the template that the first run needs.
#[test]
fn pulling_makes_the_first_run_quick() {
    let home = linked_sandbox();
    let pull = home.run(["env", "pull", "debian:12", "--json"]).succeeds();
    assert!(pull.json()["template_ms"].as_u64().is_some(), "{pull:?}");
    let run = home.run(["run", "debian:12", "--", "git", "--version"]).succeeds();
    assert!(!run.stderr().contains("phase=template"), "{run:?}");
    assert!(run.stdout().starts_with("git version"), "{run:?}");
}
