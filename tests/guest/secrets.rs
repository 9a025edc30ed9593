//! Secrets: commands can use them, and nobody finds them afterwards, however hard they look.

use crate::debian;
use pyro_testkit::Outcome;
use pyro_testkit::Sandbox;
use pyro_testkit::Workspace;
use pyro_testkit::processes;
use serde_json::json;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

/// Nothing but these tests knows it.
const VALUE: &str = "swordfish/9c1f+e07a%b5";

/// With a small disk, because all of it is looked through.
const CREATE: [&str; 8] =
    ["workspace", "create", "debian:12", "--id-only", "--disk-mib", "1024", "--secret-from-env", "TOKEN"];

/// As a workspace with `VALUE` under the name TOKEN.
fn with_token<'a>(home: &'a Sandbox, flags: &[&str]) -> Workspace<'a> {
    let made = Outcome::of(home.pyro([&CREATE[..], flags].concat()).env("TOKEN", VALUE)).succeeds();
    home.adopt(made.stdout().trim())
}

#[test]
fn a_command_can_use_a_secret_and_nobody_can_see_it() {
    let home = debian();
    let work = with_token(&home, &[]);
    assert_eq!(work.status()["secrets"], json!([{ "name": "TOKEN", "source_kind": "environment" }]));
    // As a file, and as a variable if asked for.
    let length = VALUE.len().to_string();
    assert_eq!(
        work.sh("wc -c < /run/pyro-secrets/TOKEN; stat -c %a /run/pyro-secrets/TOKEN"),
        format!("{length}\n600")
    );
    let by_name = work.call(
        "exec",
        &["--secret-env", "TOKEN", "--", "test \"$TOKEN\" = \"$(cat /run/pyro-secrets/TOKEN)\""],
    );
    by_name.succeeds();
    let renamed = work.call("exec", &["--secret-env", "TOKEN=OTHER", "--", "printf %s \"$OTHER\" | wc -c"]);
    assert_eq!(renamed.succeeds().stdout().trim(), length);
    work.call("exec", &["--", "test -z \"$TOKEN\""]).succeeds();
    work.call("exec", &["--secret-env", "NONE", "--", "true"]).fails_with(125, "secret_unknown", "NONE");

    // In whatever form it is printed, to either output, cut anywhere.
    let show = "cd /run/pyro-secrets; cat TOKEN; cat TOKEN >&2; base64 -w0 TOKEN; printf 'user:%s' \"$(cat TOKEN)\" | base64 -w0; \
        od -An -v -tx1 TOKEN | tr -d ' \\n'; perl -e 'local $/; $_ = <>; for (split //) { syswrite STDOUT, $_; select undef, undef, undef, 0.005 }' TOKEN";
    let shown = work.exec(show).succeeds();
    assert_eq!(shown.stdout().matches("[REDACTED]").count(), 5, "{shown:?}");
    assert!(shown.stderr().starts_with("[REDACTED]"), "{shown:?}");
    assert_hidden(&shown);
    let json = work.call("exec", &["--json", "--", "cat /run/pyro-secrets/TOKEN"]).succeeds();
    assert_eq!(json.json()["stdout"], "[REDACTED]");
    // A command line that has it, which the history shows, and a program that is named like it.
    assert_hidden(&work.call("exec", &["--", &format!("echo {VALUE} | wc -c")]).succeeds());
    assert_hidden(&work.call("exec", &["--", VALUE, "x"]).ends_with(127));

    // What the guest has written to its disk is hidden in all that is read of it, and nothing else of it changes.
    work.sh("{ echo first; cat /run/pyro-secrets/TOKEN; echo; echo last; } > report; printf '\\0\\1' > binary; cat report >> binary");
    let written = "first\n[REDACTED]************\nlast\n";
    assert_eq!(work.call("file read", &["report", "--content-only"]).succeeds().stdout(), written);
    let part = work.call("file read", &["report", "--offset", "9", "--length", "12", "--json"]).succeeds();
    assert_eq!(part.json()["content"], &written[9..21]);
    for (words, rest) in [
        ("file search", vec!["swordfish"]),
        ("diff", vec![]),
        ("diff", vec!["--json"]),
        ("logs", vec![]),
        ("logs", vec!["--json"]),
        ("job list", vec!["--json"]),
        ("status", vec!["--json"]),
    ] {
        assert_hidden(&work.call(words, &rest).succeeds());
    }
    let beside = work.call("file search", &["first", "report", "--context", "1"]).succeeds();
    assert!(beside.stdout().contains("[REDACTED]"), "{beside:?}");
    assert_hidden(&beside);
    // A key is known by each line of its body, and not by what all keys have.
    let key = home.home().join("key");
    fs::write(
        &key,
        "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\nlAstOn3=\n-----END PRIVATE KEY-----\n",
    )
    .unwrap();
    work.call("secret set", &["--secret-file", &format!("KEY={}", key.display())]).succeeds();
    let shown = work.exec("sed 's/^/> /' /run/pyro-secrets/KEY").succeeds().stdout();
    assert_eq!(
        shown,
        "> -----BEGIN PRIVATE KEY-----\n> [REDACTED]\n> [REDACTED]\n> -----END PRIVATE KEY-----\n"
    );
    fs::remove_file(&key).unwrap();
    let out = home.home().join("out");
    work.call("export", &["report", "--output", out.to_str().unwrap()]).succeeds();
    assert_eq!(fs::read_to_string(&out).unwrap(), written);
    let pulled = home.home().join("pulled");
    fs::create_dir(&pulled).unwrap();
    work.call("sync pull", &["/workspace", pulled.to_str().unwrap()]).succeeds();
    assert_eq!(fs::read_to_string(pulled.join("report")).unwrap(), written);
    let packed = home.home().join("packed");
    fs::create_dir(&packed).unwrap();
    work.call("export", &[".", "--format", "tar", "--output", packed.join("all.tar").to_str().unwrap()])
        .succeeds();
    // What the guest has written itself is on its disk, and nowhere else.
    assert_hidden_below(home.home(), &["--exclude-dir=layers"]);
}

