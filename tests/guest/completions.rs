//! Completing command lines, as a shell asks for it.

use crate::debian;
use crate::empty_sandbox;
use pyro_testkit::Outcome;
use pyro_testkit::Sandbox;
use pyro_testkit::processes;
use std::fs;
use std::process::Command;

/// What bash completes the last word of a line to, through the function that the script registers.
fn in_bash(home: &Sandbox, line: &[&str]) -> Vec<String> {
    let script = r#"
        program=$1; shift
        source <("$program" completions bash) || exit 1
        [[ $(complete -p pyro) =~ -F\ ([^ ]+) ]] || exit 1
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_TYPE=9
        "${BASH_REMATCH[1]}" pyro "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let pyro = home.pyro::<&str>([]);
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", script, "bash"]).arg(pyro.get_program()).args(line);
    bash.env_clear().current_dir(home.home());
    for (name, value) in pyro.get_envs() {
        bash.env(name, value.unwrap());
    }
    let completed = Outcome::of(&mut bash).succeeds();
    assert_eq!(completed.stderr(), "", "{completed:?}");
    completed.stdout().lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// The same without flags, which stand beside every value that nobody has begun.
fn values(home: &Sandbox, line: &[&str]) -> Vec<String> {
    in_bash(home, line).into_iter().filter(|word| !word.starts_with('-')).collect()
}

/// What the program itself says, asked as a shell's script asks it.
fn asked(home: &Sandbox, shell: &str, line: &[&str]) -> Outcome {
    let index = (line.len() - 1).to_string();
    let mut pyro = home.pyro([&["--"], line].concat());
    Outcome::of(pyro.env("PYRO_COMPLETE", shell).env("_CLAP_COMPLETE_INDEX", index).env("_CLAP_IFS", "\n"))
}

#[test]
fn commands_and_flags_are_completed() {
    let home = empty_sandbox();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = home.run(["completions", shell]).succeeds();
        assert!(script.stdout().contains("PYRO_COMPLETE"), "{shell} does not ask the program: {script:?}");
    }
    home.run(["completions", "cobol"]).fails_with(2, "usage", "cobol");
    assert_eq!(in_bash(&home, &["pyro", "env", "p"]), ["pull", "prune"]);
    assert_eq!(in_bash(&home, &["pyro", "run", "--mem"]), ["--mem-mib"]);
    assert!(in_bash(&home, &["pyro", "ex"]).contains(&"exec".to_owned()));
    // Who only looks makes nothing.
    assert_eq!(values(&home, &["pyro", "exec", ""]), [] as [&str; 0]);
    assert!(!home.state().exists());
}

#[test]
fn what_there_is_is_completed() {
    let home = debian();
    let one = home.workspace("debian:12", &["--name", "alpha", "--secret", "TOKEN=swordfish"]);
    let two = home.workspace("debian:12", &["--name", "alpine"]);
    let nameless = home.workspace("debian:12", &[]);
    let sorted = |mut values: Vec<String>| {
        values.sort();
        values
    };
    assert_eq!(sorted(in_bash(&home, &["pyro", "exec", "al"])), ["alpha", "alpine"]);
    assert_eq!(in_bash(&home, &["pyro", "workspace", "stop", "alph"]), ["alpha"]);
    // Whoever begins an id gets it, also of one that has a name.
    for workspace in [&two, &nameless] {
        assert_eq!(in_bash(&home, &["pyro", "rm", &workspace.id()[..8]]), [workspace.id()]);
    }
    one.call("snapshot create", &["before"]).succeeds();
    assert_eq!(in_bash(&home, &["pyro", "reset", "alpha", "--snapshot", "be"]), ["before"]);
    assert_eq!(in_bash(&home, &["pyro", "snapshot", "delete", "alpha", "be"]), ["before"]);
    let service = ["web", "--", "sleep 1000"];
    one.call("service start", &service).succeeds();
    assert_eq!(values(&home, &["pyro", "workspace", "service", "logs", "alpha", ""]), ["web"]);
    assert_eq!(in_bash(&home, &["pyro", "workspace", "secret", "remove", "alpha", "T"]), ["TOKEN"]);
    let job = one.call("exec", &["--detach", "--", "sleep 1000"]).succeeds().stdout();
    assert_eq!(values(&home, &["pyro", "workspace", "job", "logs", "alpha", ""]), [job.trim()]);
    let shell = one.call("shell open", &["--id-only"]).succeeds().stdout();
    assert_eq!(values(&home, &["pyro", "shell", "attach", "alpha", ""]), [shell.trim()]);
    fs::write(home.home().join("almanac"), "").unwrap();
    assert_eq!(sorted(in_bash(&home, &["pyro", "cp", "al"])), ["almanac", "alpha:", "alpine:"]);
    // As the engine says it, with what it is to other shells.
    let fish = asked(&home, "fish", &["pyro", "exec", "alph"]).succeeds();
    assert_eq!(fish.stdout().trim_end(), "alpha\tdebian:12", "{fish:?}");
    // A workspace that is stopped stays stopped.
    two.call("stop", &[]).succeeds();
    let running = || processes::using(home.home()).iter().map(|user| user.pid).collect::<Vec<_>>();
    let before = running();
    assert_eq!(values(&home, &["pyro", "shell", "attach", "alpine", ""]), [] as [&str; 0]);
    assert_eq!(values(&home, &["pyro", "snapshot", "show", "alpine", ""]), ["baseline"]);
    assert_eq!(running(), before);
    assert_eq!(two.status()["state"], "stopped");
}

#[test]
fn what_is_wrong_is_no_completion_and_not_a_word() {
    let home = empty_sandbox();
    let silent = |outcome: Outcome| {
        let outcome = outcome.succeeds();
        assert!(outcome.stdout().is_empty() && outcome.stderr().is_empty(), "{outcome:?}");
    };
    silent(asked(&home, "cobol", &["pyro", "exec", ""]));
    silent(asked(&home, "bash", &["pyro", "no-such-command", "x"]));
    // A state folder that is none, and one with rubbish in it.
    fs::write(home.state(), "").unwrap();
    silent(asked(&home, "bash", &["pyro", "exec", "a"]));
    fs::remove_file(home.state()).unwrap();
    let rubbish = home.state().join("workspaces/0123456789ab");
    fs::create_dir_all(&rubbish).unwrap();
    fs::write(rubbish.join("workspace.json"), "{").unwrap();
    silent(asked(&home, "bash", &["pyro", "snapshot", "show", "0123456789ab", "b"]));
    let mut pyro = home.pyro(["--", "pyro", "exec", "a"]);
    silent(Outcome::of(
        pyro.env("PYRO_COMPLETE", "bash")
            .env("_CLAP_COMPLETE_INDEX", "2")
            .env("PYRO_MAX_WORKSPACES", "many")
            .env("HOME", ""),
    ));
}
