//! Shells: programs on a terminal that outlive who opened them, for programs and for people at a real terminal.

use crate::debian;
use crate::jobs::is_gone;
use pyro_testkit::Outcome;
use pyro_testkit::Pty;
use pyro_testkit::Workspace;
use rustix::process::Signal;
use serde_json::Value;
use std::io::Write as _;
use std::process::Stdio;

const PROMPT: &str = "pyro$ ";

/// A shell of a workspace, with what was read of it so far.
pub(crate) struct Shell<'a> {
    work: &'a Workspace<'a>,
    pub(crate) id: String,
    pub(crate) cursor: u64,
}

impl<'a> Shell<'a> {
    pub(crate) fn open(work: &'a Workspace<'a>, flags: &[&str]) -> Self {
        let id = work.call("shell open", &[&["--id-only"], flags].concat()).succeeds().stdout();
        Self { work, id: id.trim().to_owned(), cursor: 0 }
    }

    pub(crate) fn call(&self, verb: &str, rest: &[&str]) -> Outcome {
        self.work.call(&format!("shell {verb}"), &[&[self.id.as_str()], rest].concat())
    }

    pub(crate) fn write(&self, line: &str) {
        self.call("write", &["--input", line]).succeeds();
    }

    /// Reads on, as JSON.
    #[track_caller]
    pub(crate) fn read(&mut self, flags: &[&str]) -> Value {
        let cursor = self.cursor.to_string();
        let read = self.call("read", &[&["--cursor", &cursor, "--json"], flags].concat()).succeeds().json();
        self.cursor = read["next_cursor"].as_u64().unwrap();
        read
    }

    /// Waits until a pattern has come, and reads all of it as people see it.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, pattern: &str) -> String {
        let flags = ["--plain", "--timeout-seconds", "120", "--wait-for", pattern];
        let read = self.read(&flags);
        assert_eq!(read["matched"], true, "{read}");
        // What has come behind the match is waited for next.
        self.cursor = read["match_cursor"].as_u64().unwrap();
        read["output"].as_str().unwrap().to_owned()
    }

    pub(crate) fn record(&self) -> Value {
        let all = self.work.call("shell list", &["--json"]).succeeds().json();
        all["shells"].as_array().unwrap().iter().find(|shell| shell["shell_id"] == *self.id).unwrap().clone()
    }
}

