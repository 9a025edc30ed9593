//! A command's output is bytes: all of them, in order, whatever they are and however slowly they are read.

use crate::debian;
use std::io::Read as _;
use std::process::Stdio;

#[test]
fn every_byte_arrives_as_it_is() {
    let home = debian();
    let script = r"i=0; while [ $i -lt 256 ]; do printf \\$(printf %03o $i); i=$((i+1)); done";
    let run = home.run(["run", "debian:12", "--", script]).succeeds();
    assert_eq!(run.stdout_bytes(), (0..=255).collect::<Vec<u8>>());
}

#[test]
fn output_that_is_no_text_is_exact_in_json_too() {
    let home = debian();
    let document = home.run(["run", "debian:12", "--json", "--", r"printf 'a\377\000b'"]).succeeds().json();
    assert_eq!(document["stdout"], "a\u{fffd}\u{0}b");
    assert_eq!(document["stdout_base64"], "Yf8AYg==");
    assert_eq!(document["stdout_bytes"], 4);
    assert_eq!(document["stdout_truncated"], false);
    assert!(document.get("stderr_base64").is_none());
}

#[test]
fn output_comes_as_it_is_written() {
    let home = debian();
    let mut child = home
        .pyro(["run", "debian:12", "--", "echo first; read line; echo got $line"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // The command waits for an answer to what it said: were its output held back, neither would ever move.
    let mut first = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"first\n");
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"reply\n").unwrap();
    let rest = child.wait_with_output().unwrap();
    assert_eq!(rest.stdout, b"got reply\n");
}

/// 100 MB to a reader that takes its time: everything arrives, and neither side holds it in the meantime.
#[test]
fn a_slow_reader_gets_100_megabytes_in_bounded_memory() {
    const TOTAL: usize = 100_000_000;
    let home = debian();
    let mut child = home
        .pyro(["run", "debian:12", "--timeout-seconds", "600", "--", &format!("head -c {TOTAL} /dev/zero; grep VmHWM /proc/$(cat /run/pyro/agent.pid 2>/dev/null || echo 1)/status >&2")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let (mut total, mut buffer) = (0, vec![0; 65536]);
    let mut peak_kib = 0;
    loop {
        let size = stdout.read(&mut buffer).unwrap();
        if size == 0 {
            break;
        }
        assert!(buffer[..size].iter().all(|byte| *byte == 0));
        total += size;
        // Looking at the program's memory after each piece is what makes this reader slow.
        peak_kib = peak_kib.max(resident_kib(child.id()));
    }
    assert!(child.wait().unwrap().success());
    assert_eq!(total, TOTAL);
    assert!(peak_kib < 40 * 1024, "the program held {peak_kib} KiB");
}

/// Memory that is the process's own: a debug build maps a large executable, which is the page cache's.
fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    line.and_then(|line| line.split_whitespace().nth(1)).map_or(0, |kib| kib.parse().unwrap())
}

#[test]
fn a_reader_that_leaves_ends_the_run_quietly() {
    let home = debian();
    let mut child = home
        .pyro(["run", "debian:12", "--", "yes"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 4];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"y\ny\n");
    let run = pyro_testkit::Outcome::from_output("yes", child.wait_with_output().unwrap());
    assert_eq!(run.code(), 141, "{run:?}");
    assert!(!run.stderr().contains("[error]"), "{run:?}");
    home.assert_nothing_left();
}
