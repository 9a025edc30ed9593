//! The five stories from one table, `tests/stories/stories.json`, by the command line and by MCP; `python/tests/test_stories.py`
//! has the Python package tell the same ones. What is here is how each face is asked, and nothing of any story.

use crate::debian;
use pyro_testkit::McpClient;
use pyro_testkit::Sandbox;
use pyro_testkit::Story;
use pyro_testkit::story::Face;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;
use std::fs;
use std::path::PathBuf;

macro_rules! stories {
    ($($test:ident: $name:literal;)+) => {
        /// Every story of the table is told below.
        #[test]
        fn none_is_left_out() {
            let all = Story::all();
            let names: Vec<&str> = all.iter().map(Story::name).collect();
            assert_eq!(names, [$($name),+]);
        }

        mod by_the_command_line {
            $(#[test]
            fn $test() {
                super::by_the_command_line($name);
            })+
        }

        mod by_mcp {
            $(#[test]
            fn $test() {
                super::by_mcp($name);
            })+
        }
    };
}

stories! {
    cold_start_validation: "cold-start-validation";
    repro_fix_loop: "repro-fix-loop";
    parallel_workspaces: "parallel-workspaces";
    untrusted_inspection: "untrusted-inspection";
    review_eval: "review-eval";
}

/// A folder of the host that a story may use.
fn folder(home: &Sandbox) -> PathBuf {
    let folder = home.home().join("story");
    fs::create_dir(&folder).unwrap();
    folder
}

fn by_mcp(name: &str) {
    let home = debian();
    let folder = folder(&home);
    let mut client = McpClient::start(&home, &["--ephemeral", "--root", folder.to_str().unwrap()]);
    // A client finds the story by its name, too.
    let prompts = client.request("prompts/list", json!({}));
    assert!(prompts["prompts"].as_array().unwrap().iter().any(|prompt| prompt["name"] == name), "{prompts}");
    Story::named(name).run(&mut Mcp(&mut client), &folder).unwrap();
    client.close();
}

/// A tool for each operation.
struct Mcp<'a>(&'a mut McpClient);

impl Face for Mcp<'_> {
    fn call(&mut self, operation: &str, arguments: &Map<String, Value>) -> Result<Value, String> {
        self.0.outcome(operation, arguments.clone()).map_err(|failure| text(&failure["code"]).to_owned())
    }
}

fn by_the_command_line(name: &str) {
    let home = debian();
    let folder = folder(&home);
    let told = Story::named(name).run(&mut CommandLine(&home), &folder);
    // Deleted here too, so that a story that broke off says why rather than that something still runs.
    home.run(["workspace", "delete", "--all"]);
    told.unwrap();
}

/// The program, asked for JSON.
struct CommandLine<'a>(&'a Sandbox);

impl Face for CommandLine<'_> {
    fn call(&mut self, operation: &str, arguments: &Map<String, Value>) -> Result<Value, String> {
        let ran = self.0.run(command_line(operation, arguments));
        let document = ran.json();
        if document["ok"] == false {
            assert_eq!(ran.code(), 1, "{ran:?}");
            return Err(text(&document["code"]).to_owned());
        }
        // The program ends as the command in the guest did.
        let code = if operation == "workspace_exec" { document["exit_code"].as_i64().unwrap() } else { 0 };
        assert_eq!(i64::from(ran.code()), code, "{ran:?}");
        Ok(document)
    }
}

/// An operation's words, and which of its arguments stand behind them without a flag.
fn words(operation: &str) -> (&'static str, &'static [&'static str]) {
    match operation {
        "workspace_create" => ("workspace create", &["environment"]),
        "workspace_list" => ("workspace list", &[]),
        "workspace_status" => ("workspace status", &["workspace_id"]),
        "workspace_update" => ("workspace update", &["workspace_id"]),
        "workspace_delete" => ("workspace delete", &["workspace_id"]),
        "workspace_exec" => ("workspace exec", &["workspace_id"]),
        "workspace_reset" => ("workspace reset", &["workspace_id"]),
        "workspace_diff" => ("workspace diff", &["workspace_id"]),
        "workspace_export" => ("workspace export", &["workspace_id", "path"]),
        "workspace_file_list" => ("workspace file list", &["workspace_id", "path"]),
        "workspace_file_read" => ("workspace file read", &["workspace_id", "path"]),
        "workspace_file_write" => ("workspace file write", &["workspace_id", "path"]),
        "workspace_patch_apply" => ("workspace patch apply", &["workspace_id"]),
        "snapshot_create" => ("workspace snapshot create", &["workspace_id", "snapshot_name"]),
        "shell_open" => ("workspace shell open", &["workspace_id"]),
        "shell_read" => ("workspace shell read", &["workspace_id", "shell_id"]),
        "shell_write" => ("workspace shell write", &["workspace_id", "shell_id"]),
        "shell_close" => ("workspace shell close", &["workspace_id", "shell_id"]),
        "service_start" => ("workspace service start", &["workspace_id", "service_name"]),
        "service_status" => ("workspace service status", &["workspace_id", "service_name"]),
        "service_logs" => ("workspace service logs", &["workspace_id", "service_name"]),
        "service_stop" => ("workspace service stop", &["workspace_id", "service_name"]),
        other => panic!("no command line for {other}"),
    }
}

/// What a user types for an operation with these arguments.
fn command_line(operation: &str, arguments: &Map<String, Value>) -> Vec<String> {
    let (words, positional) = words(operation);
    let mut line: Vec<String> = words.split(' ').map(str::to_owned).collect();
    line.push("--json".to_owned());
    line.extend(positional.iter().map(|name| text(&arguments[*name]).to_owned()));
    for (name, value) in arguments {
        if !positional.contains(&name.as_str()) && name != "command" {
            line.extend(flags(name, value));
        }
    }
    if let Some(command) = arguments.get("command") {
        line.extend(["--".to_owned(), text(command).to_owned()]);
    }
    line
}

fn flags(name: &str, value: &Value) -> Vec<String> {
    let flag = |name: &str| format!("--{}", name.replace('_', "-"));
    match (name, value) {
        ("output_path", path) => vec![flag("output"), text(path).to_owned()],
        ("labels", Value::Object(labels)) => {
            labels.iter().flat_map(|(key, value)| [flag("label"), format!("{key}={}", text(value))]).collect()
        }
        ("readiness", probe) => {
            let what = text(&probe["type"]);
            let of = ["path", "address", "url", "command"].iter().find_map(|of| probe.get(of)).unwrap();
            vec![flag(&format!("ready_{what}")), text(of).to_owned()]
        }
        (_, Value::Bool(true)) => vec![flag(name)],
        (_, Value::Bool(false)) => Vec::new(),
        (_, Value::String(text)) => vec![format!("{}={text}", flag(name))],
        (_, number) => vec![flag(name), number.to_string()],
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}
