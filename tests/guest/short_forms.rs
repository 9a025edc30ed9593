//! The short forms of long commands, as people type them.

use crate::debian;
use pyro_testkit::Outcome;

#[test]
fn a_day_in_short_forms() {
    let home = debian();
    let folder = home.home().join("project");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("a"), "one\n").unwrap();
    home.run(["create", "debian:12", "--name", "day"]).succeeds();
    let workspace = home.adopt("day");
    home.run(["push", "day", "project"]).succeeds();
    assert_eq!(home.run(["exec", "day", "--", "cat", "a"]).succeeds().stdout(), "one\n");
    home.run(["snapshot", "create", "day", "before"]).succeeds();
    home.run(["exec", "day", "--", "echo two >> a"]).succeeds();
    let diff = home.run(["diff", "day", "--from", "before"]).succeeds();
    assert!(diff.stdout().contains("+two"), "{diff:?}");
    home.run(["pull", "day", ".", "project"]).succeeds();
    assert_eq!(std::fs::read_to_string(folder.join("a")).unwrap(), "one\ntwo\n");
    home.run(["reset", "day", "--snapshot", "before"]).succeeds();
    assert_eq!(workspace.sh("cat a"), "one");
    let logs = home.run(["logs", "day"]).succeeds();
    assert!(logs.stdout().contains("cat a"), "{logs:?}");
    let shell = home.run(["shell", "open", "day", "--id-only"]).succeeds().stdout();
    home.run(["shell", "close", "day", shell.trim()]).succeeds();
    let forked = home.run(["fork", "day", "--count", "1", "--json"]).succeeds().json();
    let child = home.adopt(forked["children"][0]["workspace_id"].as_str().unwrap());
    assert_eq!(child.sh("cat a"), "one");
    home.run(["stop", "day"]).succeeds();
    assert_eq!(home.run(["status", "day", "--json"]).succeeds().json()["state"], "stopped");
    home.run(["start", "day"]).succeeds();
    for list in ["ls", "list"] {
        assert_eq!(home.run([list, "--json"]).succeeds().json()["count"], 2);
    }
    home.run(["rm", "day", child.id()]).succeeds();
    assert_eq!(home.run(["workspace", "ls", "--json"]).succeeds().json()["count"], 0);
}

/// `pyro exec` ends as `pyro workspace exec` does, its own failures included.
#[test]
fn the_short_exec_ends_as_the_long_one() {
    let home = debian();
    let workspace = home.workspace("debian:12", &[]);
    let id = workspace.id();
    let exec = |flags: &[&str], words: &[&str]| home.run([&["exec", id], flags, &["--"], words].concat());
    assert_eq!(exec(&[], &["exit 7"]).code(), 7);
    assert_eq!(exec(&[], &["kill -9 $$"]).code(), 137);
    assert_eq!(exec(&[], &["/no/such"]).code(), 127);
    assert_eq!(exec(&["--timeout-seconds", "1"], &["sleep 100"]).code(), 124);
    let document = exec(&["--json", "--env", "A=b", "--cwd", "/tmp"], &["echo $A; pwd"]).succeeds().json();
    assert_eq!((document["stdout"].as_str(), document["exit_code"].as_i64()), (Some("b\n/tmp\n"), Some(0)));
    home.run(["exec", "nobody", "--", "true"]).fails_with(125, "workspace_unknown", "nobody");
    let none = home.run(["exec", id]).fails_with(2, "usage", "required");
    assert!(none.stderr().contains("<COMMAND>"), "{none:?}");
}

/// The help names every command once, the short ones in a group of their own.
#[test]
fn the_help_lists_commands_in_groups() {
    let home = crate::empty_sandbox();
    let help = home.run(["--help"]).succeeds().stdout();
    let (other, short) = help.split_once("Short for 'pyro workspace ...':").unwrap();
    for name in ["run", "workspace", "env", "doctor"] {
        assert!(
            other.contains(&format!("\n  {name} ")) && !short.contains(&format!("\n  {name} ")),
            "{help}"
        );
    }
    for name in ["exec", "create", "ls", "rm", "push", "pull"] {
        assert!(
            short.contains(&format!("\n  {name} ")) && !other.contains(&format!("\n  {name} ")),
            "{help}"
        );
    }
    assert!(!help.contains("supervise") && short.contains("--engine"), "{help}");
    let none = Outcome::of(&mut home.pyro::<&str>([]));
    assert!(none.code() == 2 && none.stderr().contains("Short for"), "{none:?}");
}
