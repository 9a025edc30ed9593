//! A host that comes after another and makes its jobs its own: what they print meanwhile, how they end meanwhile, and what was
//! on its way into them.

use crate::host::Host;
use crate::host::Running;
use crate::host::attach;
use crate::host::shell;
use pyro_proto::exec::Ending;
use pyro_proto::exec::ExecSpec;
use pyro_proto::exec::Stdio;
use pyro_proto::hello::Attach;
use pyro_proto::limits::INITIAL_CREDIT_BYTES;
use pyro_proto::message::ErrorCode;
use pyro_proto::message::RequestBody;
use pyro_proto::message::SignalTarget;

/// Waits in the working directory for a file, without sleeping.
const WAIT: &str = "while ! [ -e go ]; do read -r line < /proc/self/stat; done";

fn fed(script: &str) -> ExecSpec {
    let mut spec = shell(script);
    spec.stdio = Stdio { stdin: true, ..Stdio::default() };
    spec
}

fn go(host: &Host) {
    std::fs::write(host.folder.path().join("workspace/go"), "").unwrap();
}

#[test]
fn a_job_goes_on_with_the_next_host_where_it_was() {
    let mut host = Host::new();
    let script = "while read -r line; do echo \"got $line\"; echo \"saw $line\" >&2; done; exit 7";
    let old = host.start(fed(script)).unwrap();
    host.push(old.out, b"one\n");
    assert_eq!(
        (host.take(old.out, 8), host.take(old.err, 8)),
        (b"got one\n".to_vec(), b"saw one\n".to_vec())
    );

    host.come_for_jobs();
    let job = host.take_over(&old, true).unwrap();
    assert_eq!(job.pid, old.pid);
    host.push(job.out, b"two\n");
    assert_eq!(host.take(job.out, 8), b"got two\n");
    // And once more.
    host.come_for_jobs();
    let job = host.take_over(&job, true).unwrap();
    host.feed(job.out, b"three\n");
    let outcome = host.finish(&job);
    assert_eq!((outcome.exit.ending, outcome.out.as_slice()), (Ending::Code(7), &b"got three\n"[..]));
    assert!(outcome.err.ends_with(b"saw three\n"));
    // Its names are free, and nobody hears of it twice.
    assert!(host.take_over(&job, true).is_err_and(|error| error.code == ErrorCode::NoSuchJob));
}

#[test]
fn nothing_that_a_job_prints_between_two_hosts_is_lost() {
    let mut host = Host::new();
    // More than pipe and credit hold, so it is not done before somebody asks for it; and one that is.
    let many = host.start(shell(&format!("exec 2>&-; {WAIT}; yes | head -c 3000000; exit 3"))).unwrap();
    let few = host.start(shell(&format!("{WAIT}; echo last; kill -9 $$"))).unwrap();
    let slow = host.start(shell("echo first; read -r line")).unwrap();
    while !host.ended.contains(&many.err) {
        host.step();
    }
    assert_eq!(host.finish(&slow).out, b"first\n");
    host.sync();
    go(&host);
    host.ask(RequestBody::Attach(Attach { keep_jobs: true, ..attach("token") })).unwrap();
    let taken = [host.take_over(&many, false).unwrap(), host.take_over(&few, false).unwrap()];
    let [many, few] = taken.map(|job| host.finish(&job));
    assert_eq!((many.exit.ending, many.out.len()), (Ending::Code(3), 3_000_000));
    assert_eq!((few.exit.ending, few.out.as_slice()), (Ending::Signal(9), &b"last\n"[..]));
    // One whose end was told is not there any more.
    assert!(host.take_over(&slow, false).is_err_and(|error| error.code == ErrorCode::NoSuchJob));
}

