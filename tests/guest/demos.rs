//! `pyro demo ollama`, with a scripted server in the model's place. What the model says and checks is in `demo_model.py`.

use crate::debian;
use crate::sandbox;
use std::io::BufRead as _;
use std::io::BufReader;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/guest/demo_model.py");

struct Model {
    program: Child,
    url: String,
}

impl Model {
    fn begin(script: &str) -> Self {
        let mut command = Command::new("python3");
        command.args(["-B", MODEL, script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut program = command.spawn().unwrap();
        let mut url = String::new();
        BufReader::new(program.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Self { program, url: url.trim_end().to_owned() }
    }

    fn flags(&self) -> [&str; 6] {
        ["demo", "ollama", "--base-url", &self.url, "--model", "scripted-1"]
    }

    /// It was asked everything in its script, and nothing that it had to refuse.
    fn ends_content(mut self) {
        drop(self.program.stdin.take());
        assert!(self.program.wait().unwrap().success());
    }
}

#[test]
fn a_model_runs_a_command_in_a_guest_and_answers_with_what_it_saw() {
    let home = debian();
    let model = Model::begin("able");
    let told = home.run(model.flags().iter().chain(&["-v"])).succeeds();
    model.ends_content();
    let stdout = told.stdout();
    let lines: Vec<&str> = stdout.lines().collect();
    assert!(lines[0].starts_with("It is git version 2."), "{told:?}");
    assert_eq!(lines[1..], ["[summary] exit_code=0 fallback_used=false execution_mode=guest_vsock"]);
    for said in
        ["[tool] name=vm_run\n", "[arguments] {\"environment\"", "[result] {\"code\":\"environment_unknown\""]
    {
        assert!(told.stderr().contains(said), "{said}: {told:?}");
    }
    assert_eq!(home.run(["workspace", "list", "--json"]).succeeds().json()["count"], 0);
}

#[test]
fn a_model_that_goes_astray_reaches_nothing_and_the_command_runs_without_it() {
    let home = debian();
    let model = Model::begin("wild");
    let told = home.run(model.flags()).succeeds();
    model.ends_content();
    let stdout = told.stdout();
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines[0], "]0;ownedgit version 99[2J");
    assert!(lines[1].starts_with("git version 2."), "{told:?}");
    assert_eq!(lines[2..], ["[summary] exit_code=0 fallback_used=true execution_mode=guest_vsock"]);
    assert!(!told.stderr().contains('\u{1b}'), "{told:?}");
}

#[test]
fn a_server_that_is_not_there_or_not_spoken_to_is_said() {
    let home = sandbox();
    // Nothing listens at the port that a server had which is gone.
    let model = Model::begin("able");
    let url = model.url.clone();
    let mut program = model.program;
    program.kill().unwrap();
    program.wait().unwrap();
    let failed = home.run(["demo", "ollama", "--base-url", &url]);
    failed.fails_with(1, "model_failed", "connecting");
    home.run(["demo", "ollama", "--base-url", "https://models.example/v1"]).fails_with(2, "usage", "https");
    // What holds for every command may stand before it.
    let flags = ["demo", "--engine", "auto", "ollama", "--base-url", "https://models.example/v1"];
    home.run(flags).fails_with(2, "usage", "https");
    home.run(["demo", "--network", "ollama"]).fails_with(2, "usage", "--network");
}
