//! Commands of a workspace: their bytes, their ends, their children, and coming back to those whose client is gone.

use crate::debian;
use pyro_testkit::Outcome;
use pyro_testkit::Workspace;
use rustix::process::Pid;
use rustix::process::Signal;
use std::fs::OpenOptions;
use std::io::Read as _;
use std::io::Write as _;
use std::process::Child;
use std::process::Stdio;

/// A command that has begun, which it tells by saying `begun` first.
fn begun(work: &Workspace<'_>, script: &str) -> Child {
    let mut child = work
        .command("exec", &["--timeout-seconds", "0", "--", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"begun\n");
    child
}

fn send(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// Waits in the guest until no process has this command line.
pub(crate) fn is_gone(work: &Workspace<'_>, command: &str) {
    let (first, rest) = command.split_at(1);
    let rest = rest.replace(' ', ".");
    work.sh(&format!(
        "while cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -q '[{first}]{rest}'; do sleep 0.05; done"
    ));
}

#[test]
fn a_commands_end_is_told_exactly() {
    let home = debian();
    let work = home.workspace("debian:12", &[]);
    for code in [0, 1, 42, 255] {
        work.exec(&format!("exit {code}")).ends_with(code);
    }
    work.exec("kill -9 $$").ends_with(137);
    work.call("exec", &["--", "no-such-program", "x"]).fails_with(
        127,
        "command_not_found",
        "no-such-program",
    );
    work.call("exec", &["--", "/etc/passwd", "x"]).ends_with(126);
    work.call("exec", &["--cwd", "/no/such", "--", "true"]).fails_with(125, "bad_cwd", "/no/such");

    let told = work
        .call("exec", &["--cwd", "/tmp", "--env", "A=b c", "--user", "nobody", "--", "pwd; echo $A; id -un"]);
    assert_eq!(told.succeeds().stdout(), "/tmp\nb c\nnobody\n");
    let line = work.exec("true").succeeds().stderr();
    let expected = format!("[workspace-exec] workspace_id={} sequence=", work.id());
    assert!(
        line.starts_with(&expected)
            && line.contains(" cwd=/workspace execution_mode=guest_vsock exit_code=0 "),
        "{line}"
    );

    // What is written is on the disk once its end is told, and children that stay hold nothing up.
    let json = work.call("exec", &["--json", "--", "sleep 1000 & echo hi"]).succeeds().json();
    assert_eq!((&json["stdout"], &json["detached_processes"]), (&"hi\n".into(), &1.into()));

    let script = "echo before; (setsid sh -c 'sleep 1001 & sleep 1001' &); nohup sleep 1001 & trap '' TERM; sleep 1001; sleep 1001";
    let json = work.call("exec", &["--json", "--timeout-seconds", "5", "--", script]).ends_with(124).json();
    assert_eq!((&json["stdout"], &json["timed_out"]), (&"before\n".into(), &true.into()));
    is_gone(&work, "sleep 1001");
}

#[test]
fn bytes_pass_unchanged_and_what_is_cut_is_counted() {
    let home = debian();
    let work = home.workspace("debian:12", &[]);
    let all: Vec<u8> = (0..=255).collect();
    let script = "perl -e 'print map { chr } 0..255'";
    assert_eq!(work.exec(script).succeeds().stdout_bytes(), all);
    let json = work.call("exec", &["--json", "--", script]).succeeds().json();
    assert!(json["stdout_base64"].as_str().unwrap().starts_with("AAECAwQF"), "{json}");

    let flags = ["--json", "--max-output-bytes", "10", "--", "seq 1000; echo abc >&2"];
    let json = work.call("exec", &flags).succeeds().json();
    assert_eq!((&json["stdout"], &json["stdout_bytes"]), (&"1\n2\n3\n4\n5\n".into(), &3893.into()));
    assert_eq!((&json["stdout_truncated"], &json["stdout_next_offset"]), (&true.into(), &10.into()));
    assert_eq!((&json["stderr_truncated"], &json["stderr"]), (&false.into(), &"abc\n".into()));
    let kept = std::fs::read_to_string(json["stdout_file"].as_str().unwrap()).unwrap();
    assert!(kept.ends_with("\n999\n1000\n"));

    // More than anybody keeps passes all the same.
    let mut child = work
        .command("exec", &["--timeout-seconds", "0", "--", "head -c 200M /dev/zero"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let copied = std::io::copy(child.stdout.as_mut().unwrap(), &mut std::io::sink()).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(copied, 200 << 20);
    let rss = std::fs::read_to_string(format!("/proc/{}/status", work.pid("supervisor_pid"))).unwrap();
    let peak = rss.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 100 << 10, "the supervisor took {peak} KiB");

    let mut child = work
        .command("exec", &["--", "sha256sum"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for _ in 0..10 {
        stdin.write_all(&vec![0; 1 << 20]).unwrap();
    }
    drop(stdin);
    let sum = Outcome::from_output("sha256sum", child.wait_with_output().unwrap()).succeeds().stdout();
    assert!(sum.starts_with("e5b844cc57f57094ea4585e235f36c78c1cd222262bb89d53c94dcb4d6b3e55d"), "{sum}");
}

#[test]
fn a_command_ends_with_its_client() {
    let home = debian();
    let work = home.workspace("debian:12", &[]);
    // Killed, with children that would rather stay.
    let mut child = begun(&work, "trap '' TERM HUP; sleep 1002 & echo begun; sleep 1002; sleep 1002");
    child.kill().unwrap();
    child.wait().unwrap();
    is_gone(&work, "sleep 1002");
    // Killed while it is sending what nobody reads.
    let mut child = begun(&work, "echo begun; sleep 1003");
    let mut stdin = child.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || while stdin.write_all(&[0; 65536]).is_ok() {});
    work.sh("true");
    child.kill().unwrap();
    child.wait().unwrap();
    feeder.join().unwrap();
    is_gone(&work, "sleep 1003");
    // Interrupted: the command hears of it and may end as it likes; the second time it is ended.
    let child = begun(&work, "trap 'echo interrupted; exit 7' INT; echo begun; while :; do sleep 0.1; done");
    send(&child, Signal::INT);
    let run = Outcome::from_output("ctrl-c", child.wait_with_output().unwrap()).ends_with(7);
    assert_eq!(run.stdout(), "interrupted\n");
    let child =
        begun(&work, "trap 'echo once' INT; trap '' TERM; echo begun; while :; do sleep 0.1; done # 1004");
    send(&child, Signal::INT);
    let mut child = child;
    let mut once = [0; 5];
    child.stdout.as_mut().unwrap().read_exact(&mut once).unwrap();
    send(&child, Signal::INT);
    Outcome::from_output("ctrl-c", child.wait_with_output().unwrap()).ends_with(130);
    is_gone(&work, "# 1004");
    // A reader that goes away ends it too, and that is nobody's failure.
    let mut child = begun(&work, "echo begun; yes");
    drop(child.stdout.take());
    let run = Outcome::from_output("broken pipe", child.wait_with_output().unwrap());
    assert_eq!(run.stderr(), "", "{run:?}");
    is_gone(&work, "yes");
}

#[test]
fn ctrl_c_on_one_command_harms_nothing_else() {
    let home = debian();
    let work = home.workspace("debian:12", &[]);
    let service = ["web", "--ready-file", "up", "--", "touch up; exec sleep 1005"];
    work.call("service start", &service).succeeds();
    let shell = work.call("shell open", &["--id-only"]).succeeds().stdout().trim().to_owned();
    let detached = work.call("exec", &["--detach", "--timeout-seconds", "0", "--", "sleep 1006"]);
    let detached: u64 = detached.succeeds().stdout().trim().parse().unwrap();
    let mut other = begun(&work, "echo begun; read line; echo \"$line\"");
    let one = begun(&work, "trap 'exit 130' INT; echo begun; while :; do sleep 0.1; done # 1007");
    send(&one, Signal::INT);
    Outcome::from_output("ctrl-c", one.wait_with_output().unwrap()).ends_with(130);
    is_gone(&work, "# 1007");
    other.stdin.take().unwrap().write_all(b"still here\n").unwrap();
    let said = Outcome::from_output("the other", other.wait_with_output().unwrap()).succeeds();
    assert_eq!(said.stdout(), "still here\n");
    assert_eq!(work.call("service status", &["web", "--json"]).succeeds().json()["state"], "running");
    work.call("shell write", &[&shell, "--input", "echo sum=$((20+22))"]).succeeds();
    let waited = ["--wait-for", "sum=42", "--timeout-seconds", "60"];
    work.call("shell read", &[&[shell.as_str()], &waited[..]].concat()).succeeds();
    let jobs = work.call("job list", &["--json"]).succeeds().json();
    let jobs = jobs["jobs"].as_array().unwrap();
    let running = jobs.iter().find(|job| job["job_id"] == detached).unwrap();
    assert_eq!(running["state"], "running", "{running}");
}

#[test]
fn a_job_is_come_back_to_by_number_and_offset() {
    let home = debian();
    let work = home.workspace("debian:12", &["--ttl-seconds", "1"]);
    let script = "echo one; echo error >&2; while [ ! -e go ]; do sleep 0.05; done; echo two; exit 5";
    // The client is gone at once, and a job that runs keeps the workspace from being idle.
    let job = work.call("exec", &["--detach", "--timeout-seconds", "0", "--", script]).succeeds().stdout();
    let job = job.trim();
    let list = work.call("job list", &["--json"]).succeeds().json();
    assert_eq!(
        (&list["jobs"][0]["state"], &list["jobs"][0]["detached"]),
        (&"running".into(), &true.into()),
        "{list}"
    );
    let mut follower =
        work.command("job attach", &[job]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 4];
    follower.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"one\n");
    // Whoever attaches may go as he came.
    send(&follower, Signal::INT);
    Outcome::from_output("detached", follower.wait_with_output().unwrap()).ends_with(130);
    assert_eq!(work.call("job logs", &[job]).succeeds().stdout(), "one\n");
    let follower = work
        .command("job logs", &[job, "--follow", "--stdout-offset", "2", "--stderr-offset", "6"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let waiter = work.command("job wait", &[job]).stdout(Stdio::piped()).spawn().unwrap();
    work.sh("touch go");
    let followed = Outcome::from_output("follow", follower.wait_with_output().unwrap()).succeeds();
    assert_eq!((followed.stdout().as_str(), followed.stderr().as_str()), ("e\ntwo\n", ""));
    Outcome::from_output("wait", waiter.wait_with_output().unwrap()).ends_with(5);
    // It has ended, and can still be asked.
    work.call("job wait", &[job]).ends_with(5);
    assert_eq!(work.call("job attach", &[job, "--stdout-offset", "4"]).ends_with(5).stdout(), "two\n");
    work.call("job signal", &[job]).fails_with(1, "no_such_job", job);
    work.call("job wait", &["999"]).fails_with(125, "no_such_job", "999");
}

#[test]
fn a_job_can_be_signalled_and_one_that_was_cut_short_is_lost() {
    let home = debian();
    let work = home.workspace("debian:12", &[]);
    let detach = |script: &str| {
        let job = work.call("exec", &["--detach", "--timeout-seconds", "0", "--", script]).succeeds();
        job.stdout().trim().to_owned()
    };
    let job = detach("trap 'exit 9' USR1; touch ready; while :; do sleep 0.05; done");
    work.sh("while [ ! -e ready ]; do sleep 0.05; done");
    work.call("job signal", &[&job, "--signal", "usr1"]).succeeds();
    work.call("job wait", &[&job]).ends_with(9);
    let job = detach("setsid sleep 1005 & touch set; sleep 1005");
    work.sh("while [ ! -e set ]; do sleep 0.05; done");
    work.call("job signal", &[&job, "--signal", "KILL", "--tree"]).succeeds();
    work.call("job wait", &[&job]).ends_with(137);
    is_gone(&work, "sleep 1005");
    let job =
        detach("trap 'echo last words; exit' TERM; echo so far; touch said; while :; do sleep 0.05; done");
    work.sh("while [ ! -e said ]; do sleep 0.05; done");
    work.call("stop", &["--timeout-seconds", "5"]).succeeds();
    for running in [false, true] {
        if running {
            work.call("start", &[]).succeeds();
        }
        let jobs = work.call("job list", &["--json"]).succeeds().json();
        assert_eq!(jobs["jobs"].as_array().unwrap().last().unwrap()["job_id"], 7, "{jobs}");
        let lost = jobs["jobs"]
            .as_array()
            .unwrap()
            .iter()
            .find(|entry| entry["job_id"] == job.parse::<u64>().unwrap());
        assert_eq!(lost.unwrap()["state"], "lost", "{jobs}");
        let waited = work.call("job attach", &[&job]).ends_with(125);
        assert_eq!(waited.stdout(), "so far\nlast words\n", "what it printed is kept: {waited:?}");
    }
    assert!(work.exec("true").succeeds().stderr().contains("sequence=8 "));
    // Input comes from whoever attaches, if it was to have any.
    for (stdin, expected) in [("--stdin=always", "hello\nend\n"), ("--stdin=auto", "end\n")] {
        let flags = ["--detach", stdin, "--timeout-seconds", "0", "--", "cat; echo end"];
        let fed = work.call("exec", &flags).succeeds().stdout();
        let mut attached = work
            .command("job attach", &[fed.trim()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command without input may have ended by now, and whoever attaches to it with it.
        let _ = attached.stdin.take().unwrap().write_all(b"hello\n");
        let attached = Outcome::from_output("attach", attached.wait_with_output().unwrap()).succeeds();
        assert_eq!(attached.stdout(), expected);
    }
}

/// A history longer than any one message of the supervisor's may be.
#[test]
fn a_long_history_is_listed_whole() {
    let home = debian();
    let work = home.workspace("debian:12", &[]);
    let mut running = begun(&work, "echo begun; read line");
    let path = home.state().join("workspaces").join(work.id()).join("history.jsonl");
    let mut lines = String::new();
    for sequence in 1000..4000 {
        let command = "x".repeat(400);
        let started = serde_json::json!({
            "event": "started", "sequence": sequence, "command": command, "cwd": "/workspace",
            "execution_mode": "guest_vsock", "recorded_at": 1.0,
        });
        lines.push_str(&format!("{started}\n"));
    }
    OpenOptions::new().append(true).open(path).unwrap().write_all(lines.as_bytes()).unwrap();
    let list = work.call("job list", &["--json"]).succeeds().json();
    let jobs = list["jobs"].as_array().unwrap();
    let running_now = |job: &&serde_json::Value| job["exit_code"].is_null();
    assert_eq!((jobs.len(), jobs.iter().filter(running_now).count()), (3001, 1), "{}", jobs[0]);
    drop(running.stdin.take());
    running.wait().unwrap();
}

/// The client takes whatever comes, and there is always more of it.
#[test]
fn an_interrupt_is_heard_over_endless_output() {
    let home = debian();
    let work = home.workspace("debian:12", &[]);
    let mut child = begun(&work, "echo begun; exec yes");
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut vec![0; 1 << 20]).unwrap();
    let drained = std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
    send(&child, Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    drained.join().unwrap().unwrap();
    is_gone(&work, "yes");
}