#[test]
fn a_shell_keeps_its_state_between_calls() {
    let home = debian();
    let work = home.workspace("debian:12", &[]);
    let opened = work.call("shell open", &["--cwd", "/tmp", "--env", "A=b c", "--json"]).succeeds().json();
    for (name, value) in
        [("cwd", "/tmp".into()), ("cols", 120.into()), ("rows", Value::from(30)), ("state", "running".into())]
    {
        assert_eq!(opened[name], value, "{opened}");
    }
    let mut shell = Shell { work: &work, id: opened["shell_id"].as_str().unwrap().to_owned(), cursor: 0 };
    shell.wait_for(r"pyro\$ ");
    shell.write("X=$((40+2)); echo x-$X $A $TERM $(pwd) $(stty size)");
    assert!(shell.wait_for("x-42.*\n").contains("x-42 b c xterm-256color /tmp 30 120"));
    shell.wait_for(r"pyro\$ ");
    shell.write("echo still-$X");
    shell.wait_for("still-42");

    // Signals reach what runs in it; it goes on.
    shell.write("sh -c 'echo up-$((1+1)); exec sleep 1004'");
    shell.wait_for("up-2");
    let told = shell.call("signal", &["--json"]).succeeds().json();
    assert_eq!((&told["signal"], &told["state"]), (&"INT".into(), &"running".into()));
    shell.wait_for(r"pyro\$ ");
    is_gone(&work, "sleep 1004");
    shell.call("resize", &["--cols", "77", "--rows", "22"]).succeeds();
    shell.write("stty size; echo sized-$X");
    assert!(shell.wait_for("sized-42").contains("22 77"));

    // Bytes that are no text, and characters that are cut.
    shell.wait_for(r"pyro\$ ");
    shell.write("printf 'b\\303\\n\\377b\\342\\202'; sleep 1005");
    let read = shell.read(&["--wait-for", r"(?-u)\n\xffb\xe2\x82"]);
    let exact = read["output_base64"].as_str().unwrap();
    assert!(exact.len() > 8 && read["cuts_character"] == false && read["remaining_bytes"] == 2, "{read}");
    shell.call("signal", &[]).succeeds();

    // Others are not in its way, and have ids of their own.
    let other = Shell::open(&work, &["--user", "nobody", "--cols", "10", "--rows", "5"]);
    assert_ne!(other.id, shell.id);
    other.call("close", &["--json"]).succeeds();
    assert_eq!(other.record()["state"], "stopped");

    // What it printed stays when it has ended.
    shell.wait_for(r"pyro\$ ");
    shell.write("nohup sleep 1006 & exit 7");
    let last = shell
        .call("read", &["--wait-for", "no such thing", "--timeout-seconds", "100", "--json"])
        .succeeds()
        .json();
    assert_eq!((&last["matched"], &last["timed_out"]), (&false.into(), &false.into()));
    let ended = shell.record();
    assert_eq!((&ended["state"], &ended["exit_code"]), (&"stopped".into(), &7.into()));
    assert!(
        ended["ended_at"].is_number() && shell.call("read", &[]).succeeds().stdout().contains("still-42")
    );
    shell.call("write", &["--input", "x"]).fails_with(1, "shell_ended", &shell.id);
    shell.call("signal", &[]).fails_with(1, "shell_ended", &shell.id);
    assert_eq!(shell.call("close", &["--json"]).succeeds().json()["closed"], true);

    // Closing one ends what would rather stay.
    let mut stubborn = Shell::open(&work, &[]);
    stubborn.wait_for(r"pyro\$ ");
    stubborn.write("(trap '' TERM HUP; echo be\"\"gun; sleep 1007; sleep 1007) & wait");
    stubborn.wait_for("begun");
    stubborn.call("close", &[]).succeeds();
    is_gone(&work, "sleep 1007");

    shell.call("read", &["--cursor", "99999999"]).fails_with(1, "cursor_invalid", "99999999");
    shell.call("read", &["--wait-for", "("]).fails_with(1, "pattern_invalid", "unclosed");
    work.call("shell read", &["sh-none"]).fails_with(1, "no_such_shell", "sh-none");
    work.call("shell open", &["--cwd", "/no/such"]).fails_with(1, "bad_cwd", "/no/such");
    work.call("shell open", &["--cols", "0"]).fails_with(2, "usage", "columns");
    let audit =
        std::fs::read_to_string(home.state().join("workspaces").join(work.id()).join("audit.jsonl")).unwrap();
    assert!(audit.contains("shell_open") && audit.contains("shell_write") && !audit.contains("still-"));
    // They end with their guest.
    let lost = Shell::open(&work, &[]);
    work.call("stop", &[]).succeeds();
    work.call("shell list", &[]).fails_with(1, "workspace_not_running", work.id());
    work.call("start", &[]).succeeds();
    lost.call("read", &[]).fails_with(1, "no_such_shell", &lost.id);
}

/// The story of a review: see the contract's `review-eval`.
#[test]
fn a_review_is_evaluated_in_a_shell() {
    let home = debian();
    let seed = home.home().join("seed");
    std::fs::create_dir(&seed).unwrap();
    std::fs::write(seed.join("CHECKLIST.md"), "# Review checklist\n").unwrap();
    std::fs::write(
        seed.join("review.sh"),
        "grep -q Review CHECKLIST.md && echo PASS > result.txt; cat result.txt\n",
    )
    .unwrap();
    let work = home.workspace("debian:12", &["--seed-path", seed.to_str().unwrap()]);
    assert_eq!(work.sh("sh review.sh"), "PASS");
    work.call("snapshot create", &["pre-review"]).succeeds();
    let mut shell = Shell::open(&work, &[]);
    let first = shell.read(&["--plain", "--wait-for", r"pyro\$ ", "--wait-for-idle-ms", "300"]);
    assert_eq!(first["output"], "pyro$");
    shell.write("cat CHECKLIST.md");
    let text = shell.read(&["--plain", "--wait-for", r"pyro\$ $", "--wait-for-idle-ms", "300"]);
    assert_eq!(text["output"], "cat CHECKLIST.md\n# Review checklist\npyro$");
    shell.call("close", &[]).succeeds();
    work.sh("echo FAIL > result.txt");
    work.call("reset", &["--snapshot", "pre-review"]).succeeds();
    // A reset ends shells, and forgets them.
    shell.call("read", &[]).fails_with(1, "no_such_shell", &shell.id);
    assert_eq!(work.sh("cat result.txt; sh review.sh"), "PASS\nPASS");
    let output = home.home().join("result.txt");
    work.call("export", &["result.txt", "--output", output.to_str().unwrap()]).succeeds();
    assert_eq!(std::fs::read_to_string(output).unwrap(), "PASS\n");
}

