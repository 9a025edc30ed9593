//! The examples of the Rust library, as somebody else's program: each is run, and what it prints compared. `cargo test
//! --workspace` has built them; after a change of theirs alone, `cargo build -p pyro --examples` does.

use crate::debian;
use pyro_testkit::Outcome;
use pyro_testkit::Sandbox;
use std::path::Path;
use std::process::Command;

/// An example with the folders and the program of a sandbox.
fn example(home: &Sandbox, name: &str) -> Outcome {
    let pyro = Path::new(env!("CARGO_BIN_EXE_pyro"));
    let program = pyro.parent().unwrap().join("examples").join(name);
    assert!(program.is_file(), "{} is not there: cargo build -p pyro --examples", program.display());
    let mut command = Command::new(&program);
    command.env_clear().current_dir(home.home()).env("PYRO_PROGRAM", pyro);
    for (variable, value) in home.pyro(["--version"]).get_envs() {
        command.env(variable, value.unwrap());
    }
    Outcome::of(&mut command)
}

#[test]
fn one_shot_passes_output_and_exit_code_on() {
    let home = debian();
    let run = example(&home, "one_shot").ends_with(3);
    assert!(run.stdout().starts_with("git version 2."), "{run:?}");
    home.assert_nothing_left();
}

#[test]
fn workspace_shows_what_changed_and_takes_it_back() {
    let home = debian();
    let run = example(&home, "workspace").succeeds();
    let text = run.stdout();
    assert!(text.starts_with("fixed\n"), "{run:?}");
    assert!(text.contains("\n-broken\n+fixed\n"), "{run:?}");
    assert!(text.ends_with("\nbroken\n"), "{run:?}");
    assert_eq!(home.run(["workspace", "list", "--json"]).succeeds().json()["count"], 0);
}

#[test]
fn streaming_answers_what_the_command_asks() {
    let home = debian();
    let run = example(&home, "streaming").succeeds();
    assert_eq!(run.stdout(), "guest: question 42\nguest: heard answer-to-42\nexit code 0\n");
    assert_eq!(home.run(["workspace", "list", "--json"]).succeeds().json()["count"], 0);
}

#[test]
fn forks_go_on_apart() {
    let home = debian();
    let run = example(&home, "forks").succeeds();
    let child = |n: u32| format!("child {n}\nits work goes on\nbegun\ntried {n}\n");
    assert_eq!(run.stdout(), format!("{}{}parent\nbegun\n", child(0), child(1)));
    assert_eq!(home.run(["workspace", "list", "--json"]).succeeds().json()["count"], 0);
}
