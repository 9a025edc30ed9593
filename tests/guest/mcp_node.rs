//! Programs of npm that nobody here wrote: the MCP inspector's command line, over both transports, and the protocol's conformance
//! suite over HTTP, as far as it applies. What they are is in `tests/clients`.

use crate::debian;
use crate::mcp_server;
use crate::mcp_server::HttpServer;
use crate::mcp_story;
use pyro_testkit::Outcome;
use pyro_testkit::Sandbox;
use pyro_testkit::node;
use serde_json::Value;
use std::fs;
use std::io::BufRead as _;
use std::io::BufReader;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

const INSPECTOR: &str = "@modelcontextprotocol/inspector-cli/build/index.js";
const CONFORMANCE: &str = "@modelcontextprotocol/conformance/dist/index.js";
const WITH_TOKEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/clients/with_token.mjs");

/// Scenarios that a server of any kind can pass. The others call tools, read resources or get prompts of the suite's own example
/// server, or need what pyro does not offer (completions, subscriptions, sampling, elicitation), or a server without a token
/// (`dns-rebinding-protection`, of which the first half holds: see `hostile.rs` of pyro-mcp). docs/mcp-conformance.md
/// lists them.
const SCENARIOS: [&str; 8] = [
    "server-initialize",
    "ping",
    "logging-set-level",
    "tools-list",
    "resources-list",
    "prompts-list",
    "server-sse-polling",
    "server-sse-multiple-streams",
];

/// A program that a test has started, ended with it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The inspector, with these arguments, and what it prints.
fn inspected(home: &Sandbox, arguments: &[&str]) -> Value {
    let mut inspector = Command::new("node");
    inspector.arg(node::module(INSPECTOR)).args(arguments).current_dir(home.home());
    // It starts servers in its own surroundings.
    for (name, value) in home.pyro(["--version"]).get_envs() {
        inspector.env(name, value.unwrap());
    }
    Outcome::of(&mut inspector).succeeds().json()
}

/// Lists, describes and calls every tool, wherever the server is: `target` says where, in front of the options and behind them.
fn inspect(home: &Sandbox, target: [&[&str]; 2]) {
    mcp_story::prepare(home);
    let of = |method: &[&str]| inspected(home, &[target[0], &["--method"], method, target[1]].concat());
    let tools = of(&["tools/list"]);
    let tools = tools["tools"].as_array().unwrap();
    for tool in tools {
        let is_described = ["title", "description"].iter().all(|field| tool[field].is_string());
        assert!(is_described && tool["inputSchema"]["type"] == "object", "{tool}");
    }
    assert_eq!(of(&["prompts/list"])["prompts"].as_array().unwrap().len(), 5);
    assert_eq!(of(&["resources/templates/list"])["resourceTemplates"].as_array().unwrap().len(), 3);
    let refused = of(&["tools/call", "--tool-name", "workspace_status", "--tool-arg", "workspace_id=nobody"]);
    assert_eq!(
        (&refused["isError"], &refused["structuredContent"]["code"]),
        (&true.into(), &"workspace_unknown".into())
    );
    let names = tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect();
    mcp_story::tell(home, &names, |tool, arguments| {
        // It takes each value as JSON, if it is any.
        let pairs = arguments.as_object().unwrap().iter().map(|(name, value)| format!("{name}={value}"));
        let pairs: Vec<String> = pairs.flat_map(|pair| ["--tool-arg".to_owned(), pair]).collect();
        let pairs: Vec<&str> = pairs.iter().map(String::as_str).collect();
        let mut answer = of(&[&["tools/call", "--tool-name", tool], &pairs[..]].concat());
        assert_eq!(answer["isError"], false, "{tool}: {answer}");
        answer["structuredContent"].take()
    });
    mcp_story::check(home);
}

#[test]
fn the_inspector_calls_every_tool_over_stdio() {
    let home = debian();
    let server = mcp_server::command(&home, &[]);
    let words: Vec<&str> = [server.get_program()]
        .into_iter()
        .chain(server.get_args())
        .map(|word| word.to_str().unwrap())
        .collect();
    inspect(&home, [&words[..1], &[&["--"], &words[1..]].concat()]);
}

#[test]
fn the_inspector_calls_every_tool_over_http() {
    let home = debian();
    let server = HttpServer::start(&home);
    let header = format!("Authorization: Bearer {}", server.token);
    inspect(&home, [&[&server.url, "--transport", "http", "--header", &header], &[]]);
    server.stop();
}

#[test]
fn the_conformance_suite_passes_as_far_as_it_applies() {
    let home = debian();
    let server = HttpServer::start(&home);
    let mut proxy = Command::new("node");
    let base = server.url.strip_suffix("/mcp").unwrap();
    let mut proxy =
        Running(proxy.args([WITH_TOKEN, base, &server.token]).stdout(Stdio::piped()).spawn().unwrap());
    let mut port = String::new();
    BufReader::new(proxy.0.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let url = format!("http://127.0.0.1:{}/mcp", port.trim());
    for scenario in SCENARIOS {
        let mut suite = Command::new("node");
        suite.arg(node::module(CONFORMANCE)).args(["server", "--url", &url, "--scenario", scenario]);
        let told = Outcome::of(suite.current_dir(home.home())).succeeds();
        let passed = told.stdout().lines().any(|line| {
            line.strip_prefix("Passed: ")
                .is_some_and(|rest| !rest.starts_with("0/") && rest.contains(" 0 failed"))
        });
        assert!(passed, "{scenario}: {told:?}");
    }
    drop(proxy);
    server.stop();
}

/// The page that says what of the suite applies names every scenario that is run, and no other as one that is.
#[test]
fn the_documents_say_what_of_the_suite_applies() {
    let page =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/mcp-conformance.md")).unwrap();
    let listed = Outcome::of(Command::new("node").arg(node::module(CONFORMANCE)).args(["list", "--server"]))
        .succeeds();
    let all: Vec<String> =
        listed.stdout().lines().filter_map(|line| Some(line.trim().strip_prefix("- ")?.to_owned())).collect();
    assert!(all.len() > SCENARIOS.len(), "{listed:?}");
    for scenario in &all {
        let row = page.lines().find(|line| line.contains(&format!("`{scenario}`")));
        let row = row.unwrap_or_else(|| panic!("{scenario} is not in docs/mcp-conformance.md"));
        let applies = SCENARIOS.contains(&scenario.as_str());
        assert_eq!(row.contains("| passes |"), applies, "{row}");
    }
}
