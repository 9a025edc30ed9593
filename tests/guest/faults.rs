//! Processes are killed at bad moments: nothing is left running, nothing is left on disk, and the next command works.

use crate::begun;
use crate::debian;
use pyro_testkit::Sandbox;
use pyro_testkit::processes;
use rustix::process::Pid;
use rustix::process::Signal;
use std::io::BufRead as _;
use std::io::BufReader;
use std::process::Child;
use std::process::Stdio;

/// A run that is under way in its guest.
fn running(home: &Sandbox) -> Child {
    begun(home, "echo begun; sleep 1000")
}

fn kill(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::KILL).unwrap();
}

/// The engine of a run: the process other than the program itself that uses the sandbox.
fn engine_of(home: &Sandbox, program: &Child) -> u32 {
    let users = processes::using(home.home());
    let engine = users.iter().find(|user| user.pid.unsigned_abs() != program.id());
    engine.unwrap_or_else(|| panic!("no engine among {users:?}")).pid.unsigned_abs()
}

#[test]
fn killing_the_program_leaves_nothing() {
    let home = debian();
    let mut child = running(&home);
    kill(child.id());
    child.wait().unwrap();
    home.assert_nothing_left();
    home.run(["run", "debian:12", "--", "true"]).succeeds();
}

/// The program is killed as soon as it says that it has reached each phase, so also half-way through a boot, and half-way
/// through a restore.
#[test]
fn killing_the_program_at_any_phase_leaves_nothing() {
    let home = debian();
    home.run(["run", "debian:12", "--", "true"]).succeeds();
    let cases = [
        ("--no-template", "phase=start"),
        ("--no-template", "phase=execute"),
        ("--json", "killed at once"),
        ("--timings", "phase=create"),
        ("--timings", "phase=start"),
        ("--timings", "phase=execute"),
    ];
    for (flag, phase) in cases {
        let mut child = home
            .pyro(["run", "debian:12", flag, "--", "sleep 1000"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        if flag != "--json" {
            let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
            assert!(lines.any(|line| line.unwrap().contains(phase)), "{phase} was not reached");
        }
        kill(child.id());
        child.wait().unwrap();
        home.assert_nothing_left();
    }
    home.run(["run", "debian:12", "--", "true"]).succeeds();
}

#[test]
fn killing_the_engine_is_reported_as_what_it_is() {
    let home = debian();
    let child = running(&home);
    kill(engine_of(&home, &child));
    let run = pyro_testkit::Outcome::from_output("engine killed", child.wait_with_output().unwrap());
    run.fails_with(125, "guest_lost", "signal");
    home.assert_nothing_left();
    home.run(["run", "debian:12", "--", "true"]).succeeds();
}

#[test]
fn a_guest_that_powers_itself_off_is_reported() {
    let home = debian();
    let run = home.run(["run", "debian:12", "--", "echo b > /proc/sysrq-trigger; sleep 1000"]);
    run.fails_with(125, "guest_lost", "guest");
    home.assert_nothing_left();
}

/// A guest out of memory kills the command or itself, never the host's patience.
#[test]
fn a_guest_out_of_memory_ends() {
    let home = debian();
    let script = "python3 -c 'x=b\"x\"*10**10' 2>/dev/null || head -c 2G /dev/zero | tail | wc -c";
    let run = home.run(["run", "debian:12", "--mem-mib", "256", "--timeout-seconds", "120", "--", script]);
    assert!(!run.stdout().contains("2147483648"), "{run:?}");
    home.assert_nothing_left();
}
