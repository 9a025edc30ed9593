//! One command in one guest: what it sees, what it is told, and that nothing is left.

use crate::debian;
use pyro_testkit::Outcome;
use std::io::Write as _;
use std::process::Stdio;

#[test]
fn a_real_guest_answers() {
    let home = debian();
    let run = home.run(["run", "debian:12", "--", "git", "--version"]).succeeds();
    assert!(run.stdout().starts_with("git version 2."), "{run:?}");
    for phase in
        ["[run] phase=create environment=debian:12", "[run] phase=start vm_id=", "[run] phase=execute vm_id="]
    {
        assert!(run.stderr().contains(phase), "no {phase:?} in {run:?}");
    }
    assert!(
        run.stderr()
            .contains("[run] environment=debian:12 execution_mode=guest_vsock exit_code=0 duration_ms=")
    );
    // How well the guest is kept from the host is said each time, that there is no KVM only once.
    assert!(
        run.stderr().contains(" isolation=emulated") || run.stderr().contains(" isolation=hardware"),
        "{run:?}"
    );
    home.assert_nothing_left();
}

#[test]
fn the_guest_is_a_linux_of_its_own_and_not_this_host() {
    let home = debian();
    let script =
        "uname -r; hostname; cat /etc/debian_version; id -u; pwd; cat /proc/1/comm; ls /sys/class/net";
    let run = home.run(["run", "debian:12", "--", script]).succeeds();
    let text = run.stdout();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("6.12."), "{run:?}");
    assert!(lines[1].starts_with("pyro-"), "{run:?}");
    assert!(lines[2].starts_with("12."), "{run:?}");
    assert_eq!(lines[3..5], ["0", "/workspace"], "{run:?}");
    assert_eq!(lines[6..], ["lo"], "a guest has no network card: {run:?}");
}

#[test]
fn json_tells_everything_in_one_document() {
    let home = debian();
    let run = home.run(["run", "debian:12", "--json", "--", "echo out; echo err >&2; exit 3"]).ends_with(3);
    let document = run.json();
    assert_eq!(document["stdout"], "out\n");
    assert_eq!(document["stderr"], "err\n");
    assert_eq!(document["exit_code"], 3);
    assert_eq!(document["command"], "echo out; echo err >&2; exit 3");
    assert_eq!(document["environment"], "debian:12");
    assert_eq!(document["environment_version"], "1.0.0");
    assert_eq!(document["execution_mode"], "guest_vsock");
    assert_eq!(document["cleanup"]["deleted"], true);
    assert_eq!(document["cleanup"]["reason"], "post_exec_cleanup");
    assert_eq!(document["cleanup"]["vm_id"], document["vm_id"]);
    assert!(document["timings"]["boot_ms"].as_f64().unwrap() > 0.0);
    home.assert_nothing_left();
}

#[test]
fn one_word_is_for_the_shell_and_several_are_exact() {
    let home = debian();
    let shell = home.run(["run", "debian:12", "--", "printf '%s|' a b && printf done"]).succeeds();
    assert_eq!(shell.stdout(), "a|b|done");
    let exact = home.run(["run", "debian:12", "--", "printf", "%s|", "a && b", "$HOME", "it's"]).succeeds();
    assert_eq!(exact.stdout(), "a && b|$HOME|it's|");
}

#[test]
fn environment_folder_and_user_are_as_asked() {
    let home = debian();
    let run = home.run([
        "run",
        "debian:12",
        "--env",
        "GREETING=hello there",
        "--env",
        "EMPTY=",
        "--cwd",
        "/var/log",
        "--user",
        "nobody",
        "--",
        "echo $GREETING/${EMPTY-unset}; pwd; id -un; echo $HOME",
    ]);
    assert_eq!(run.succeeds().stdout(), "hello there/\n/var/log\nnobody\n/nonexistent\n");
}

#[test]
fn standard_input_is_passed_on_and_ends() {
    let home = debian();
    let mut child = home
        .pyro(["run", "debian:12", "--", "sha256sum; echo done"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let bytes: Vec<u8> = (0..3_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    child.stdin.take().unwrap().write_all(&bytes).unwrap();
    let run = Outcome::from_output("sha256sum", child.wait_with_output().unwrap()).succeeds();
    let mut local =
        std::process::Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    local.stdin.take().unwrap().write_all(&bytes).unwrap();
    let expected = String::from_utf8(local.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(run.stdout(), format!("{expected}done\n"));
}

#[test]
fn the_smallest_guest_runs_git() {
    let home = debian();
    let run = home.run(["run", "debian:12", "--mem-mib", "256", "--", "git", "--version"]).succeeds();
    assert!(run.stdout().starts_with("git version"));
}

#[test]
fn two_processors_and_a_small_disk_are_what_the_guest_sees() {
    let home = debian();
    let run = home.run([
        "run",
        "debian:12",
        "--vcpu-count",
        "2",
        "--disk-mib",
        "64",
        "--",
        "nproc; df -m --output=size /workspace | tail -1",
    ]);
    let text = run.clone().succeeds().stdout();
    let numbers: Vec<u32> = text.split_whitespace().map(|word| word.parse().unwrap()).collect();
    assert_eq!(numbers[0], 2, "{run:?}");
    assert!((40..=64).contains(&numbers[1]), "{run:?}");
}

#[test]
fn system_and_workspace_can_be_written() {
    let home = debian();
    let script = "set -e; echo a > /etc/new; echo b > /workspace/new; echo c > /tmp/new; rm /etc/debian_version; \
                  cat /etc/new /workspace/new /tmp/new; test ! -e /etc/debian_version";
    assert_eq!(home.run(["run", "debian:12", "--", script]).succeeds().stdout(), "a\nb\nc\n");
    // The next guest knows nothing of it.
    let next = home.run(["run", "debian:12", "--", "ls /etc/new /workspace; cat /etc/debian_version"]);
    assert!(next.stdout().starts_with("12.") || next.stdout().contains("\n12."), "{next:?}");
    assert!(next.stderr().contains("/etc/new"), "{next:?}");
}

#[test]
fn the_clock_is_the_hosts() {
    let home = debian();
    let seconds = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let before = seconds();
    let run = home.run(["run", "debian:12", "--", "date", "+%s"]).succeeds();
    let guest: u64 = run.stdout().trim().parse().unwrap();
    assert!((before..=seconds() + 1).contains(&guest), "host {before}, guest {guest}");
}

#[test]
fn the_demo_proves_the_whole_life() {
    let home = debian();
    let demo = home.run(["demo"]).succeeds().json();
    assert_eq!(demo["command"], "git --version");
    assert!(demo["stdout"].as_str().unwrap().starts_with("git version"));
    assert_eq!(demo["cleanup"]["deleted"], true);
}

#[test]
fn doctor_boots_a_guest_when_asked() {
    let home = debian();
    let report = home.run(["doctor", "--boot", "--json"]).succeeds().json();
    assert_eq!(report["runtime_ok"], true);
    assert_eq!(report["capabilities"]["guest_exec"], true);
    let boot = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == "boot").unwrap();
    assert_eq!(boot["status"], "pass");
}
