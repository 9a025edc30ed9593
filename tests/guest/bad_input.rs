//! Nonsense gets one line that names the thing, a stable code, a hint, and the right exit code; nothing is half-made.

use crate::debian;
use crate::empty_sandbox;
use pyro_testkit::sandbox::files_below;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

#[test]
fn an_unknown_environment_is_named() {
    let home = empty_sandbox();
    home.run(["run", "debian:13-nonsense", "--", "true"]).fails_with(
        125,
        "environment_unknown",
        "debian:13-nonsense",
    );
    home.run(["env", "pull", "nonsense"]).fails_with(1, "environment_unknown", "nonsense");
    home.run(["env", "inspect", "nonsense"]).fails_with(1, "environment_unknown", "nonsense");
    home.assert_nothing_left();
    assert!(files_below(&home.cache().join("environments")).is_empty());
}

#[test]
fn sizes_out_of_bounds_are_usage_errors() {
    let home = empty_sandbox();
    for (flag, value) in [
        ("--mem-mib", "7"),
        ("--vcpu-count", "0"),
        ("--vcpu-count", "9999999999999999999999"),
        ("--disk-mib", "1"),
        ("--timeout-seconds", "-1"),
        ("--ttl-seconds", "soon"),
    ] {
        let flag_value = format!("{flag}={value}");
        home.run(["run", &flag_value, "debian:12", "--", "true"]).fails_with(2, "usage", value);
    }
    home.run(["run", "debian:12"]).fails_with(2, "usage", "required");
    home.run(["run", "debian:12", "--", ""]).fails_with(2, "usage", "no command");
    home.run(["run", "debian:12", "--env", "NOVALUE", "--", "true"]).fails_with(2, "usage", "NOVALUE");
    home.run(["levitate"]).fails_with(2, "usage", "levitate");
    home.run(["--engine", "steam", "env", "list"]).fails_with(2, "usage", "steam");
}

#[test]
fn a_network_is_refused_rather_than_ignored() {
    let home = debian();
    home.run(["run", "debian:12", "--network", "--", "true"]).fails_with(
        125,
        "network_unavailable",
        "network",
    );
    for policy in ["egress", "egress+published-ports"] {
        home.run(["run", "debian:12", "--network-policy", policy, "--", "true"]).fails_with(
            125,
            "network_unavailable",
            "network",
        );
    }
    home.run(["demo", "--network"]).fails_with(125, "network_unavailable", "network");
    home.run(["run", "debian:12", "--network-policy", "off", "--", "true"]).succeeds();
}

#[test]
fn errors_are_json_when_json_was_asked_for() {
    let home = empty_sandbox();
    let run = home.run(["run", "nonsense", "--json", "--", "true"]).ends_with(125);
    let document = run.json();
    assert_eq!(document["ok"], false);
    assert_eq!(document["code"], "environment_unknown");
    assert!(document["error"].as_str().unwrap().contains("nonsense"));
    assert!(!document["hint"].as_str().unwrap().is_empty());
    let usage = home.run(["run", "--json", "--mem-mib", "7", "debian:12", "--", "true"]).ends_with(2).json();
    assert_eq!(usage["code"], "usage");
}

#[test]
fn a_host_without_qemu_is_told_what_to_install() {
    let home = debian();
    let bin = home.home().join("bin");
    fs::create_dir(&bin).unwrap();
    let mut command = home.pyro(["run", "debian:12", "--", "true"]);
    let run = pyro_testkit::Outcome::of(command.env("PATH", &bin));
    let run = run.fails_with(125, "engine_missing", "qemu-system-x86_64");
    assert!(
        run.stderr().contains("qemu-system-x86\n") || run.stderr().contains("package qemu-system-x86"),
        "{run:?}"
    );
    let mut doctor = home.pyro(["doctor"]);
    let doctor = pyro_testkit::Outcome::of(doctor.env("PATH", &bin)).ends_with(1);
    assert!(doctor.stdout().contains("Runtime: FAIL"), "{doctor:?}");
    assert!(doctor.stdout().contains("install the package qemu-system-x86"), "{doctor:?}");
}

#[test]
fn an_engine_that_cannot_run_here_is_refused_when_asked_for_by_name() {
    let home = debian();
    home.run(["--engine", "firecracker", "run", "debian:12", "--", "true"]).fails_with(
        125,
        "engine_unavailable",
        "irecracker",
    );
    let mut command = home.pyro(["run", "debian:12", "--", "true"]);
    pyro_testkit::Outcome::of(command.env("PYRO_ENGINE", "firecracker")).fails_with(
        125,
        "engine_unavailable",
        "irecracker",
    );
}

#[test]
fn an_unwritable_state_folder_is_named() {
    let home = debian();
    let file = home.home().join("not-a-folder");
    fs::write(&file, "").unwrap();
    let mut command = home.pyro(["run", "debian:12", "--", "true"]);
    let run = pyro_testkit::Outcome::of(command.env("PYRO_STATE_DIR", file.join("state")));
    run.fails_with(125, "state_unwritable", "not-a-folder");
}

#[test]
fn a_state_folder_open_to_others_is_closed() {
    let home = debian();
    fs::create_dir(home.state()).unwrap();
    fs::set_permissions(home.state(), fs::Permissions::from_mode(0o777)).unwrap();
    home.run(["run", "debian:12", "--", "true"]).succeeds();
    assert_eq!(fs::metadata(home.state()).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn what_the_guest_does_not_have_is_named() {
    let home = debian();
    home.run(["run", "debian:12", "--cwd", "/no/such/folder", "--", "true", "x"]).fails_with(
        125,
        "bad_cwd",
        "/no/such/folder",
    );
    home.run(["run", "debian:12", "--user", "nobody-at-all", "--", "true", "x"]).fails_with(
        125,
        "bad_user",
        "nobody-at-all",
    );
}

#[test]
fn a_full_guest_disk_is_the_guests_error_and_harms_nothing_else() {
    let home = debian();
    let run = home.run([
        "run",
        "debian:12",
        "--disk-mib",
        "64",
        "--timeout-seconds",
        "120",
        "--",
        "head -c 200M /dev/zero > /workspace/big",
    ]);
    assert!(run.stderr().contains("No space left on device"), "{run:?}");
    assert!(run.stderr().contains("[warning] the guest's disk is full; --disk-mib"), "{run:?}");
    assert_ne!(run.code(), 0);
    let script = "head -c 200M /dev/zero > /workspace/big";
    let status = home
        .run(["run", "debian:12", "--disk-mib", "64", "--timeout-seconds", "120", "--json", "--", script])
        .json();
    assert_eq!(status["guest"]["disk_full"], true, "{status}");
    assert!(status["guest"]["disk_total_bytes"].as_u64().unwrap() < 64 << 20, "{status}");
    home.run(["run", "debian:12", "--", "true"]).succeeds();
}
