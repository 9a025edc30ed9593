//! The real agent over a socket pair: what a host may rely on, whatever the engine.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails, helpers of tests included"
)]

mod connections;
mod files;
mod host;
mod receiving;
mod recovering;
mod taking_over;
mod trees;

use host::Host;
use host::attach;
use host::shell;
use host::spec;
use pyro_proto::Kind;
use pyro_proto::SYNC;
use pyro_proto::exec::Ending;
use pyro_proto::exec::ExecSpec;
use pyro_proto::exec::PtySize;
use pyro_proto::exec::Stdio;
use pyro_proto::limits::FRAME_PAYLOAD_BYTES_MAX;
use pyro_proto::message::ErrorCode;
use pyro_proto::message::ReplyBody;
use pyro_proto::message::RequestBody;
use pyro_proto::message::SignalTarget;
use std::io::Read as _;
use std::io::Write as _;
use std::path::Path;

fn with_stdin(mut spec: ExecSpec) -> ExecSpec {
    spec.stdio.stdin = true;
    spec
}

fn on_terminal(mut spec: ExecSpec) -> ExecSpec {
    spec.stdio = Stdio { stdin: true, pty: Some(PtySize { cols: 100, rows: 40 }), ..Stdio::default() };
    spec
}

fn code(result: Result<host::Running, pyro_proto::message::WireError>) -> ErrorCode {
    result.map(|running| running.pid).unwrap_err().code
}

fn read_until(host: &mut Host, stream: u32, wanted: &[u8]) {
    while !host.data.get(&stream).is_some_and(|data| data.windows(wanted.len()).any(|part| part == wanted)) {
        host.step();
    }
}

#[test]
fn output_and_exit_codes_arrive() {
    let mut host = Host::new();
    let outcome = host.run(shell("echo out; echo err >&2; exit 7"));
    assert_eq!((outcome.out.as_slice(), outcome.err.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
    assert_eq!(outcome.exit.ending, Ending::Code(7));
    assert!(!outcome.exit.timed_out && outcome.exit.detached == 0 && outcome.exit.max_rss_kib > 0);
    assert_eq!(host.run(shell("kill -SEGV $$")).exit.ending, Ending::Signal(11));
    assert_eq!(host.run(spec(&["true"])).exit.ending, Ending::Code(0));
}

#[test]
fn commands_start_from_a_clean_slate() {
    let mut host = Host::new();
    let outcome = host
        .run(shell("pwd; umask; ls /proc/self/fd | wc -l; grep -E 'Sig(Blk|Ign)' /proc/self/status; env"));
    let text = String::from_utf8(outcome.out).unwrap();
    let workspace = host.folder.path().join("workspace").canonicalize().unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..3], [workspace.to_str().unwrap(), "0022", "4"]);
    // The C library keeps 32 and 33 to itself and lets nobody change them.
    let set = |line: &str| {
        u64::from_str_radix(line.split_ascii_whitespace().nth(1).unwrap(), 16).unwrap() & !0x1_8000_0000
    };
    assert_eq!((set(lines[3]), set(lines[4])), (0, 0), "{text}");
    assert!(text.contains("LANG=C.UTF-8") && text.contains("HOME=/") && !text.contains("CARGO"));
}

#[test]
fn the_request_decides_directory_and_environment() {
    let mut host = Host::new();
    let request =
        ExecSpec { cwd: Some("/usr".into()), env: vec![("A".into(), "b c".into())], ..shell("pwd; echo $A") };
    assert_eq!(host.run(request).out, b"/usr\nb c\n");
}

#[test]
fn bytes_are_not_text() {
    let mut host = Host::new();
    let all: Vec<u8> = (0..=255).collect();
    let running = host.start(with_stdin(spec(&["cat"]))).unwrap();
    host.feed(running.out, &all);
    assert_eq!(host.finish(&running).out, all);
    let argument =
        ExecSpec { argv: vec!["printf".into(), "%s".into(), vec![0xff, 0xfe].into()], ..ExecSpec::default() };
    assert_eq!(host.run(argument).out, [0xff, 0xfe]);
}

