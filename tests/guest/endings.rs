//! How commands end: by themselves, by a signal, by the clock, by the user, and with children that will not go.

use crate::begun;
use crate::debian;
use pyro_testkit::Outcome;
use rustix::process::Pid;
use rustix::process::Signal;
use std::process::Child;

#[test]
fn the_exit_code_is_the_commands_own() {
    let home = debian();
    for code in [0, 1, 2, 42, 125, 255] {
        home.run(["run", "debian:12", "--", &format!("exit {code}")]).ends_with(code);
    }
    home.run(["run", "debian:12", "--", "kill -9 $$"]).ends_with(137);
}

#[test]
fn a_program_that_is_not_there_is_127_and_one_that_cannot_run_is_126() {
    let home = debian();
    home.run(["run", "debian:12", "--", "no-such-program", "x"]).fails_with(
        127,
        "command_not_found",
        "no-such-program",
    );
    home.run(["run", "debian:12", "--", "/etc/passwd", "x"]).ends_with(126);
    // In a shell string it is the shell's business.
    home.run(["run", "debian:12", "--", "no-such-program"]).ends_with(127);
}

#[test]
fn a_time_out_ends_the_whole_tree_and_keeps_what_was_said() {
    let home = debian();
    let script = "echo before; (setsid sh -c 'sleep 1000 & sleep 1000' &) ; nohup sleep 1000 & trap '' TERM; sleep 1000; sleep 1000";
    let run = home.run(["run", "debian:12", "--json", "--timeout-seconds", "2", "--", script]).ends_with(124);
    let document = run.json();
    assert_eq!(document["stdout"], "before\n");
    assert_eq!(document["timed_out"], true);
    assert_eq!(document["exit_code"], 124);
    home.assert_nothing_left();
}

#[test]
fn a_guest_lives_no_longer_than_its_time_to_live() {
    let home = debian();
    home.run(["run", "debian:12", "--timeout-seconds", "1000", "--ttl-seconds", "2", "--", "sleep 1000"])
        .ends_with(124);
}

#[test]
fn a_child_that_keeps_the_pipe_holds_nothing_up() {
    let home = debian();
    let run =
        home.run(["run", "debian:12", "--timeout-seconds", "100", "--", "sleep 1000 & echo hi"]).succeeds();
    assert_eq!(run.stdout(), "hi\n");
    home.assert_nothing_left();
}

fn send(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

#[test]
fn ctrl_c_reaches_the_command_and_then_ends_the_guest() {
    let home = debian();
    let child = begun(&home, "trap 'echo interrupted; exit 0' INT; echo begun; while :; do sleep 0.1; done");
    send(&child, Signal::INT);
    let run = Outcome::from_output("ctrl-c", child.wait_with_output().unwrap()).ends_with(130);
    assert_eq!(run.stdout(), "interrupted\n");
    home.assert_nothing_left();
}

#[test]
fn a_command_that_ignores_ctrl_c_is_ended_all_the_same() {
    let home = debian();
    let child = begun(&home, "trap '' INT TERM; echo begun; sleep 1000");
    send(&child, Signal::INT);
    Outcome::from_output("ctrl-c", child.wait_with_output().unwrap()).ends_with(130);
    home.assert_nothing_left();
}

#[test]
fn a_termination_signal_is_143() {
    let home = debian();
    let child = begun(&home, "echo begun; sleep 1000");
    send(&child, Signal::TERM);
    Outcome::from_output("term", child.wait_with_output().unwrap()).ends_with(143);
    home.assert_nothing_left();
}
