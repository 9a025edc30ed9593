//! The official Python client, which nobody here wrote: it lists, describes and calls every tool over both transports, and checks
//! each result against its schema. What it does is in `mcp_client.py`.

use crate::debian;
use pyro_testkit::Outcome;
use pyro_testkit::Sandbox;
use pyro_testkit::python;
use serde_json::Value;
use serde_json::json;
use std::fs;
use std::io::BufRead as _;
use std::io::BufReader;
use std::process::Command;
use std::process::Stdio;

/// What the client is made of, to the version.
const REQUIREMENTS: [&str; 2] = ["mcp==2.3.0", "jsonschema==4.26.0"];

const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/guest/mcp_client.py");

fn client(home: &Sandbox, mut how: Value) -> Value {
    let root = home.home().join("root");
    fs::create_dir_all(&root).unwrap();
    how["root"] = json!(root);
    let mut command = Command::new(python::interpreter(&REQUIREMENTS));
    command.arg("-B").arg(CLIENT).arg(how.to_string()).current_dir(home.home());
    Outcome::of(&mut command).succeeds().json()
}

/// The server as a command that somebody else starts.
fn server(home: &Sandbox, flags: &[&str]) -> Command {
    let root = home.home().join("root");
    fs::create_dir_all(&root).unwrap();
    home.pyro([&["mcp", "serve", "--ephemeral", "--root", root.to_str().unwrap()], flags].concat())
}

#[test]
fn the_official_client_calls_every_tool_over_stdio() {
    let home = debian();
    let server = server(&home, &[]);
    let text = |text: &std::ffi::OsStr| text.to_str().unwrap().to_owned();
    let environment: Value = server
        .get_envs()
        .filter_map(|(name, value)| Some((text(name), text(value?).into())))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let told = client(
        &home,
        json!({
            "transport": "stdio",
            "program": text(server.get_program()),
            "arguments": server.get_args().map(text).collect::<Vec<_>>(),
            "environment": environment,
            "folder": home.home(),
        }),
    );
    assert!(told["tools"].as_u64().unwrap() >= 43, "{told}");
    assert_eq!(home.run(["workspace", "list", "--json"]).succeeds().json()["count"], 0);
}

#[test]
fn the_official_client_calls_every_tool_over_http() {
    let home = debian();
    let mut server = server(&home, &["--http", "127.0.0.1:0"]);
    let mut server = server.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(server.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut after = |name: &str| {
        let line = lines.find(|line| line.starts_with("[mcp] ") && line.contains(name)).unwrap();
        line.split_once(name).unwrap().1.to_owned()
    };
    let (url, token) = (after("url="), after("token="));
    let told = client(&home, json!({ "transport": "http", "url": url, "token": token }));
    assert!(told["tools"].as_u64().unwrap() >= 43, "{told}");
    rustix::process::kill_process(rustix::process::Pid::from_child(&server), rustix::process::Signal::TERM)
        .unwrap();
    assert!(server.wait().unwrap().success());
    assert_eq!(home.run(["workspace", "list", "--json"]).succeeds().json()["count"], 0);
}
