//! The host's own disk is full: an error that says so, names the place, and leaves nothing half-made.

use crate::debian;
use crate::empty_sandbox;
use pyro_testkit::Outcome;
use pyro_testkit::Sandbox;
use std::fs;
use std::path::Path;
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