#[test]
fn output_is_waited_for_and_shown_as_a_person_would_see_it() {
    let home = debian();
    let work = home.workspace("debian:12", &[]);
    let mut shell = Shell::open(&work, &["--cols", "60"]);
    shell.wait_for(r"pyro\$ ");
    shell.write("clear; for i in 10 50 100; do printf '\\r\\033[32m%3d%%\\033[0m' $i; done; printf '\\nabd\\bc \\n'; echo en\"\"d");
    let text = shell.wait_for("end");
    assert!(text.contains("100%\nabc\nend"), "{text:?}");
    shell.wait_for(r"pyro\$ ");
    // What does not come is not waited for longer than is said.
    let flags = ["--cursor", "0", "--wait-for", "ne[v]er", "--timeout-seconds", "1"];
    let missed = shell.call("read", &flags).ends_with(124);
    assert!(missed.stderr().contains("timed_out=true matched=false"), "{missed:?}");
    // Silence comes behind the last output.
    shell.write("for i in 1 2 3; do sleep 0.2; echo tick-$i; done");
    let read = shell.read(&["--wait-for", "tick-1", "--wait-for-idle-ms", "3000"]);
    assert!(read["output"].as_str().unwrap().contains("tick-3"), "{read}");
    shell.write("while sleep 0.1; do echo noise; done");
    let busy = shell.read(&["--wait-for", "noise", "--wait-for-idle-ms", "5000", "--timeout-seconds", "4"]);
    assert_eq!((&busy["matched"], &busy["timed_out"]), (&true.into(), &true.into()), "{busy}");
    shell.call("close", &[]).succeeds();
    for bad in [["--wait-for-idle-ms", "0"], ["--wait-for-idle-ms", "10001"], ["--max-chars", "0"]] {
        shell.call("read", &bad).fails_with(2, "usage", bad[0]);
    }
}

#[test]
fn neither_silence_nor_noise_holds_anything_up() {
    let home = debian();
    let work = home.workspace("debian:12", &[]);
    let mut deaf = Shell::open(&work, &[]);
    deaf.wait_for(r"pyro\$ ");
    deaf.write("stty -echo; echo de\"\"af; exec sleep 100000");
    deaf.wait_for("deaf");
    // As much is taken as may wait, and not one write by half.
    let half = home.home().join("half");
    std::fs::write(&half, "a line of input\n".repeat(32 << 10)).unwrap();
    let write =
        |expected: i32| deaf.call("write", &["--input-file", half.to_str().unwrap()]).ends_with(expected);
    let mut written = 0;
    while written < 8 && deaf.call("write", &["--input-file", half.to_str().unwrap()]).code() == 0 {
        written += 1;
    }
    assert!((2..8).contains(&written), "{written}");
    assert!(write(1).stderr().contains("none of the 524288 new ones were taken"));
    let too_long = home.home().join("too-long");
    std::fs::write(&too_long, vec![b'x'; 2 << 20]).unwrap();
    deaf.call("write", &["--input-file", too_long.to_str().unwrap()]).fails_with(
        1,
        "limit_exceeded",
        "1048576",
    );
    assert_eq!(work.sh("echo fine"), "fine");
    deaf.call("close", &[]).succeeds();

    // Standard input is typed byte for byte.
    let mut loud = Shell::open(&work, &[]);
    loud.wait_for(r"pyro\$ ");
    let mut child = work.command("shell write", &[&loud.id]).stdin(Stdio::piped()).spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"head -c 100M /dev/zero | tr '\\0' x; echo; echo do\"\"ne\n")
        .unwrap();
    assert!(child.wait().unwrap().success());
    let flags =
        ["--cursor", "0", "--wait-for", "\ndone", "--timeout-seconds", "300", "--max-chars", "10", "--json"];
    let read = loud.call("read", &flags).succeeds().json();
    let (dropped, end) = (read["dropped_bytes"].as_u64().unwrap(), read["output_bytes"].as_u64().unwrap());
    assert_eq!(
        (&read["matched"], &read["truncated"], &read["output"]),
        (&true.into(), &true.into(), &"xxxxxxxxxx".into())
    );
    assert!(end > 100 << 20 && dropped >= end - (65 << 20) && read["next_cursor"] == dropped + 10, "{read}");
    let tail = loud.call("read", &["--cursor", &(end - 100).to_string()]).succeeds();
    assert!(tail.stdout().contains("done") && tail.stderr().contains("truncated=false"), "{tail:?}");
    let status = std::fs::read_to_string(format!("/proc/{}/status", work.pid("supervisor_pid"))).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 64 << 10, "the supervisor took {peak} KiB");
}