#[test]
fn megabytes_come_back_whole() {
    let mut host = Host::new();
    let bytes: Vec<u8> = (0..5_000_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let running = host.start(with_stdin(spec(&["cat"]))).unwrap();
    host.feed(running.out, &bytes);
    let outcome = host.finish(&running);
    assert!(outcome.out == bytes, "{} bytes came back", outcome.out.len());
}

#[test]
fn a_slow_reader_holds_the_command_back_and_not_the_agents_memory() {
    let mut host = Host::new();
    let running = host.start(shell("head -c 30000000 /dev/zero; echo done >&2")).unwrap();
    host.slow.insert(running.out);
    let mut taken = 0;
    while !host.ended.contains(&running.out) {
        host.step();
        let unread = host.data.remove(&running.out).unwrap_or_default();
        if !unread.is_empty() {
            taken += unread.len();
            host.grant(running.out, u32::try_from(unread.len()).unwrap());
        }
    }
    assert_eq!(taken, 30_000_000);
    assert_eq!(host.finish(&running).err, b"done\n");
    assert!(host.agent_peak_kib() < 8 * 1024, "{} KiB", host.agent_peak_kib());
}

#[test]
fn a_job_that_is_to_end_ends_with_all_it_started() {
    let mut host = Host::new();
    // The shell takes TERM, what it started does not.
    let script = "sh -c \"trap '' TERM; echo up; while :; do sleep 0.01; done\" & wait";
    let running = host.start(ExecSpec { kill_grace_ms: Some(50), ..shell(script) }).unwrap();
    read_until(&mut host, running.out, b"up");
    host.ask(RequestBody::End { job: running.request }).unwrap();
    let exit = host.finish(&running).exit;
    assert_eq!((exit.ending, exit.timed_out, exit.detached), (Ending::Signal(15), false, 0));
    assert!(host.ask(RequestBody::End { job: running.request }).is_err());
}

#[test]
fn what_outlives_a_command_that_is_to_leave_nothing_is_ended_and_counted() {
    let mut host = Host::new();
    // One takes TERM, the other does not; both left their session.
    let script = "setsid sh -c 'echo $$ > one; exec sleep 1000' &
        setsid sh -c 'trap \"\" TERM; echo $$ > two; while :; do sleep 0.01; done' &
        while ! [ -s one ] || ! [ -s two ]; do sleep 0.01; done; exit 3";
    let exit = host.run(ExecSpec { left_grace_ms: Some(50), ..shell(script) }).exit;
    assert_eq!((exit.ending, exit.timed_out), (Ending::Code(3), false));
    assert!(exit.detached >= 2, "{exit:?}");
    for name in ["one", "two"] {
        let pid = std::fs::read_to_string(host.folder.path().join("workspace").join(name)).unwrap();
        assert!(!Path::new("/proc").join(pid.trim()).exists(), "{name} lives");
    }
    // One that leaves nothing is not held up.
    let exit = host.run(ExecSpec { left_grace_ms: Some(3_600_000), ..shell("exit 4") }).exit;
    assert_eq!((exit.ending, exit.detached), (Ending::Code(4), 0));
}

#[test]
fn a_job_that_is_to_end_while_it_starts_ends_although_it_takes_term() {
    let mut host = Host::new();
    for timeout_ms in [None, Some(3_600_000)] {
        for _ in 0..10 {
            // Both are said before the agent can see that the command runs.
            let stream = host.next_stream();
            let stdio = Stdio { stream, ..Stdio::default() };
            let script = "trap '' TERM; while :; do sleep 0.01; done";
            let spec = ExecSpec { stdio, timeout_ms, kill_grace_ms: Some(50), ..shell(script) };
            let [job, end] = host.send_both(|job| [RequestBody::Exec(spec), RequestBody::End { job }]);
            assert_eq!(host.reply(end), ReplyBody::Done);
            assert!(matches!(host.reply(job), ReplyBody::Started { .. }));
            let ReplyBody::Exited(exit) = host.reply(job) else { panic!("not an exit") };
            assert!(matches!(exit.ending, Ending::Signal(9 | 15)) && !exit.timed_out, "{exit:?}");
        }
    }
}

#[test]
fn a_reader_that_stops_stalls_nobody_else() {
    let mut host = Host::new();
    let stuck = host.start(spec(&["yes"])).unwrap();
    host.slow.insert(stuck.out);
    let others: Vec<_> =
        (0..20).map(|n| host.start(shell(&format!("head -c 200000 /dev/zero; exit {n}"))).unwrap()).collect();
    for (n, running) in others.iter().enumerate() {
        let outcome = host.finish(running);
        assert_eq!(
            (outcome.out.len(), outcome.exit.ending),
            (200_000, Ending::Code(i32::try_from(n).unwrap()))
        );
    }
    host.ask(RequestBody::Signal { job: stuck.request, signal: 9, target: SignalTarget::Tree }).unwrap();
    host.slow.clear();
    host.grant(stuck.out, 1 << 20);
    assert_eq!(host.finish(&stuck).exit.ending, Ending::Signal(9));
}

#[test]
fn a_child_that_keeps_the_pipe_does_not_keep_the_job() {
    let mut host = Host::new();
    let outcome = host.run(shell("(while :; do echo more || exit; done) & echo hi; exec true"));
    assert_eq!(outcome.exit.ending, Ending::Code(0));
    assert!(outcome.exit.detached >= 1);
    let quiet = host.run(shell("sleep 1000 & echo hi"));
    assert_eq!((quiet.out.as_slice(), quiet.exit.detached), (&b"hi\n"[..], 1));
}

#[test]
fn what_a_detached_child_writes_is_taken_so_that_it_lives() {
    let mut host = Host::new();
    let script = "(head -c 2000000 /dev/zero; read -r line < wait; echo alive > note) & echo hi";
    let fifo = host.folder.path().join("workspace/wait");
    assert_eq!(host.run(spec(&["mkfifo", "wait"])).exit.ending, Ending::Code(0));
    assert!(host.run(shell(script)).exit.detached >= 1);
    // Opening the other end waits for the child, which waits for its two megabytes to be taken.
    std::fs::write(&fifo, "\n").unwrap();
    let note = "while ! [ -s note ]; do read -r line < /proc/self/stat; done; cat note";
    assert_eq!(host.run(shell(note)).out, b"alive\n");
}

#[test]
fn a_time_out_ends_the_whole_tree_and_keeps_what_was_written() {
    let mut host = Host::new();
    let script = "trap '' TERM; setsid sh -c 'trap \"\" TERM; echo $$ > one; exec sleep 1000' &
        (setsid sh -c 'echo $$ > two; exec sleep 1000' &) ; (trap '' TERM; exec sleep 1000) &
        while ! [ -s one ] || ! [ -s two ]; do :; done; echo partial; wait";
    let request = ExecSpec { timeout_ms: Some(1500), kill_grace_ms: Some(200), ..shell(script) };
    let outcome = host.run(request);
    assert!(outcome.exit.timed_out && outcome.exit.detached == 0, "{:?}", outcome.exit);
    assert_eq!((outcome.out.as_slice(), outcome.exit.ending), (&b"partial\n"[..], Ending::Signal(9)));
    for name in ["one", "two"] {
        let pid = std::fs::read_to_string(host.folder.path().join("workspace").join(name)).unwrap();
        assert!(!Path::new("/proc").join(pid.trim()).exists(), "{name} lives");
    }
}

#[test]
fn a_time_out_asks_before_it_kills() {
    let mut host = Host::new();
    let script = "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 1000 & wait; done";
    let outcome = host.run(ExecSpec { timeout_ms: Some(500), kill_grace_ms: Some(60_000), ..shell(script) });
    assert_eq!((outcome.out.as_slice(), outcome.exit.ending), (&b"ready\nbye\n"[..], Ending::Code(3)));
    assert!(outcome.exit.timed_out);
}

#[test]
fn what_cannot_be_started_says_why() {
    let mut host = Host::new();
    assert_eq!(code(host.start(spec(&["no-such-program"]))), ErrorCode::NotFound);
    assert_eq!(code(host.start(spec(&["/no/such/program"]))), ErrorCode::NotFound);
    assert_eq!(code(host.start(spec(&["/etc/passwd"]))), ErrorCode::NotExecutable);
    assert_eq!(code(host.start(spec(&["/usr"]))), ErrorCode::NotExecutable);
    assert_eq!(
        code(host.start(ExecSpec { cwd: Some("/no/such".into()), ..spec(&["true"]) })),
        ErrorCode::BadCwd
    );
    assert_eq!(
        code(host.start(ExecSpec { user: Some("no-such".into()), ..spec(&["true"]) })),
        ErrorCode::BadUser
    );
    assert_eq!(code(host.start(spec(&[]))), ErrorCode::BadRequest);
    let missing = host.start(spec(&["no-such-program"])).map(|running| running.pid).unwrap_err();
    assert!(missing.message.contains("no-such-program") && missing.errno == Some(2), "{missing:?}");
    assert_eq!(host.run(spec(&["true"])).exit.ending, Ending::Code(0));
}

#[test]
fn a_script_without_a_header_is_a_shell_script() {
    let mut host = Host::new();
    host.run(shell("echo 'echo \"$1\"' > script; chmod +x script"));
    assert_eq!(host.run(spec(&["./script", "word"])).out, b"word\n");
}

#[test]
fn a_refusal_names_what_was_asked_for() {
    let mut host = Host::new();
    let cwd = ExecSpec { cwd: Some("/no/such/folder".into()), ..spec(&["true"]) };
    let user = ExecSpec { user: Some("nobody-at-all".into()), ..spec(&["true"]) };
    for (spec, wanted) in [
        (cwd, "/no/such/folder"),
        (user, "nobody-at-all"),
        (spec(&["no-such-program"]), "no-such-program"),
        (spec(&["/etc/passwd"]), "/etc/passwd"),
        (spec(&["true", "a\0b"]), "a\u{fffd}b"),
    ] {
        let error = host.start(spec).map(|running| running.pid).unwrap_err();
        assert!(error.message.contains(wanted), "{error:?}");
    }
    let signal = host.ask(RequestBody::Signal { job: 4711, signal: 15, target: SignalTarget::Tree });
    assert!(signal.unwrap_err().message.contains("4711"));
}

#[test]
fn signals_reach_the_group_or_the_tree() {
    let mut host = Host::new();
    // Only `wait` sees a signal that comes just before it; a shell that runs a command waits for that first.
    let running = host
        .start(shell("trap 'echo int; exit 5' INT; echo ready; sleep 1000 >/dev/null 2>&1 & wait"))
        .unwrap();
    read_until(&mut host, running.out, b"ready");
    host.ask(RequestBody::Signal { job: running.request, signal: 2, target: SignalTarget::Foreground })
        .unwrap();
    let outcome = host.finish(&running);
    assert_eq!((outcome.out.as_slice(), outcome.exit.ending), (&b"ready\nint\n"[..], Ending::Code(5)));
    let gone = host.ask(RequestBody::Signal { job: running.request, signal: 2, target: SignalTarget::Tree });
    assert_eq!(gone.unwrap_err().code, ErrorCode::NoSuchJob);
    let escaped = host.start(shell("setsid sh -c 'echo ready; exec sleep 1000'")).unwrap();
    read_until(&mut host, escaped.out, b"ready");
    let bad = host.ask(RequestBody::Signal { job: escaped.request, signal: 65, target: SignalTarget::Tree });
    assert_eq!(bad.unwrap_err().code, ErrorCode::BadRequest);
    host.ask(RequestBody::Signal { job: escaped.request, signal: 15, target: SignalTarget::Tree }).unwrap();
    assert_ne!(host.finish(&escaped).exit.ending, Ending::Code(0));
}

#[test]
fn a_terminal_has_a_size_and_job_control() {
    let mut host = Host::new();
    let running = host
        .start(on_terminal(shell(
            "stty size; trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.05; done",
        )))
        .unwrap();
    read_until(&mut host, running.out, b"ready");
    host.ask(RequestBody::Resize { job: running.request, cols: 33, rows: 22 }).unwrap();
    let outcome = host.finish(&running);
    assert_eq!(String::from_utf8(outcome.out).unwrap(), "40 100\r\nready\r\n22 33\r\n");
}

#[test]
fn a_terminals_foreground_job_is_interrupted_and_its_shell_lives() {
    let mut host = Host::new();
    let running = host
        .start(on_terminal(ExecSpec {
            env: vec![("PS1".into(), r"\#> ".into())],
            ..spec(&["bash", "--norc", "--noprofile", "-i"])
        }))
        .unwrap();
    host.write(running.out, Kind::Data, b"sh -c 'echo up-$((40+2)); exec sleep 1000'\n");
    read_until(&mut host, running.out, b"up-42");
    host.ask(RequestBody::Signal { job: running.request, signal: 2, target: SignalTarget::Foreground })
        .unwrap();
    // What ends the input is lost on a terminal that the shell is about to make raw: each line waits for its prompt.
    read_until(&mut host, running.out, b"2> ");
    host.write(running.out, Kind::Data, b"echo still-$((40+3))\n");
    read_until(&mut host, running.out, b"still-43");
    read_until(&mut host, running.out, b"3> ");
    host.write(running.out, Kind::Eof, b"");
    assert_eq!(host.finish(&running).exit.ending, Ending::Code(0));
}

/// A prompt of a shell on a terminal.
fn interactive() -> ExecSpec {
    on_terminal(ExecSpec {
        env: vec![("PS1".into(), r"\#> ".into())],
        ..spec(&["bash", "--norc", "--noprofile", "-i"])
    })
}

#[test]
fn a_terminals_program_that_does_not_read_holds_up_nobody() {
    let mut host = Host::new();
    let deaf = host.start(on_terminal(shell("stty -echo; echo deaf; exec sleep 1000"))).unwrap();
    read_until(&mut host, deaf.out, b"deaf");
    // All the credit there is.
    let lines = b"a line of input\n".repeat(16 << 10);
    for chunk in lines.chunks(32 << 10) {
        host.write(deaf.out, Kind::Data, chunk);
    }
    assert_eq!(host.run(shell("echo fine")).out, b"fine\n");
    host.ask(RequestBody::Resize { job: deaf.request, cols: 33, rows: 22 }).unwrap();
    host.ask(RequestBody::Signal { job: deaf.request, signal: 2, target: SignalTarget::Foreground }).unwrap();
    assert_eq!(host.finish(&deaf).exit.ending, Ending::Signal(2));
    assert!(host.agent_peak_kib() < 8 * 1024, "{} KiB", host.agent_peak_kib());
}

#[test]
fn a_terminal_is_hung_up_with_everything_on_it() {
    let mut host = Host::new();
    let running = host.start(interactive()).unwrap();
    read_until(&mut host, running.out, b"1> ");
    // Neither HUP nor TERM ends this one.
    host.write(
        running.out,
        Kind::Data,
        b"(trap '' HUP TERM; echo up-$((40+2)); sleep 1000; sleep 1000) & wait\n",
    );
    read_until(&mut host, running.out, b"up-42");
    // In this order: the hang-up ends the shell, and only of a job that is being ended the rest is seen to.
    host.ask(RequestBody::End { job: running.request }).unwrap();
    host.ask(RequestBody::Signal { job: running.request, signal: 1, target: SignalTarget::Tree }).unwrap();
    let exit = host.finish(&running).exit;
    assert_eq!((exit.ending, exit.detached), (Ending::Signal(1), 0));
}

#[test]
fn a_reader_that_leaves_does_not_fail_its_writer() {
    let mut host = Host::new();
    let running = host.start(with_stdin(spec(&["true"]))).unwrap();
    host.feed(running.out, b"nobody reads this");
    assert_eq!(host.finish(&running).exit.ending, Ending::Code(0));
    let abandoned = host.start(shell("head -c 5000000 /dev/zero; echo end >&2")).unwrap();
    host.write(abandoned.out, Kind::Reset, b"not wanted");
    // What was under way when the agent learnt of it still arrives; no credit is given for it.
    host.abandoned.insert(abandoned.out);
    while !host.ended.contains(&abandoned.err) {
        host.step();
    }
    let ReplyBody::Exited(exit) = host.reply(abandoned.request) else { panic!("no exit") };
    assert_eq!((exit.ending, host.data[&abandoned.err].as_slice()), (Ending::Code(0), &b"end\n"[..]));
}

#[test]
fn nothing_is_done_for_a_host_that_did_not_attach() {
    let mut host = Host::silent();
    host.sync();
    assert_eq!(host.ask(RequestBody::Ping).unwrap_err().code, ErrorCode::NotAttached);
    assert_eq!(code(host.start(spec(&["true"]))), ErrorCode::NotAttached);
    let mut first = attach("secret");
    first.identity = None;
    assert_eq!(host.ask(RequestBody::Attach(first)).unwrap_err().code, ErrorCode::NotAttached);
    assert!(matches!(host.ask(RequestBody::Attach(attach("secret"))), Ok(ReplyBody::Attached(_))));
    host.sync();
    assert_eq!(host.ask(RequestBody::Attach(attach("guess"))).unwrap_err().code, ErrorCode::NotAttached);
    assert_eq!(host.ask(RequestBody::Ping).unwrap_err().code, ErrorCode::NotAttached);
    assert!(host.ask(RequestBody::Attach(attach("secret"))).is_ok());
    assert!(host.ask(RequestBody::Ping).is_ok());
}

#[test]
fn a_new_host_finds_the_jobs_of_the_old_one_running_and_its_own_names_free() {
    let mut host = Host::new();
    let old = host.start(shell("echo $$ > pid; yes | head -c 50000000; echo survived > note")).unwrap();
    host.slow.insert(old.out);
    host.sync();
    host.ask(RequestBody::Attach(attach("token"))).unwrap();
    let note = "while ! [ -s note ]; do read -r line < /proc/self/stat; done; cat note";
    assert_eq!(host.run(shell(note)).out, b"survived\n");
    let named = host.ask(RequestBody::Signal { job: old.request, signal: 9, target: SignalTarget::Tree });
    assert_eq!(named.unwrap_err().code, ErrorCode::NoSuchJob);
    assert!(host.replies.iter().all(|reply| !matches!(reply.body, ReplyBody::Exited(_))));
}

#[test]
fn garbage_is_survived_and_a_sync_starts_afresh() {
    let mut host = Host::new();
    let noise: Vec<u8> = (0..300_000u32).map(|at| (at.wrapping_mul(2_246_822_519) >> 23) as u8).collect();
    host.socket.write_all(&noise).unwrap();
    host.sync();
    assert_eq!(host.ask(RequestBody::Ping).unwrap_err().code, ErrorCode::NotAttached);
    host.ask(RequestBody::Attach(attach("token"))).unwrap();
    // A host that died in the middle of a frame.
    let mut half = Vec::new();
    pyro_proto::frame::encode(&mut half, 1, Kind::Data, &[0; 4000]);
    host.socket.write_all(&half[..2000]).unwrap();
    let mut bad = (FRAME_PAYLOAD_BYTES_MAX as u32 + 1).to_le_bytes().to_vec();
    bad.extend_from_slice(&[0; 4000]);
    host.socket.write_all(&bad).unwrap();
    host.sync();
    host.ask(RequestBody::Attach(attach("token"))).unwrap();
    assert_eq!(host.run(spec(&["true"])).exit.ending, Ending::Code(0));
}

#[test]
fn messages_it_does_not_know_are_answered() {
    let mut host = Host::new();
    host.write(0, Kind::Control, br#"{"request": 77, "type": "levitate"}"#);
    let ReplyBody::Failed(error) = host.reply(77) else { panic!("not refused") };
    assert_eq!(error.code, ErrorCode::Unsupported);
    host.write(0, Kind::Control, b"not even json");
    assert!(matches!(host.reply(0), ReplyBody::Hello(_)));
    assert!(matches!(host.reply(0), ReplyBody::Failed(_)));
    // Frames of streams nobody opened.
    host.write(900, Kind::Data, b"x");
    host.write(900, Kind::Credit, &[0xff; 4]);
    host.write(900, Kind::Eof, b"");
    host.write(900, Kind::Reset, b"");
    assert!(host.ask(RequestBody::Ping).is_ok());
}

#[test]
fn a_host_that_breaks_the_credit_rules_loses_the_stream_and_not_the_channel() {
    let mut host = Host::new();
    let running = host.start(with_stdin(spec(&["sleep", "1000"]))).unwrap();
    for _ in 0..9 {
        host.write(running.out, Kind::Data, &[0; 32 * 1024]);
    }
    while !host.resets.contains(&running.out) {
        host.step();
    }
    let greedy = host.start(spec(&["sleep", "1000"])).unwrap();
    host.grant(greedy.out, u32::MAX);
    while !host.resets.contains(&greedy.out) {
        host.step();
    }
    assert!(host.ask(RequestBody::Ping).is_ok());
}

#[test]
fn names_in_use_are_refused() {
    let mut host = Host::new();
    let running = host.start(spec(&["sleep", "1000"])).unwrap();
    let stdio = Stdio { stream: running.out, ..Stdio::default() };
    let refused = host.ask(RequestBody::Exec(ExecSpec { stdio, ..spec(&["true"]) }));
    assert_eq!(refused.unwrap_err().code, ErrorCode::BadRequest);
}

#[test]
fn commands_run_as_the_user_asked_for() {
    let mut host = Host::new();
    let request = ExecSpec {
        user: Some("12345:23456".into()),
        cwd: Some("/".into()),
        ..shell("id -u; id -g; id -G; echo $USER > /dev/stdout")
    };
    if std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0) {
        assert_eq!(host.run(request).out, b"12345\n23456\n23456\n12345\n");
    } else {
        assert_eq!(code(host.start(request)), ErrorCode::BadUser);
    }
}

#[test]
fn freezing_a_host_is_refused() {
    let mut host = Host::new();
    assert_eq!(host.ask(RequestBody::Quiesce).unwrap_err().code, ErrorCode::Unsupported);
    assert!(host.ask(RequestBody::Ping).is_ok());
}

#[test]
fn a_shutdown_ends_the_jobs_and_then_the_agent() {
    let mut host = Host::new();
    let running = host.start(shell("trap 'echo asked > note; exit' TERM; echo $$ > pid; echo ready; while :; do sleep 1000 & wait; done")).unwrap();
    read_until(&mut host, running.out, b"ready");
    host.ask(RequestBody::Shutdown).unwrap();
    let mut rest = Vec::new();
    host.socket.read_to_end(&mut rest).unwrap();
    let workspace = host.folder.path().join("workspace");
    assert_eq!(std::fs::read(workspace.join("note")).unwrap(), b"asked\n");
    let pid = std::fs::read_to_string(workspace.join("pid")).unwrap();
    assert!(!Path::new("/proc").join(pid.trim()).exists());
}

#[test]
fn a_host_that_goes_away_takes_everything_along() {
    let mut host = Host::new();
    let script = "setsid sh -c 'trap \"\" TERM HUP; echo $$ > pid; echo ready; exec sleep 1000'";
    let running = host.start(shell(script)).unwrap();
    read_until(&mut host, running.out, b"ready");
    let pid = std::fs::read_to_string(host.folder.path().join("workspace/pid")).unwrap();
    host.socket.shutdown(std::net::Shutdown::Both).unwrap();
    assert!(host.agent.wait().unwrap().success());
    assert!(!Path::new("/proc").join(pid.trim()).exists());
}

#[test]
fn an_agent_that_is_killed_takes_everything_along() {
    let mut host = Host::new();
    host.run(spec(&["mkfifo", "held"]));
    let script = "setsid sh -c 'trap \"\" TERM HUP; exec > held; echo up; while :; do sleep 1000; done'";
    host.start(shell(script)).unwrap();
    let mut held = std::fs::File::open(host.folder.path().join("workspace/held")).unwrap();
    let mut up = [0; 3];
    held.read_exact(&mut up).unwrap();
    host.agent.kill().unwrap();
    // End-of-file comes when the last process that holds the other end is gone.
    assert_eq!(held.read_to_end(&mut Vec::new()).unwrap(), 0);
}

#[test]
fn commands_said_before_the_agent_is_up_are_heard() {
    let mut host = Host::silent();
    let mut wire = SYNC.to_vec();
    let request = pyro_proto::message::Request { request: 900, body: RequestBody::Attach(attach("t")) };
    let payload = pyro_proto::message::to_payload(&request).unwrap();
    pyro_proto::frame::encode(&mut wire, 0, Kind::Control, &payload);
    host.socket.write_all(&wire).unwrap();
    assert!(matches!(host.reply(900), ReplyBody::Attached(_)));
}
