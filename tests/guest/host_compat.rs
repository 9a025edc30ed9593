//! The host-compat mode: only behind its flag, only where no engine works, and always labelled.

use crate::debian;
use pyro_testkit::Outcome;
use pyro_testkit::Sandbox;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

/// The program on a host that has a shell and no engine.
fn without_engine(home: &Sandbox, args: &[&str]) -> Command {
    let bin = home.home().join("bin");
    if !bin.exists() {
        fs::create_dir(&bin).unwrap();
        for program in ["sh", "sleep", "cat"] {
            symlink(format!("/bin/{program}"), bin.join(program)).unwrap();
        }
    }
    let mut command = home.pyro(args);
    command.env("PATH", &bin);
    command
}

#[test]
fn it_runs_on_the_host_says_so_and_leaves_nothing() {
    let home = debian();
    let args = [
        "run",
        "debian:12",
        "--allow-host-compat",
        "--json",
        "--",
        "cat /proc/sys/kernel/random/boot_id; pwd",
    ];
    let run = Outcome::of(&mut without_engine(&home, &args)).succeeds();
    assert!(run.stderr().contains("without any isolation"), "{run:?}");
    let document = run.json();
    assert_eq!(document["execution_mode"], "host_compat");
    assert_eq!(document["isolation"], "none");
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let stdout = document["stdout"].as_str().unwrap();
    assert!(stdout.starts_with(&boot_id), "{run:?}");
    assert!(stdout.contains(home.state().to_str().unwrap()), "its folder is a scratch folder: {run:?}");
    home.assert_nothing_left();
}

#[test]
fn a_time_out_ends_its_tree_too() {
    let home = debian();
    let args = [
        "run",
        "debian:12",
        "--allow-host-compat",
        "--timeout-seconds",
        "1",
        "--",
        "sh -c 'sleep 1000 & sleep 1000' & sleep 1000",
    ];
    Outcome::of(&mut without_engine(&home, &args)).ends_with(124);
    home.assert_nothing_left();
}

#[test]
fn it_is_never_chosen_by_itself() {
    let home = debian();
    let refused = Outcome::of(&mut without_engine(&home, &["run", "debian:12", "--", "true"]));
    refused.fails_with(125, "engine_missing", "qemu-system-x86_64");
    // Where an engine works, the flag changes nothing.
    let run = home.run(["run", "debian:12", "--allow-host-compat", "--json", "--", "true"]).succeeds();
    assert_eq!(run.json()["execution_mode"], "guest_vsock");
}