#[test]
fn a_secret_is_in_the_guest_only_while_a_command_runs() {
    let home = debian();
    let work = with_token(&home, &[]);
    // A tool is no command.
    let list = || work.call("file list", &["/run/pyro-secrets", "--json"]);
    let names = |listed: Outcome| {
        let listed = listed.json();
        let entries = listed["entries"].as_array().cloned().unwrap_or_default();
        entries.iter().map(|entry| entry["path"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    work.sh("true");
    assert_eq!(names(list().succeeds()), [""; 0]);
    let job = work.call("exec", &["--detach", "--timeout-seconds", "0", "--", "touch ready; while [ ! -e /run/pyro-secrets/LATER ]; do sleep 0.05; done; wc -c < /run/pyro-secrets/LATER"]);
    let job = job.succeeds().stdout().trim().to_owned();
    work.sh("while [ ! -e ready ]; do sleep 0.05; done");
    assert_eq!(names(list().succeeds()), ["/run/pyro-secrets/TOKEN"]);
    // One that is set while a command runs reaches it, and is hidden from then on.
    let mut set = work
        .command("secret set", &["--secret-stdin", "LATER"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    set.stdin.take().unwrap().write_all(b"another-value\n").unwrap();
    assert_eq!(
        Outcome::from_output("secret set", set.wait_with_output().unwrap()).succeeds().stdout(),
        "[workspace-secret-set] secrets=LATER\n"
    );
    assert_eq!(work.call("job wait", &[&job]).succeeds().stdout().trim(), "");
    assert_eq!(work.call("job attach", &[&job]).succeeds().stdout(), "13\n");
    assert_eq!(names(list().succeeds()), [""; 0]);
    assert_eq!(work.sh("cat /run/pyro-secrets/LATER"), "[REDACTED]");
    work.call("secret remove", &["LATER"]).succeeds();
    work.call("secret remove", &["LATER"]).fails_with(1, "secret_unknown", "LATER");
    let listed = work.call("secret list", &["--json"]).succeeds().json();
    let expected = json!([{ "name": "TOKEN", "source_kind": "environment", "available": true }]);
    assert_eq!(listed["secrets"], expected);

    // Memory that may hold it goes to no disk.
    let code = "secrets_in_memory";
    work.call("snapshot create", &["s", "--memory"]).fails_with(1, code, "memory");
    work.call("pause", &[]).fails_with(1, code, "memory");
    work.call("fork", &["--count", "1"]).fails_with(1, code, "memory");
    work.call("snapshot create", &["disk"]).succeeds();
    // Of a guest that no command has run in it does.
    work.call("reset", &["--snapshot", "disk"]).succeeds();
    work.call("pause", &[]).succeeds();
    assert_hidden_below(home.home(), &[]);
}

#[test]
fn shells_and_services_can_use_a_secret_and_do_not_show_it() {
    let home = debian();
    let work = with_token(&home, &[]);
    let flags = ["--id-only", "--secret-env", "TOKEN"];
    let shell = work.call("shell open", &flags).succeeds().stdout().trim().to_owned();
    work.call(
        "shell write",
        &[&shell, "--input", "echo \"[$TOKEN]\"; cat /run/pyro-secrets/TOKEN; echo end=$((1+1))"],
    )
    .succeeds();
    let waited = ["--wait-for", "end=2", "--timeout-seconds", "60"];
    let read = work.call("shell read", &[&[shell.as_str()], &waited[..]].concat()).succeeds();
    assert!(read.stdout().contains("[[REDACTED]]") && read.stdout().contains("[REDACTED]end=2"), "{read:?}");
    assert_hidden(&read);
    work.call("shell close", &[&shell]).succeeds();
    let command = "echo \"[$TOKEN]\"; cat /run/pyro-secrets/TOKEN >&2; echo >&2; touch up; sleep 1000";
    let start = ["web", "--secret-env", "TOKEN", "--ready-file", "up", "--", command];
    assert_hidden(&work.call("service start", &start).succeeds());
    let logs = work.call("service logs", &["web", "--json"]).succeeds();
    assert_hidden(&logs);
    let logs = logs.json();
    assert_eq!((&logs["stdout"], &logs["stderr"]), (&json!("[[REDACTED]]\n"), &json!("[REDACTED]\n")));
    work.call("service stop", &["web"]).succeeds();
    let none = ["other", "--secret-env", "NONE", "--", "true"];
    work.call("service start", &none).fails_with(1, "secret_unknown", "NONE");
    assert_hidden_below(home.home(), &[]);
}

#[test]
fn after_a_stop_secrets_are_kept_by_the_kernel_or_asked_for_again() {
    let home = debian();
    for keyring in [false, true] {
        let set = |command: &mut Command| {
            if keyring {
                command.env_remove("PYRO_NO_KEYRING")
            } else {
                command.env("PYRO_NO_KEYRING", "1")
            };
            Outcome::of(command)
        };
        let made = set(home.pyro(CREATE).env("TOKEN", VALUE)).succeeds();
        let work = home.adopt(made.stdout().trim());
        set(&mut work.command("stop", &[])).succeeds();
        let listed = set(&mut work.command("secret list", &["--json"])).succeeds().json();
        let available = listed["secrets"][0]["available"].as_bool().unwrap();
        // Not every kernel keeps keys for everybody.
        assert!(keyring || !available);
        set(&mut work.command("start", &[])).succeeds();
        let used = || {
            set(&mut work.command("exec", &["--secret-env", "TOKEN", "--", "printf %s \"$TOKEN\" | wc -c"]))
        };
        if !available {
            used().fails_with(125, "secret_missing", "TOKEN");
            set(work.command("secret set", &["--secret-from-env", "TOKEN=GIVEN"]).env("GIVEN", VALUE))
                .succeeds();
        }
        assert_eq!(used().succeeds().stdout().trim(), VALUE.len().to_string());
        assert_hidden_below(home.home(), &[]);
        set(&mut work.command("delete", &[])).succeeds();
    }
}

/// The kernel has forgotten the secrets, as it has after the host's next boot.
fn forgotten(command: &mut Command) -> Outcome {
    Outcome::of(command.env("PYRO_NO_KEYRING", "1"))
}

#[test]
fn secrets_that_are_persisted_outlive_the_keyring_and_are_on_no_disk_as_they_are() {
    let home = debian();
    let marker = home.home().join("marker");
    fs::write(&marker, "").unwrap();
    let work = with_token(&home, &["--persist-secrets"]);
    let key = home.home().join(".config/pyro/secrets.key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let length = |outcome: Outcome| outcome.succeeds().stdout().trim().parse::<usize>().unwrap();
    let used = |name: &str| {
        let script = format!("printf %s \"${name}\" | wc -c");
        forgotten(&mut work.command("exec", &["--secret-env", name, "--", &script]))
    };
    // While it runs, and while it is stopped.
    work.call("secret set", &["--secret", "RUNNING=correct horse"]).succeeds();
    work.call("stop", &[]).succeeds();
    forgotten(&mut work.command("secret set", &["--secret", "STOPPED=battery staple"])).succeeds();
    let listed = forgotten(&mut work.command("secret list", &["--json"])).succeeds().json();
    let available = |at: usize| listed["secrets"][at]["available"].as_bool();
    assert_eq!([0, 1, 2].map(available), [Some(true); 3], "{listed}");
    forgotten(&mut work.command("start", &[])).succeeds();
    assert_eq!(length(used("TOKEN")), VALUE.len());
    assert_eq!(length(used("RUNNING")), "correct horse".len());
    assert_eq!(length(used("STOPPED")), "battery staple".len());
    // A child of it has them too.
    let child = forgotten(&mut work.command("stop", &[]));
    child.succeeds();
    let forked = forgotten(&mut work.command("fork", &["--json"])).succeeds().json();
    let child = home.adopt(forked["children"][0]["workspace_id"].as_str().unwrap());
    let script = "printf %s \"$TOKEN\" | wc -c";
    let had = forgotten(&mut child.command("exec", &["--secret-env", "TOKEN", "--", script]));
    assert_eq!(length(had), VALUE.len());
    forgotten(&mut child.command("delete", &[])).succeeds();
    // Nothing of it is anywhere as it is, in what this has written below the home and the cache.
    assert_hidden_everywhere(&home, &marker);
}

#[test]
fn without_the_right_key_persisted_secrets_are_refused_and_not_lost() {
    let home = debian();
    let work = with_token(&home, &["--persist-secrets"]);
    let key = home.home().join(".config/pyro/secrets.key");
    let right = fs::read(&key).unwrap();
    forgotten(&mut work.command("stop", &[])).succeeds();
    let start = || forgotten(&mut work.command("start", &[]));
    fs::remove_file(&key).unwrap();
    start().fails_with(1, "secrets_key_missing", "secrets.key");
    let set = ["--secret", "OTHER=correct horse"];
    forgotten(&mut work.command("secret set", &set)).fails_with(1, "secrets_key_missing", "secrets.key");
    let put = |bytes: &[u8]| {
        fs::write(&key, bytes).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    };
    put(&[7; 32]);
    start().fails_with(1, "secrets_key_wrong", "TOKEN");
    assert_eq!(work.status()["state"], "stopped");
    put(&right);
    start().succeeds();
    let script = "printf %s \"$TOKEN\" | wc -c";
    let used = forgotten(&mut work.command("exec", &["--secret-env", "TOKEN", "--", script])).succeeds();
    assert_eq!(used.stdout().trim(), VALUE.len().to_string());
    // Who has lost the key for good forgets the secrets without it.
    forgotten(&mut work.command("stop", &[])).succeeds();
    fs::remove_file(&key).unwrap();
    forgotten(&mut work.command("secret remove", &["TOKEN"])).succeeds();
    let sealed = home.state().join("workspaces").join(work.id()).join("secrets.json");
    assert!(!fs::read_to_string(sealed).unwrap().contains("TOKEN"));
    start().succeeds();
}

#[test]
fn secrets_that_are_none_are_refused_and_nothing_is_made() {
    let home = debian();
    let file = home.home().join("empty");
    fs::write(&file, b"").unwrap();
    let path = format!("A={}", file.display());
    for (flags, said) in [
        (["--secret", "no-equals-sign"], "without '='"),
        (["--secret", "a-b=hunter2hunter2"], "no name"),
        (["--secret", "A="], "is empty"),
        (["--secret-file", &path], "is empty"),
        (["--secret-from-env", "NO_SUCH_VARIABLE"], "NO_SUCH_VARIABLE"),
    ] {
        let outcome = home.run([&["workspace", "create", "debian:12"], &flags[..]].concat()).ends_with(2);
        assert!(outcome.stderr().contains(said), "{outcome:?}");
        assert!(!outcome.stderr().contains("hunter2hunter2"), "{outcome:?}");
    }
    assert_eq!(home.run(["workspace", "list", "--json"]).succeeds().json()["count"], 0);
    let literal =
        home.run(["workspace", "create", "debian:12", "--id-only", "--secret", "PIN=1234"]).succeeds();
    let work = home.adopt(literal.stdout().trim());
    assert!(
        literal.stderr().contains("lists processes") && literal.stderr().contains("shorter than 6"),
        "{literal:?}"
    );
    assert_eq!(work.sh("cat /run/pyro-secrets/PIN"), "1234");
}

/// Everything that a secret can be used by, and everything that is kept of a workspace: then no byte of it is anywhere.
#[test]
fn a_secret_that_was_used_everywhere_is_nowhere_afterwards() {
    let home = debian();
    let marker = home.home().join("marker");
    fs::write(&marker, "").unwrap();
    let work = with_token(&home, &["--name", "used"]);
    // Each uses it, prints it, and keeps it in its memory; none writes it to the disk.
    let script = "test ${#TOKEN} = 22; cat /run/pyro-secrets/TOKEN; printf %s \"$TOKEN\" | base64 -w0 >&2";
    let shown = work.call("exec", &["--secret-env", "TOKEN", "--", script]).succeeds();
    assert_hidden(&shown);
    let flags = ["--detach", "--timeout-seconds", "0", "--secret-env", "TOKEN", "--"];
    let job = work.call("exec", &[&flags[..], &["echo \"$TOKEN\"; sleep 1000"]].concat());
    job.succeeds();
    let shell = work.call("shell open", &["--id-only", "--secret-env", "TOKEN"]).succeeds();
    let shell = shell.stdout().trim().to_owned();
    let typed = "echo \"[$TOKEN]\"; cat /run/pyro-secrets/TOKEN; echo end=$((1+1))";
    work.call("shell write", &[&shell, "--input", typed]).succeeds();
    let waited = ["--wait-for", "end=2", "--timeout-seconds", "60"];
    assert_hidden(&work.call("shell read", &[&[shell.as_str()], &waited[..]].concat()).succeeds());
    let ready = "echo ready >&2; test \"$TOKEN\" = \"$(cat /run/pyro-secrets/TOKEN)\"";
    let command = "echo \"$TOKEN\"; exec sleep 1000";
    let service = ["web", "--secret-env", "TOKEN", "--ready-command", ready, "--", command];
    assert_hidden(&work.call("service start", &service).succeeds());
    // A copy of the file in which it is, while it is there, is masked.
    home.run(["cp", "used:/run/pyro-secrets/TOKEN", "copied"]).succeeds();
    assert_eq!(fs::read_to_string(home.home().join("copied")).unwrap(), "[REDACTED]************");

    // All that is kept of a workspace, and all that is made of it; the copy of a disk finds none on it.
    work.call("snapshot create", &["used"]).succeeds();
    assert_hidden_in_processes(home.home());
    for (words, rest) in [
        ("logs", &["--json"][..]),
        ("logs", &["--audit", "--json"]),
        ("job list", &["--json"]),
        ("status", &["--json"]),
        ("service logs", &["web", "--json"]),
        ("service list", &["--json"]),
        ("diff", &["--json"]),
    ] {
        assert_hidden(&work.call(words, rest).succeeds());
    }
    assert_hidden(&home.run(["events"]).succeeds());
    work.call("pack", &["--output", "running.pack"]).succeeds();
    work.call("export", &["/run/pyro-secrets", "--format", "tar", "--output", "all.tar"]).succeeds();
    work.call("stop", &[]).succeeds();
    work.call("pack", &["--output", "stopped.pack"]).succeeds();
    work.call("disk export", &["--output", "disk.ext4"]).succeeds();
    let forked = work.call("fork", &["--json"]).succeeds().json();
    let child = home.adopt(forked["children"][0]["workspace_id"].as_str().unwrap());
    // What is compressed is looked at as it is when it is unpacked.
    let unpacked = ["running.pack", "stopped.pack"].map(|pack| {
        let unpacked = home.run(["workspace", "unpack", pack, "--id-only"]).succeeds();
        home.adopt(unpacked.stdout().trim())
    });
    assert_hidden_everywhere(&home, &marker);
    drop((child, unpacked));
}

#[test]
fn what_is_read_of_a_stopped_disk_and_found_in_files_is_redacted_whole() {
    let home = debian();
    let work = with_token(&home, &[]);
    work.sh("cd /run/pyro-secrets; { echo before; cat TOKEN; echo; echo needle; cat TOKEN; echo; } > /workspace/around");
    let found = work.call("file search", &["needle", "--context", "1", "--json"]).succeeds();
    assert_hidden(&found);
    let found = found.json();
    let masked = "[REDACTED]************";
    let one = &found["matches"][0];
    assert_eq!((&one["before"], &one["after"]), (&json!([masked]), &json!([masked])), "{found}");
    // A line that is shown only as far as one kibibyte goes, which is in the middle of it, wherever that is.
    for shown in [1, 6, 21] {
        let before = 1024 - shown - "mark".len();
        work.sh(&format!(
            "{{ printf mark; head -c {before} /dev/zero | tr '\\0' x; cat /run/pyro-secrets/TOKEN; echo tail; }} > line"
        ));
        let found = work.call("file search", &["mark", "line", "--json"]).succeeds().json();
        let text = found["matches"][0]["text"].as_str().unwrap().to_owned();
        assert_eq!(text.len(), 1024);
        assert_eq!(text.trim_start_matches("mark").trim_start_matches('x'), &masked[..shown]);
    }
    work.call("stop", &[]).succeeds();
    let read = work.call("disk read", &["around", "--content-only"]).succeeds();
    assert_eq!(read.stdout(), format!("before\n{masked}\nneedle\n{masked}\n"));
    let part = work.call("disk read", &["around", "--offset", "9", "--max-bytes", "12", "--json"]).succeeds();
    assert_eq!(part.json()["content"], masked[2..14]);
}

/// What the kernel keeps for this user of a workspace's secrets.
fn kept_keys(work: &Workspace<'_>) -> usize {
    let keys = fs::read_to_string("/proc/keys").unwrap_or_default();
    keys.lines().filter(|line| line.contains(&format!("pyro:{}:", work.id()))).count()
}

/// The kernel lists a key that nothing holds any more until a worker of its own has come by.
#[track_caller]
fn assert_kept(works: [&Workspace<'_>; 3], expected: [usize; 3]) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while works.map(kept_keys) != expected && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(works.map(kept_keys), expected);
}

#[test]
fn the_kernel_forgets_the_secrets_of_a_workspace_that_is_gone() {
    let home = debian();
    let stopped = |flags: &[&str]| {
        let work = with_token(&home, flags);
        work.call("stop", &["--timeout-seconds", "0"]).succeeds();
        work
    };
    let (deleted, old, unfinished) =
        (stopped(&[]), stopped(&["--retention-seconds", "1000"]), stopped(&["--retention-seconds", "0"]));
    let all = [&deleted, &old, &unfinished];
    if all.map(kept_keys) == [0; 3] {
        // Said, so that nobody takes this for proof.
        eprintln!("this kernel keeps no keys for this user: nothing was tested");
        return;
    }
    assert_eq!(all.map(kept_keys), [1; 3]);
    deleted.call("delete", &[]).succeeds();
    assert_kept(all, [0, 1, 1]);
    let document =
        |work: &Workspace<'_>| home.state().join("workspaces").join(work.id()).join("workspace.json");
    let edit = |work: &Workspace<'_>, change: &dyn Fn(&mut serde_json::Value)| {
        let mut text = serde_json::from_slice(&fs::read(document(work)).unwrap()).unwrap();
        change(&mut text);
        fs::write(document(work), text.to_string()).unwrap();
    };
    edit(&old, &|text| text["stopped"][1] = 1000.into());
    home.run(["gc"]).succeeds();
    assert_kept(all, [0, 0, 1]);
    // As one whose maker was killed.
    edit(&unfinished, &|text| text["stage"] = "creating".into());
    home.run(["gc"]).succeeds();
    assert_kept(all, [0; 3]);
}

/// That the value is in no file below the home, in none of the cache that is newer than `marker`, and in no process.
#[track_caller]
fn assert_hidden_everywhere(home: &Sandbox, marker: &Path) {
    assert_hidden_below(home.home(), &[]);
    let new =
        Command::new("find").arg(home.cache()).args(["-type", "f", "-newer"]).arg(marker).output().unwrap();
    for path in String::from_utf8(new.stdout).unwrap().lines() {
        let found = Command::new("grep").args(["-laF", "--", VALUE, path]).output().unwrap();
        assert!(found.stdout.is_empty(), "{path}");
    }
}

#[track_caller]
fn assert_hidden(outcome: &Outcome) {
    for form in forms() {
        assert!(!outcome.stdout().contains(&form) && !outcome.stderr().contains(&form), "{outcome:?}");
    }
}

fn forms() -> Vec<String> {
    let hex = VALUE.bytes().map(|byte| format!("{byte:02x}")).collect();
    let url = VALUE.replace('%', "%25").replace('/', "%2F").replace('+', "%2B");
    let base64 = "c3dvcmRmaXNoLzljMWYrZTA3YSVi".to_owned();
    vec![VALUE.to_owned(), hex, url, base64]
}

/// Fails when a file below the folder, or the command line or environment of a process that uses it, has the value in it.
#[track_caller]
fn assert_hidden_below(home: &Path, flags: &[&str]) {
    // It knows holes from data, which matters with disks.
    let found = Command::new("grep").arg("-rlaF").args(flags).args(["--", VALUE]).arg(home).output().unwrap();
    assert_eq!(
        (found.status.code(), String::from_utf8_lossy(&found.stdout).as_ref()),
        (Some(1), ""),
        "{found:?}"
    );
    assert_hidden_in_processes(home);
}

#[track_caller]
fn assert_hidden_in_processes(home: &Path) {
    for user in processes::using(home) {
        for name in ["cmdline", "environ"] {
            let bytes = fs::read(format!("/proc/{}/{name}", user.pid)).unwrap_or_default();
            assert!(!contains(&bytes), "{name} of {}", user.command);
        }
    }
}

fn contains(bytes: &[u8]) -> bool {
    let first = VALUE.as_bytes()[0];
    let mut places = bytes.iter().enumerate().filter(|(_, byte)| **byte == first);
    places.any(|(at, _)| bytes[at..].starts_with(VALUE.as_bytes()))
}
