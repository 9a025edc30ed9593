//! The official Python client, which nobody here wrote: it lists, describes and calls every tool over both transports, and checks
//! each result against its schema. What it does is in `mcp_client.py`.

use crate::debian;
use crate::mcp_server;
use crate::mcp_server::HttpServer;
use crate::mcp_story;
use pyro_testkit::Outcome;
use pyro_testkit::Sandbox;
use pyro_testkit::python;
use serde_json::Value;
use serde_json::json;
use std::process::Command;

/// What the client is made of, to the version.
const REQUIREMENTS: [&str; 2] = ["mcp==2.3.0", "jsonschema==4.26.0"];

const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/guest/mcp_client.py");

fn client(home: &Sandbox, mut how: Value) {
    mcp_story::prepare(home);
    how["story"] = json!(mcp_story::PATH);
    how["root"] = json!(mcp_server::root(home));
    let mut command = Command::new(python::interpreter(&REQUIREMENTS));
    command.arg("-B").arg(CLIENT).arg(how.to_string()).current_dir(home.home());
    let told = Outcome::of(&mut command).succeeds().json();
    assert!(told["tools"].as_u64().unwrap() >= 43, "{told}");
    mcp_story::check(home);
}

#[test]
fn the_official_client_calls_every_tool_over_stdio() {
    let home = debian();
    let server = mcp_server::command(&home, &[]);
    let text = |text: &std::ffi::OsStr| text.to_str().unwrap().to_owned();
    let environment: Value = server
        .get_envs()
        .filter_map(|(name, value)| Some((text(name), text(value?).into())))
        .collect::<serde_json::Map<_, _>>()
        .into();
    client(
        &home,
        json!({
            "transport": "stdio",
            "program": text(server.get_program()),
            "arguments": server.get_args().map(text).collect::<Vec<_>>(),
            "environment": environment,
            "folder": home.home(),
        }),
    );
}

#[test]
fn the_official_client_calls_every_tool_over_http() {
    let home = debian();
    let server = HttpServer::start(&home);
    client(&home, json!({ "transport": "http", "url": server.url, "token": server.token }));
    server.stop();
}
