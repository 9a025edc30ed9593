//! Programs of npm that nobody here wrote: the MCP inspector's command line, over both transports, and the protocol's conformance
//! suite over HTTP, as far as it applies. What they are is in `tests/clients`.

use crate::debian;
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

/// A server over HTTP.
struct Server {
    process: Child,
    url: String,
    token: String,
}

impl Server {
    fn start(home: &Sandbox) -> Self {
        let mut command = home.pyro(["mcp", "serve", "--ephemeral", "--http", "127.0.0.1:0"]);
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines().map(Result::unwrap);
        let mut after = |name: &str| {
            let line = lines.find(|line| line.starts_with("[mcp] ") && line.contains(name)).unwrap();
            line.split_once(name).unwrap().1.to_owned()
        };
        let (url, token) = (after("url="), after("token="));
        Self { process, url, token }
    }

    fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.process.wait().unwrap().success());
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

/// Lists, describes and calls, wherever the server is.
fn inspect(home: &Sandbox, server: &[&str]) {
    let of = |method: &[&str]| inspected(home, &[server, &["--method"], method].concat());
    let called = |tool: &str, arguments: &[&str]| {
        let named = arguments.iter().flat_map(|argument| ["--tool-arg", *argument]);
        let words: Vec<&str> = ["tools/call", "--tool-name", tool].into_iter().chain(named).collect();
        let mut answer = of(&words);
        assert_eq!(answer["isError"], false, "{tool}: {answer}");
        answer["structuredContent"].take()
    };
    let tools = of(&["tools/list"]);
    assert!(tools["tools"].as_array().unwrap().len() >= 43, "{tools}");
    assert_eq!(of(&["prompts/list"])["prompts"].as_array().unwrap().len(), 5);
    assert_eq!(of(&["resources/templates/list"])["resourceTemplates"].as_array().unwrap().len(), 3);
    assert_eq!(called("workspace_list", &["limit=5"])["count"], 0);
    let ran =
        called("vm_run", &["environment=debian:12", "command=echo hello; exit 4", "timeout_seconds=120"]);
    assert_eq!((&ran["stdout"], &ran["exit_code"]), (&"hello\n".into(), &4.into()), "{ran}");
    let refused = of(&["tools/call", "--tool-name", "workspace_status", "--tool-arg", "workspace_id=nobody"]);
    assert_eq!(
        (&refused["isError"], &refused["structuredContent"]["code"]),
        (&true.into(), &"workspace_unknown".into())
    );
}

#[test]
fn the_inspector_lists_and_calls_over_stdio() {
    let home = debian();
    let server = home.pyro(["mcp", "serve", "--ephemeral"]);
    let words: Vec<&str> = [server.get_program()]
        .into_iter()
        .chain(server.get_args())
        .map(|word| word.to_str().unwrap())
        .collect();
    inspect(&home, &words);
}

#[test]
fn the_inspector_lists_and_calls_over_http() {
    let home = debian();
    let server = Server::start(&home);
    let header = format!("Authorization: Bearer {}", server.token);
    inspect(&home, &[&server.url, "--transport", "http", "--header", &header]);
    server.stop();
}

#[test]
fn the_conformance_suite_passes_as_far_as_it_applies() {
    let home = debian();
    let server = Server::start(&home);
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