#[test]
fn input_that_a_job_has_not_read_yet_takes_its_room_from_the_next_host() {
    let mut host = Host::new();
    let old = host.start(fed(&format!("{WAIT}; wc -c"))).unwrap();
    let all = INITIAL_CREDIT_BYTES as usize;
    host.push(old.out, &vec![b'x'; all]);
    host.come_for_jobs();
    let job = host.take_over(&old, true).unwrap();
    while host.windows[&job.out].available() == 0 {
        // Only what the pipe had taken has become room.
        host.step();
    }
    assert!(host.windows[&job.out].available() < all / 2);
    go(&host);
    host.feed(job.out, &vec![b'y'; all]);
    assert_eq!(host.finish(&job).out, format!("{}\n", 2 * all).into_bytes());

    // Whoever takes it over without input ends that.
    let old = host.start(fed("cat; echo end")).unwrap();
    host.push(old.out, b"x");
    host.take(old.out, 1);
    host.come_for_jobs();
    let job = host.take_over(&old, false).unwrap();
    assert_eq!(host.finish(&job).out, b"end\n");
}

#[test]
fn what_nobody_asks_for_runs_on_unheard() {
    let mut host = Host::new();
    let script = "yes | head -c 50000000; echo survived > note";
    let heard = "while ! [ -s note ]; do read -r line < /proc/self/stat; done; cat note; rm note";
    let no_such_job = |host: &mut Host, old: &Running| {
        assert!(host.take_over(old, false).is_err_and(|error| error.code == ErrorCode::NoSuchJob));
    };
    // Because it says so, because it never came for them, or because it went without having asked.
    let old = host.start(shell(script)).unwrap();
    host.slow.insert(old.out);
    host.come_for_jobs();
    let named = host.ask(RequestBody::Signal { job: old.request, signal: 9, target: SignalTarget::Tree });
    assert_eq!(named.unwrap_err().code, ErrorCode::NoSuchJob, "it is nobody's yet");
    host.ask(RequestBody::LetGo).unwrap();
    assert_eq!(host.run(shell(heard)).out, b"survived\n");
    no_such_job(&mut host, &old);

    let old = host.start(shell(script)).unwrap();
    host.slow.insert(old.out);
    host.sync();
    host.ask(RequestBody::Attach(attach("token"))).unwrap();
    assert_eq!(host.run(shell(heard)).out, b"survived\n");
    no_such_job(&mut host, &old);

    let old = host.start(shell(script)).unwrap();
    host.slow.insert(old.out);
    host.come_for_jobs();
    host.come_for_jobs();
    assert_eq!(host.run(shell(heard)).out, b"survived\n");
    no_such_job(&mut host, &old);
}

#[test]
fn jobs_are_taken_over_by_a_host_that_may_and_says_what_they_are() {
    let mut host = Host::new();
    let old = host.start(shell("read -r line < /dev/zero & wait")).unwrap();
    host.sync();
    assert!(host.take_over(&old, false).is_err_and(|error| error.code == ErrorCode::NotAttached));
    let guess = Attach { keep_jobs: true, ..attach("guess") };
    assert_eq!(host.ask(RequestBody::Attach(guess)).unwrap_err().code, ErrorCode::NotAttached);
    assert!(host.take_over(&old, false).is_err_and(|error| error.code == ErrorCode::NotAttached));
    host.come_for_jobs();
    let mut refused = |stdio: Stdio| {
        let asked = host.ask(RequestBody::TakeOver { job: old.request, stdio });
        assert_eq!(asked.unwrap_err().code, ErrorCode::BadRequest);
    };
    refused(Stdio { stream: 900, ..Stdio::default() });
    refused(Stdio { stream: 900, stdin: true, stderr_stream: Some(901), pty: None });
    refused(Stdio { stream: 900, stderr_stream: Some(900), ..Stdio::default() });
    refused(Stdio { stream: 0, stderr_stream: Some(901), ..Stdio::default() });
    let job = host.take_over(&old, false).unwrap();
    let stdio = Stdio { stream: job.out, stderr_stream: Some(901), ..Stdio::default() };
    let asked = host.ask(RequestBody::TakeOver { job: old.request, stdio });
    assert_eq!(asked.unwrap_err().code, ErrorCode::BadRequest, "the stream is in use");
    host.ask(RequestBody::Signal { job: job.request, signal: 9, target: SignalTarget::Tree }).unwrap();
    assert_eq!(host.finish(&job).exit.ending, Ending::Signal(9));
}
