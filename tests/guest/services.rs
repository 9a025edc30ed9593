//! Services: commands of the guest that stay. How they end is compared with what they ended with.

use crate::debian;
use pyro_testkit::Workspace;
use serde_json::Value;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Read as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::process::Stdio;

/// An HTTP server for ADDRESS and PORT that answers every request with its file of the working directory, or 404.
const WEB: &str = r#"
use strict; use IO::Socket::IP; $SIG{PIPE} = 'IGNORE'; $| = 1;
my ($host, $port) = @ARGV;
my $listener = IO::Socket::IP->new(Listen => 64, LocalHost => $host, LocalPort => $port, ReuseAddr => 1, V6Only => 1)
    or die "listening: $@";
print "listening\n";
while (my $client = $listener->accept) {
    my ($path) = (<$client> // '') =~ m{^GET /(\S*)} or next;
    print "asked for $path\n";
    my $found = open(my $file, '<', $path); local $/;
    print $client "HTTP/1.0 ", $found ? "200 OK" : "404 Not Found", "\r\n\r\n", $found ? <$file> : '';
    close $client;
}
"#;

pub(crate) fn service(work: &Workspace<'_>, words: &str, rest: &[&str]) -> Value {
    work.call(&format!("service {words}"), rest).succeeds().json()
}

pub(crate) fn start(work: &Workspace<'_>, name: &str, flags: &[&str], command: &[&str]) -> Value {
    service(work, "start", &[&[name, "--json"], flags, &["--"], command].concat())
}

pub(crate) fn status(work: &Workspace<'_>, name: &str) -> Value {
    service(work, "status", &[name, "--json"])
}

pub(crate) fn put_web(work: &Workspace<'_>) {
    work.sh(&format!("cat > /workspace/web.pl <<'END'{WEB}END\necho hello > /workspace/hello"));
}

/// What a GET of `path` brings.
pub(crate) fn get(port: u64, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", u16::try_from(port).unwrap())).unwrap();
    write!(stream, "GET /{path} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_cold_start_is_validated() {
    let home = debian();
    let seed = home.home().join("seed");
    std::fs::create_dir(&seed).unwrap();
    std::fs::write(seed.join("README.md"), "# cold start\n").unwrap();
    std::fs::write(seed.join("validate.sh"), "echo validated | tee validation-report.txt\n").unwrap();
    let serve = "echo 'service started'\necho state=ready > service-state.txt\n: > .app-ready\n\
                 while true; do sleep 60; done\n";
    std::fs::write(seed.join("serve.sh"), serve).unwrap();
    let work = home.workspace("debian:12", &["--seed-path", seed.to_str().unwrap()]);
    let validated = work
        .call("exec", &["--json", "--timeout-seconds", "120", "--", "sh", "validate.sh"])
        .succeeds()
        .json();
    assert_eq!(
        (&validated["stdout"], &validated["execution_mode"]),
        (&"validated\n".into(), &"guest_vsock".into())
    );

    let app = start(
        &work,
        "app",
        &["--ready-file", ".app-ready", "--ready-timeout-seconds", "120"],
        &["sh", "serve.sh"],
    );
    assert_eq!(
        (&app["state"], &app["service_name"], &app["command"]),
        (&"running".into(), &"app".into(), &"sh serve.sh".into())
    );
    assert_eq!(app["readiness"], serde_json::json!({ "type": "file", "path": ".app-ready" }));
    assert!(app["ready_at"].as_f64() >= app["started_at"].as_f64() && app["pid"].as_u64() > Some(1), "{app}");
    assert_eq!(work.sh("cat service-state.txt; cat /proc/*/comm | grep -c sleep"), "state=ready\n1");
    let record = work.status();
    assert_eq!((&record["service_count"], &record["running_service_count"]), (&1.into(), &1.into()));
    let logs = service(&work, "logs", &["app", "--json"]);
    assert_eq!(
        (&logs["stdout"], &logs["truncated"], &logs["tail_lines"]),
        (&"service started\n".into(), &false.into(), &200.into())
    );
    let report = home.home().join("report.txt");
    work.call("export", &["validation-report.txt", "--output", report.to_str().unwrap()]).succeeds();
    assert_eq!(std::fs::read_to_string(report).unwrap(), "validated\n");

    let stopped = service(&work, "stop", &["app", "--json"]);
    assert_eq!((&stopped["state"], &stopped["stop_reason"]), (&"stopped".into(), &"sigterm".into()));
    assert_eq!((&stopped["exit_code"], &stopped["signal"]), (&143.into(), &15.into()));
    assert_eq!(work.sh("cat /proc/*/comm | grep -c sleep || true"), "0", "something of it is left");
    // What it printed is still there, and once more when nothing runs at all.
    let line = work.call("service list", &[]).succeeds().stdout();
    assert_eq!(line, "app [stopped] cwd=/workspace published=-\n");
    work.call("stop", &[]).succeeds();
    let logs = work.call("service logs", &["app"]).succeeds();
    assert_eq!(logs.stdout(), "service started\n");
    assert!(logs.stderr().contains("[workspace-service-logs] service_name=app state=stopped"), "{logs:?}");
    assert_eq!(work.status()["service_count"], 1);
}

#[test]
fn what_fails_says_how_at_once() {
    let home = debian();
    let work = home.workspace("debian:12", &[]);
    let probe = ["--ready-file", "never", "--ready-timeout-seconds", "600"];
    let fails = |name: &str, flags: &[&str], command: &[&str]| {
        work.call("service start", &[&[name, "--json"], flags, &["--"], command].concat()).ends_with(1).json()
    };
    let failed = fails("bad", &probe, &["sh", "-c", "echo no >&2; exit 3"]);
    assert_eq!((&failed["state"], &failed["exit_code"]), (&"failed".into(), &3.into()));
    assert_eq!(failed["stop_reason"], "process_exited_before_ready");
    assert_eq!((&failed["code"], &failed["ok"]), (&"service_failed".into(), &false.into()));
    assert_eq!(service(&work, "logs", &["bad", "--json"])["stderr"], "no\n");
    let killed = fails("killed", &probe, &["sh", "-c", "kill -9 $$"]);
    assert_eq!((&killed["exit_code"], &killed["signal"]), (&137.into(), &9.into()));
    let missing = fails("missing", &[], &["no-such-program", "x"]);
    assert_eq!(
        (&missing["state"], &missing["exit_code"], &missing["pid"]),
        (&"failed".into(), &127.into(), &Value::Null)
    );
    // One that was ready the last time is not ready because of what is left from then.
    work.sh("touch left");
    let left = fails("left", &["--ready-file", "left"], &["false", ""]);
    assert_eq!(left["stop_reason"], "process_exited_before_ready");
    let late =
        fails("late", &["--ready-tcp", "127.0.0.1:1", "--ready-timeout-seconds", "1"], &["sleep", "1000"]);
    assert_eq!((&late["stop_reason"], &late["signal"]), (&"readiness_timeout".into(), &15.into()));
    assert_eq!(
        work.sh("cat /proc/*/comm | grep -c sleep || true"),
        "0",
        "what was not ready in time runs on"
    );

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("{}:80", taken.local_addr().unwrap().port());
    let no_port = fails("port", &["--publish", &port], &["sleep", "1000"]);
    assert_eq!(no_port["stop_reason"], "published_port_failed");
    assert!(no_port["error"].as_str().unwrap().contains("in use"), "{no_port}");
    work.call("service start", &[&["bad"], &probe[..], &["--", "exit 3"]].concat()).fails_with(
        1,
        "service_failed",
        "'bad'",
    );

    // One that ends by itself later has exited, with exactly what it ended with.
    let mut events = home.events();
    work.sh("mkfifo fifo");
    start(&work, "short", &[], &["sh", "-c", "read line < fifo; exit 7"]);
    work.sh("echo go > fifo");
    events.wait_for("service_ready");
    events.wait_for("service_ended");
    let short = status(&work, "short");
    assert_eq!(
        (&short["state"], &short["exit_code"], &short["stop_reason"]),
        (&"exited".into(), &7.into(), &Value::Null)
    );
    work.call("service status", &["nobody"]).fails_with(1, "service_unknown", "nobody");
}

#[test]
fn readiness_is_seen_of_every_kind() {
    let home = debian();
    let work = home.workspace("debian:12", &[]);
    put_web(&work);
    let patient = ["--ready-timeout-seconds", "120", "--ready-interval-ms", "50"];
    let serve = |name: &str, flags: &[&str], host: &str, port: &str| {
        let ready = start(&work, name, &[&patient, flags].concat(), &["perl", "web.pl", host, port]);
        assert_eq!((&ready["state"], &ready["service_name"]), (&"running".into(), &name.into()));
        assert!(
            service(&work, "logs", &[name, "--json"])["stdout"].as_str().unwrap().starts_with("listening\n")
        );
    };
    serve("tcp4", &["--ready-tcp", "127.0.0.1:8001"], "127.0.0.1", "8001");
    serve("tcp6", &["--ready-tcp", "[::1]:8002"], "::1", "8002");
    serve("either", &["--ready-tcp", "localhost:8003"], "::1", "8003");
    serve("http4", &["--ready-http", "http://127.0.0.1:8004/hello"], "127.0.0.1", "8004");
    serve("http6", &["--ready-http", "http://[::1]:8005/hello"], "::1", "8005");
    assert!(
        service(&work, "logs", &["http6", "--json"])["stdout"]
            .as_str()
            .unwrap()
            .contains("asked for hello\n")
    );
    let command = "test \"$WHO\" = me && pwd > seen";
    start(
        &work,
        "command",
        &["--ready-command", command, "--env", "WHO=me", "--cwd", "/tmp", "--user", "nobody"],
        &["sleep", "1000"],
    );
    assert_eq!(work.sh("cat /tmp/seen; stat -c %U /tmp/seen"), "/tmp\nnobody");
    // 404 is no readiness; it becomes ready when the file is there, and unhealthy when that is gone.
    let url = ["--ready-http", "http://127.0.0.1:8006/late", "--health-interval-ms", "100", "--no-wait"];
    let late = start(&work, "late", &[&patient, &url[..]].concat(), &["perl", "web.pl", "127.0.0.1", "8006"]);
    assert_eq!((&late["state"], &late["healthy"]), (&"starting".into(), &Value::Null));
    wait_for_log(&work, "late", "asked for late");
    assert_eq!(status(&work, "late")["state"], "starting");
    work.sh("touch late");
    until(&work, "late", |late| late["state"] == "running");
    assert_eq!(status(&work, "late")["healthy"], true);
    work.sh("rm late");
    until(&work, "late", |late| late["healthy"] == false);
    work.sh("touch late");
    until(&work, "late", |late| late["healthy"] == true);
    assert_eq!(work.status()["running_service_count"], 7);
    for bad in [
        &["--ready-tcp", "80"][..],
        &["--ready-http", "https://x/"],
        &["--ready-file", "a", "--ready-command", "b"],
        &["--health-interval-ms", "100"],
    ] {
        assert_eq!(work.call("service start", &[&["x"], bad, &["--", "true"]].concat()).code(), 2, "{bad:?}");
    }
}

/// Follows a service's log until a line holds this.
fn wait_for_log(work: &Workspace<'_>, name: &str, text: &str) {
    let mut child = work
        .command("service logs", &[name, "--follow"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains(text)), "the service ended before it said {text}");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Looks until it is so. The service changes by itself, and every look is a process of its own.
fn until(work: &Workspace<'_>, name: &str, is_so: impl Fn(&Value) -> bool) {
    for _ in 0..300 {
        if is_so(&status(work, name)) {
            return;
        }
    }
    panic!("it never came to be so: {}", status(work, name));
}

#[test]
fn one_that_fails_is_started_again() {
    let home = debian();
    let work = home.workspace("debian:12", &[]);
    let mut events = home.events();
    let script = "echo run; : > ready; read code < fifo; rm ready; exit $code";
    work.sh("mkfifo fifo");
    let flags = ["--restart", "on-failure", "--ready-file", "ready", "--ready-interval-ms", "50"];
    let first = start(&work, "web", &flags, &["sh", "-c", script]);
    assert_eq!((&first["restart_count"], &first["restart"]), (&0.into(), &"on-failure".into()));
    events.wait_for("service_ready");
    for count in 1..=2 {
        work.sh("echo 4 > fifo");
        events.wait_for("service_started");
        events.wait_for("service_ready");
        let again = status(&work, "web");
        assert_eq!((&again["state"], &again["restart_count"]), (&"running".into(), &count.into()));
    }
    work.sh(&format!("kill -9 {} && rm ready", status(&work, "web")["pid"]));
    events.wait_for("service_ready");
    assert_eq!(status(&work, "web")["restart_count"], 3);
    // One that waits to be started again, four seconds by now, can be stopped, and is not started again.
    work.sh("echo 4 > fifo");
    events.wait_for("service_restarting");
    let stopped = service(&work, "stop", &["web", "--json"]);
    assert_eq!((&stopped["state"], &stopped["exit_code"]), (&"stopped".into(), &4.into()));
    assert_eq!(service(&work, "logs", &["web", "--json"])["stdout"], "run\nrun\nrun\nrun\n");
    // One that ends well is not.
    start(&work, "web", &flags, &["sh", "-c", script]);
    work.sh("echo 0 > fifo");
    until(&work, "web", |web| web["state"] == "exited");
    let ended = status(&work, "web");
    assert_eq!((&ended["exit_code"], &ended["restart_count"]), (&0.into(), &0.into()));
}

#[test]
fn what_a_service_has_started_ends_with_it() {
    let home = debian();
    let work = home.workspace("debian:12", &[]);
    let mut events = home.events();
    // It leaves its session, and would keep a port of the next one's.
    work.sh("mkfifo fifo; cp /bin/sleep leftover");
    let script = "setsid ./leftover 1000 & : > ready; read code < fifo; rm ready; exit $code";
    let flags = ["--restart", "on-failure", "--ready-file", "ready", "--ready-interval-ms", "50"];
    start(&work, "web", &flags, &["sh", "-c", script]);
    events.wait_for("service_ready");
    let living = "cat /proc/[0-9]*/comm | grep -cx leftover || true";
    assert_eq!(work.sh(living), "1");
    work.sh("echo 4 > fifo");
    events.wait_for("service_restarting");
    assert_eq!(status(&work, "web")["detached_processes"], 1);
    events.wait_for("service_ready");
    assert_eq!(work.sh(living), "1", "that of the one before is still there");
    work.sh("echo 0 > fifo");
    events.wait_for("service_ended");
    let ended = status(&work, "web");
    assert_eq!((&ended["state"], &ended["detached_processes"]), (&"exited".into(), &1.into()));
    assert_eq!(work.sh(living), "0");
}

#[test]
fn logs_disturb_nothing_and_ports_end_with_their_service() {
    let home = debian();
    let work = home.workspace("debian:12", &[]);
    put_web(&work);
    let flags = ["--publish", "8010", "--ready-tcp", "127.0.0.1:8010", "--ready-timeout-seconds", "120"];
    let web = start(&work, "web", &flags, &["perl", "web.pl", "127.0.0.1", "8010"]);
    let port = web["published_ports"][0]["host_port"].as_u64().unwrap();
    assert!(get(port, "hello").ends_with("\r\n\r\nhello\n"));
    for _ in 0..3 {
        assert!(
            service(&work, "logs", &["web", "--json"])["stdout"]
                .as_str()
                .unwrap()
                .contains("asked for hello\n")
        );
        assert!(get(port, "hello").ends_with("\r\n\r\nhello\n"));
    }
    wait_for_log(&work, "web", "asked for hello");
    assert!(get(port, "hello").ends_with("\r\n\r\nhello\n"), "following did it");
    assert_eq!(service(&work, "logs", &["web", "--json", "--tail-lines", "1"])["truncated"], true);
    // Its name is taken while it runs.
    work.call("service start", &["web", "--", "true"]).fails_with(1, "service_running", "'web'");
    // Restarted it is what it was, and another process.
    let again = service(&work, "restart", &["web", "--json"]);
    assert!(again["pid"] != web["pid"] && again["command"] == web["command"], "{again}");
    assert!(get(again["published_ports"][0]["host_port"].as_u64().unwrap(), "hello").ends_with("hello\n"));

    let mut follower = work.command("service logs", &["web", "-f", "--tail-lines", "0"]);
    let mut follower = follower.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let port = again["published_ports"][0]["host_port"].as_u64().unwrap();
    let stopped = service(&work, "stop", &["web", "--json"]);
    assert_eq!(stopped["published_ports"], serde_json::json!([]));
    assert!(TcpStream::connect(("127.0.0.1", u16::try_from(port).unwrap())).is_err(), "its port is open");
    // Whoever follows hears of the end.
    assert!(follower.wait().unwrap().success());
    let mut told = String::new();
    follower.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert!(told.contains("state=stopped"), "{told}");
    // Begun anew it has only its own logs.
    start(&work, "web", &[], &["sh", "-c", "echo other; sleep 1000"]);
    assert_eq!(service(&work, "logs", &["web", "--json"])["stdout"], "other\n");
}

#[test]
fn stopping_takes_as_long_as_the_process_takes() {
    let home = debian();
    let work = home.workspace("debian:12", &[]);
    let graceful = "trap 'echo bye; exit 5' TERM; : > up; while true; do sleep 0.1; done";
    start(&work, "good", &["--ready-file", "up"], &["sh", "-c", graceful]);
    let began = std::time::Instant::now();
    let good = service(&work, "stop", &["good", "--json", "--timeout-seconds", "600"]);
    assert!(began.elapsed().as_secs() < 300, "it was waited for to the end of its time");
    assert_eq!(
        (&good["exit_code"], &good["signal"], &good["stop_reason"]),
        (&5.into(), &Value::Null, &"sigterm".into())
    );
    assert_eq!(service(&work, "logs", &["good", "--json"])["stdout"], "bye\n");
    // One that does not listen, and its children, are killed once their time is over.
    let deaf = "trap '' TERM; sleep 1000 & : > up2; wait; sleep 1000";
    start(&work, "deaf", &["--ready-file", "up2"], &["sh", "-c", deaf]);
    let deaf = service(&work, "stop", &["deaf", "--json", "--timeout-seconds", "1"]);
    assert_eq!(
        (&deaf["exit_code"], &deaf["signal"], &deaf["stop_reason"]),
        (&137.into(), &9.into(), &"sigkill".into())
    );
    assert_eq!(work.sh("cat /proc/*/comm | grep -c sleep || true"), "0");
    // Stopped again it stays as it is.
    assert_eq!(service(&work, "stop", &["deaf", "--json"])["stop_reason"], "sigkill");
    // With the workspace, every service ends, and is asked to.
    start(&work, "good", &["--ready-file", "up"], &["sh", "-c", graceful]);
    work.call("reset", &[]).succeeds();
    let reset = status(&work, "good");
    assert_eq!((&reset["state"], &reset["stop_reason"]), (&"stopped".into(), &"workspace_stopped".into()));
    let again = service(&work, "restart", &["good", "--json"]);
    assert_eq!(again["state"], "running");
    work.call("stop", &[]).succeeds();
    let ended = status(&work, "good");
    assert_eq!((&ended["state"], &ended["stop_reason"]), (&"stopped".into(), &"workspace_stopped".into()));
    assert_eq!(ended["exit_code"], 5, "it was not asked to end");
    assert!(work.call("service logs", &["good"]).succeeds().stdout().ends_with("bye\n"));
    work.call("service stop", &["good"]).fails_with(1, "workspace_not_running", "");
    work.call("start", &[]).succeeds();
    assert_eq!(status(&work, "good")["stop_reason"], "workspace_stopped");
}

#[test]
fn a_client_that_dies_leaves_the_service_alone() {
    let home = debian();
    let work = home.workspace("debian:12", &[]);
    let mut events = home.events();
    let flags = ["slow", "--ready-file", "go", "--ready-timeout-seconds", "600", "--ready-interval-ms", "50"];
    let mut client = work
        .command("service start", &[&flags[..], &["--", "sleep", "1000"]].concat())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    events.wait_for("service_started");
    client.kill().unwrap();
    client.wait().unwrap();
    assert_eq!(status(&work, "slow")["state"], "starting");
    work.sh("touch go");
    events.wait_for("service_ready");
    assert_eq!(status(&work, "slow")["state"], "running");
    // A guest that is lost takes it along, and that is known even of a supervisor that was killed.
    let supervisor = rustix::process::Pid::from_raw(work.pid("supervisor_pid")).unwrap();
    rustix::process::kill_process(supervisor, rustix::process::Signal::KILL).unwrap();
    work.call("stop", &[]);
    let lost = status(&work, "slow");
    assert_eq!((&lost["state"], &lost["stop_reason"]), (&"stopped".into(), &"workspace_stopped".into()));
}

#[test]
fn logs_are_bounded_and_say_so() {
    let home = debian();
    let work = home.workspace("debian:12", &[]);
    let mut events = home.events();
    // More than 24 MiB in lines of 64 bytes, and then an end.
    let script = "sleep 1; yes 0123456789012345678901234567890123456789012345678901234567890 | head -n 410000; echo last";
    start(&work, "noisy", &[], &["sh", "-c", script]);
    events.wait_for("service_ended");
    let all = service(&work, "logs", &["noisy", "--all", "--json"]);
    let kept = all["stdout"].as_str().unwrap();
    assert!(kept.len() >= 8 << 20 && kept.len() <= 16 << 20, "{} bytes are kept", kept.len());
    assert!(kept.ends_with("\nlast\n") && all["truncated"] == true && all["tail_lines"] == Value::Null);
    let tail = service(&work, "logs", &["noisy", "--json"]);
    assert_eq!(tail["stdout"].as_str().unwrap().lines().count(), 200);
    let folder = home.state().join("workspaces").join(work.id()).join("services/noisy");
    let bytes: u64 =
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes < 17 << 20, "{bytes} bytes are on the host's disk");
}

/// The readiness command is run as the service is, so it has the same secrets, in its variables and as files.
#[test]
fn a_readiness_command_has_the_services_secrets() {
    let home = debian();
    let work = home.workspace("debian:12", &["--secret", "TOKEN=swordfish"]);
    let start = |name: &str, flags: &[&str], ready: &str| {
        let limits = ["--ready-timeout-seconds", "20", "--ready-command", ready];
        work.call("service start", &[&[name], flags, &limits, &["--", "exec sleep 1000"]].concat())
    };
    let has = r#"[ "$T" = swordfish ] && [ "$(cat /run/pyro-secrets/TOKEN)" = swordfish ]"#;
    start("with", &["--secret-env", "TOKEN=T"], has).succeeds();
    // One that was not given it has it not.
    start("without", &[], r#"[ -z "${T+set}" ]"#).succeeds();
}
