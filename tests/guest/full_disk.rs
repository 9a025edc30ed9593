//! The host's own disk is full: an error that says so, names the place, and leaves nothing half-made.

use crate::debian;
use crate::empty_sandbox;
use pyro_testkit::Outcome;
use pyro_testkit::Sandbox;
use serde_json::Value;
use std::fs;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Read as _;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

/// The program in a mount namespace of its own, where a small memory file system is mounted on `folder`. What is below it
/// afterwards is listed on standard output.
fn on_small_disk(home: &Sandbox, folder: &Path, size: &str, args: &[&str]) -> Outcome {
    fs::create_dir_all(folder).unwrap();
    let program = home.pyro(args);
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
    command.arg("mount -t tmpfs -o mode=700,size=$0 tmpfs \"$1\" && shift && \"$@\"; code=$?; find . -type f -size +0; exit $code");
    command.arg(size).arg(folder).arg(program.get_program()).args(args);
    for (name, value) in program.get_envs() {
        command.env(name, value.unwrap());
    }
    Outcome::of(command.current_dir(folder).stdin(Stdio::null()))
}

/// A mount namespace in which the state folder is a small file system, for as long as this lives.
struct SmallState<'a> {
    home: &'a Sandbox,
    holder: Child,
}

/// What is left free of it by [`SmallState::fill`].
const LEFT_BYTES: u64 = 8 << 20;

impl<'a> SmallState<'a> {
    fn new(home: &'a Sandbox, size: &str) -> Self {
        fs::create_dir_all(home.state()).unwrap();
        let script = "mount -t tmpfs -o mode=700,size=$0 tmpfs \"$1\" && echo mounted && exec cat";
        let mut holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", script, size])
            .arg(home.state())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = [0; 8];
        holder.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
        assert_eq!(&line, b"mounted\n");
        Self { home, holder }
    }

    /// A program in it.
    fn command(&self, program: &str, args: &[&str]) -> Command {
        let pyro = self.home.pyro([""; 0]);
        let mut command = Command::new("nsenter");
        command.args(["--user", "--mount", "--preserve-credentials", "-t"]).arg(self.holder.id().to_string());
        command.arg(program).args(args).current_dir(self.home.home()).stdin(Stdio::null());
        for (name, value) in pyro.get_envs() {
            command.env(name, value.unwrap());
        }
        command
    }

    fn pyro(&self, args: &[&str]) -> Command {
        let pyro = self.home.pyro([""; 0]);
        self.command(pyro.get_program().to_str().unwrap(), args)
    }

    fn run(&self, args: &[&str]) -> Outcome {
        Outcome::of(&mut self.pyro(args))
    }

    fn status(&self, name: &str) -> Value {
        self.run(&["workspace", "status", name, "--json"]).succeeds().json()
    }

    /// Takes all room but for a little.
    fn fill(&self) {
        let script = "cd \"$PYRO_STATE_DIR\" && free=$(df --output=avail -B1 . | tail -n 1) && \
                      fallocate -l $((free - $0)) ballast";
        Outcome::of(&mut self.command("sh", &["-c", script, &LEFT_BYTES.to_string()])).succeeds();
    }

    fn make_room(&self) {
        Outcome::of(&mut self.command("sh", &["-c", "rm \"$PYRO_STATE_DIR/ballast\""])).succeeds();
    }
}