#[test]
fn a_shell_that_nobody_uses_does_not_keep_its_workspace_awake() {
    let home = debian();
    let mut events = home.events();
    let work = home.workspace("debian:12", &["--ttl-seconds", "0"]);
    let mut shell = Shell::open(&work, &[]);
    shell.wait_for(r"pyro\$ ");
    assert_eq!(events.wait_for("shell_opened")["detail"], *shell.id);
    // What it prints counts as use, and nobody reads it here.
    shell.write("for i in $(seq 30); do echo noise; sleep 0.2; done; touch /workspace/quiet");
    work.call("update", &["--ttl-seconds", "3"]).succeeds();
    assert_eq!(events.wait_for("workspace_stopped")["detail"], "idle");
    work.call("update", &["--ttl-seconds", "0"]).succeeds();
    work.call("start", &[]).succeeds();
    work.sh("test -e quiet");
}

/// The program at a terminal of its own.
fn sit_at(work: &Workspace<'_>, words: &str, rest: &[&str]) -> Pty {
    Pty::start(&work.command(words, rest), 90, 25)
}

#[test]
fn a_person_sits_at_a_shell_leaves_it_and_comes_back() {
    let home = debian();
    let work = home.workspace("debian:12", &[]);
    let mut shell = Shell::open(&work, &[]);
    shell.wait_for(r"pyro\$ ");
    let mut person = sit_at(&work, "shell attach", &[&shell.id]);
    person.wait_for(PROMPT);
    assert!(!person.is_as_before());
    person.type_in("A=$((6*7)); echo at-$A; stty size\r");
    person.wait_for("at-42");
    person.wait_for("25 90");
    person.wait_for(PROMPT);
    // Keys are the program's: this one interrupts what runs in the guest, and nothing here.
    person.type_in("sh -c 'echo up-$((1+1)); exec sleep 1008'\r");
    person.wait_for("up-2");
    person.type_in("\x03");
    person.wait_for(PROMPT);
    is_gone(&work, "sleep 1008");
    person.resize(70, 20);
    person.type_in("\r");
    person.type_in("while [ \"$(stty size)\" != '20 70' ]; do :; done; echo siz\"\"ed\r");
    person.wait_for("sized");
    person.wait_for(PROMPT);
    // Every byte but the detach keys passes.
    person.type_in(
        "stty raw -echo; echo rea\"\"dy; head -c 255 | od -An -v -tx1 | tr -d ' \\r\\n'; stty sane; echo\r",
    );
    person.wait_for("ready");
    let all: Vec<u8> = (0..=255).filter(|byte| *byte != 0x10).collect();
    person.type_in(&all);
    let hex: String = all.iter().map(|byte| format!("{byte:02x}")).collect();
    person.wait_for(&hex);
    person.wait_for(PROMPT);

    // A second one sees the same screen, and both see what either types.
    let mut other = sit_at(&work, "shell attach", &[&shell.id, "--detach-keys", "ctrl-]"]);
    other.wait_for("sized");
    other.wait_for(PROMPT);
    other.type_in("echo from-$((1+2))\r");
    other.wait_for("from-3");
    person.wait_for("from-3");
    assert_eq!(shell.record()["attached"], 2);
    other.type_in("\x1d");
    assert_eq!(other.end(), 0);
    assert!(other.is_as_before() && other.rest().contains("detached=true"), "{:?}", other.rest());
    assert!(
        other.rest().contains("\n[workspace-shell-attach]"),
        "it does not stand beside the prompt: {:?}",
        other.rest()
    );

    person.wait_for(PROMPT);
    person.type_in("sh -c 'echo in-$((2+2)); exec sleep 1009'\r");
    person.wait_for("in-4");
    person.type_in("\x10\x11");
    assert_eq!(person.end(), 0);
    assert!(person.is_as_before());
    // Nobody is there, and what runs goes on; who comes back sees where it is.
    let mut back = sit_at(&work, "shell attach", &[&shell.id]);
    back.wait_for("in-4");
    back.signal(Signal::KILL);
    assert_eq!(back.end(), 137);
    let mut back = sit_at(&work, "shell attach", &[&shell.id]);
    back.wait_for("in-4");
    // A signal that ends the program puts the terminal back first.
    back.signal(Signal::TERM);
    assert_eq!(back.end(), 143);
    assert!(back.is_as_before());
    let mut back = sit_at(&work, "shell attach", &[&shell.id]);
    back.wait_for("in-4");
    back.type_in("\x03");
    back.wait_for(PROMPT);
    back.type_in("exit 9\r");
    assert_eq!(back.end(), 9);
    assert!(back.is_as_before() && shell.record()["exit_code"] == 9);
    shell.call("attach", &[]).fails_with(1, "not_a_terminal", "standard input");
}