impl Drop for SmallState<'_> {
    fn drop(&mut self) {
        let _ = self.run(&["workspace", "delete", "--all"]);
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

/// What a command's client says on standard error meanwhile.
const WAITS: &str =
    "[pyro] the host's disk is full: the guest waits until there is room for what it writes\n";
const GOES_ON: &str = "[pyro] there is room again, and the guest goes on\n";

/// A guest that finds no room on the host stands still, which everybody is told who asks; it goes on when there is room, and has
/// lost nothing.
#[test]
fn a_workspace_waits_for_room_and_loses_nothing() {
    let home = debian();
    let small = SmallState::new(&home, "256m");
    small.run(&["workspace", "create", "debian:12", "--name", "box"]).succeeds();
    let exec = |script: &str| small.run(&["exec", "box", "--timeout-seconds", "600", "--", script]);
    exec("echo acknowledged > before").succeeds();
    assert_eq!(small.status("box")["blocked"], Value::Null);
    let mut events = small.pyro(&["events", "--follow", "--json-lines"]);
    let mut events = events.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(events.stdout.take().unwrap()).lines();
    let mut wait_for = |kind: &str| while !lines.next().unwrap().unwrap().contains(kind) {};

    small.fill();
    let sleeps = small.pyro(&["exec", "box", "--timeout-seconds", "0", "--", "echo begun; sleep 1000"]);
    let mut sleeps = begin(sleeps);
    let mut wait = [0; 6];
    sleeps.stdout.as_mut().unwrap().read_exact(&mut wait).unwrap();
    // Far more than there is room for, and known to the last byte.
    let script = "yes 0123456789abcde | head -c 50331648 > large && sync && sha256sum < large";
    let writer = begin(small.pyro(&["exec", "box", "--timeout-seconds", "600", "--", script]));
    wait_for("workspace_blocked");
    let status = small.status("box");
    assert_eq!((&status["state"], &status["blocked"]["reason"]), (&"started".into(), &"disk_full".into()));
    assert!(status["blocked"]["since"].is_f64(), "{status}");
    // What needs the guest is refused, and says why and what to do.
    let refused = exec("true").fails_with(125, "disk_full", "waits for room");
    assert!(refused.stderr().contains("free some space there"), "{refused:?}");
    small.run(&["workspace", "file", "read", "box", "before"]).fails_with(1, "disk_full", "waits for room");
    small.run(&["workspace", "snapshot", "create", "box", "one"]).fails_with(1, "disk_full", "full");
    small.run(&["workspace", "pause", "box"]).fails_with(1, "disk_full", "full");
    // A client that is to end does, although the guest hears nothing of it.
    let pid = rustix::process::Pid::from_raw(i32::try_from(sleeps.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let slept = Outcome::from_output("sleep", sleeps.wait_with_output().unwrap()).ends_with(143);
    assert_eq!(slept.stderr().matches(WAITS).count(), 1, "{slept:?}");
    assert!(small.status("box")["blocked"].is_object(), "it went on without room");

    small.make_room();
    wait_for("workspace_unblocked");
    let written = Outcome::from_output("the writer", writer.wait_with_output().unwrap()).succeeds();
    let expected = exec("yes 0123456789abcde | head -c 50331648 | sha256sum").succeeds();
    assert_eq!(written.stdout(), expected.stdout());
    // It says by itself, once, that it waits, and that it goes on.
    let told = written.stderr();
    assert_eq!((told.matches(WAITS).count(), told.matches(GOES_ON).count()), (1, 1), "{told}");
    assert!(told.find(WAITS) < told.find(GOES_ON));
    assert_eq!(small.status("box")["blocked"], Value::Null);
    // From the disk, and not from what the guest remembers of it.
    small.run(&["stop", "box"]).succeeds();
    small.run(&["start", "box"]).succeeds();
    let read = exec("cat before; sha256sum < large").succeeds();
    assert_eq!(read.stdout(), format!("acknowledged\n{}", expected.stdout()));
    events.kill().unwrap();
    events.wait().unwrap();
}

fn begin(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_run_that_finds_no_room_in_its_time_says_so() {
    let home = debian();
    let small = SmallState::new(&home, "24m");
    let script = "dd if=/dev/zero of=large bs=1M count=64 oflag=direct";
    let run = small.run(&["run", "debian:12", "--timeout-seconds", "5", "--", script]);
    let run = run.fails_with(125, "disk_full", "host's disk is full");
    assert!(run.stderr().contains("the guest waits until there is room"), "{run:?}");
}

#[test]
fn an_environment_that_does_not_fit_is_not_begun() {
    let home = empty_sandbox();
    let cache = home.cache().to_owned();
    let pull = on_small_disk(&home, &cache, "100m", &["env", "pull", "debian:12"]);
    let pull = pull.fails_with(1, "disk_full", "MiB needed");
    assert_eq!(pull.stdout(), "", "something is left");
}

#[test]
fn a_guest_whose_disk_finds_no_room_is_not_started() {
    let home = debian();
    let state = home.state();
    let run = on_small_disk(&home, &state, "64k", &["run", "debian:12", "--", "true"]);
    let run = run.fails_with(125, "disk_full", "state");
    assert_eq!(run.stdout(), "", "something is left");
    home.run(["run", "debian:12", "--", "true"]).succeeds();
}