#[test]
fn a_command_at_a_terminal_ends_with_it_unless_it_was_left() {
    let home = debian();
    let work = home.workspace("debian:12", &[]);
    let mut one = sit_at(
        &work,
        "exec",
        &["-it", "--env", "A=b", "--", "tty; stty size; echo $A-$TERM; read x; exit $x"],
    );
    one.wait_for("/dev/pts/");
    one.wait_for("25 90");
    one.wait_for("b-xterm-256color");
    one.type_in("5\r");
    assert_eq!(one.end(), 5);
    assert!(one.is_as_before());
    let mut killed = sit_at(&work, "exec", &["-it", "--", "echo beg\"\"un; exec sleep 1010"]);
    killed.wait_for("begun");
    killed.signal(Signal::KILL);
    assert_eq!(killed.end(), 137);
    is_gone(&work, "sleep 1010");
    let mut left = sit_at(&work, "exec", &["-it", "--", "echo beg\"\"un; read x; exit $x"]);
    left.wait_for("begun");
    left.type_in("\x10\x11");
    assert_eq!(left.end(), 0);
    let shells = work.call("shell list", &["--json"]).succeeds().json();
    assert_eq!(shells["running_count"], 1);
    let id = shells["shells"].as_array().unwrap().last().unwrap()["shell_id"].as_str().unwrap().to_owned();
    let mut back = sit_at(&work, "shell attach", &[&id]);
    back.wait_for("begun");
    back.type_in("6\r");
    assert_eq!(back.end(), 6);
    work.call("exec", &["-it", "--", "true"]).fails_with(125, "not_a_terminal", "standard input");
    work.call("exec", &["-t", "--", "true"]).fails_with(2, "usage", "required arguments");

    // A guest of its own for one command, or for a shell.
    home.run(["run", "-it", "debian:12"]).fails_with(125, "not_a_terminal", "standard input");
    let mut run = Pty::start(&home.pyro(["run", "-it", "debian:12"]), 90, 25);
    run.wait_for(PROMPT);
    run.type_in("stty size\r");
    run.wait_for("25 90");
    run.wait_for(PROMPT);
    run.type_in("sh -c 'echo up-$((1+1)); exec sleep 1011'\r");
    run.wait_for("up-2");
    run.type_in("\x03");
    run.wait_for(PROMPT);
    run.resize(50, 10);
    run.type_in("while [ \"$(stty size)\" != '10 50' ]; do :; done; exit 4\r");
    assert_eq!(run.end(), 4);
    assert!(run.is_as_before());
}
