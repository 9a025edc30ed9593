//! `pyro demo ollama`: a model with pyro's tools, and what it does with them. What a model says and asks for comes from outside:
//! it has the rules of MCP clients and bounds of its own. This file must not know how a model is reached.

use super::chat::Answer;
use super::chat::BaseUrl;
use super::chat::Call;
use super::clean;
use crate::event_loop::EventLoop;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use crate::settings;
use crate::signals;
use pyro::Config;
use pyro::code;
use pyro_mcp::operations::OperationError;
use pyro_mcp::operations::Operations;
use pyro_mcp::operations::Rules;
use pyro_mcp::operations::Silent;
use pyro_mcp::server::Profile;
use pyro_mcp::server::Session;
use pyro_mcp::server::Tools;
use serde_json::Value;
use serde_json::json;

/// Most answers of the model, the last one included.
const TURNS_MAX: usize = 8;

/// Most bytes of a tool's result that a model is given.
const RESULT_BYTES_MAX: usize = 64 << 10;

/// Most characters of anything that is shown in one line.
const SHOWN_CHARS_MAX: usize = 2000;

/// What a small model can choose from without losing its way.
const TOOLS: [&str; 6] = [
    "vm_run",
    "workspace_create",
    "workspace_exec",
    "workspace_file_read",
    "workspace_file_write",
    "workspace_delete",
];

const COMMAND: &str = "git --version";

const TASK: &str = "Find out which version of git the environment debian:12 has. Run the command `git --version` there with the \
    tool vm_run, and then answer with what it printed.";

/// Let a model of an OpenAI-compatible server, such as Ollama, run a command in a guest with pyro's tools.
///
/// The model is asked which version of git a guest has, and given tools to find out. When it does not, the command is run without
/// it: fallback_used says so. The exit code is that command's.
#[derive(Debug, clap::Args)]
pub(super) struct Ollama {
    /// The server's OpenAI-compatible address; only http is spoken.
    #[arg(long, value_name = "URL", default_value = "http://localhost:11434/v1")]
    base_url: BaseUrl,

    /// The model, as the server names it.
    #[arg(long, default_value = "llama3.2:3b")]
    model: String,

    /// Show what is said, with the tools' arguments and results.
    #[arg(long, short)]
    verbose: bool,
}

/// How a command ended that ran in a guest.
struct Ran {
    exit_code: i32,
    execution_mode: String,
    stdout: String,
}

impl Ran {
    fn read(document: &Value) -> Option<Self> {
        Some(Self {
            exit_code: i32::try_from(document["exit_code"].as_i64()?).ok()?,
            execution_mode: document["execution_mode"].as_str()?.to_owned(),
            stdout: document["stdout"].as_str()?.to_owned(),
        })
    }

    fn is_what_was_asked(&self) -> bool {
        self.exit_code == 0 && self.stdout.starts_with("git version ")
    }
}

impl Ollama {
    pub(super) fn call(&self, engine: &str) -> Result<i32, Failure> {
        let config = Config { caller: "demo".to_owned(), ..settings::config(engine, exit::FAILED)? };
        let session = Session::begin().map_err(failed)?;
        let rules = Rules {
            workspaces_max: Some(2),
            mem_mib_max: Some(2048),
            vcpu_count_max: Some(2),
            timeout_seconds_max: Some(300),
            ..Rules::guests_only()
        };
        let operations = Operations::new(config.clone(), config.supervisor.clone(), session.rules(rules));
        let runtime = EventLoop::serving().map_err(Failure::event_loop(exit::FAILED))?;
        runtime.block_on(async {
            let mut interrupts = signals::listen();
            let told = tokio::select! {
                told = self.story(&operations) => told,
                Some(signal) = interrupts.recv() => Err(interrupted(signal)),
            };
            let tidied = session.delete_workspaces(&config).await.map_err(failed);
            told.and_then(|code| tidied.map(|_| code))
        })
    }

    async fn story(&self, operations: &Operations) -> Result<i32, Failure> {
        let names = TOOLS.map(str::to_owned);
        let tools = Tools::new(Profile::WorkspaceCore, &names).map_err(|error| {
            Failure::plain(code::TOOL_UNKNOWN, error.to_string(), "report this", exit::FAILED)
        })?;
        let ran = self.converse(operations, &tools).await?;
        let fallback_used = ran.is_none();
        let ran = match ran {
            Some(ran) => ran,
            None => run_without_model(operations).await?,
        };
        output::line(&format!(
            "[summary] exit_code={} fallback_used={fallback_used} execution_mode={}",
            ran.exit_code, ran.execution_mode
        ));
        Ok(ran.exit_code)
    }

    /// The model's turns, until it calls no more tools: how the command ended that it was asked to run, if it ran it.
    async fn converse(&self, operations: &Operations, tools: &Tools) -> Result<Option<Ran>, Failure> {
        let offered: Vec<Value> = tools.functions().map(function).collect();
        let mut messages = vec![json!({ "role": "user", "content": TASK })];
        let mut found = None;
        for _ in 0..TURNS_MAX {
            let request = json!({ "model": self.model, "messages": messages, "tools": offered });
            let answer = self.base_url.ask(&request).await?;
            if answer.calls.is_empty() {
                output::line(&clean(&answer.text, SHOWN_CHARS_MAX));
                break;
            }
            messages.push(said(&answer));
            for call in &answer.calls {
                let outcome = self.carry_out(operations, tools, call).await;
                if let Ok(document) = &outcome {
                    found = Ran::read(document).filter(Ran::is_what_was_asked).or(found);
                }
                let content = content(outcome);
                self.show("result", &content);
                messages.push(json!({ "role": "tool", "tool_call_id": call.id, "content": content }));
            }
        }
        Ok(found)
    }

    async fn carry_out(
        &self,
        operations: &Operations,
        tools: &Tools,
        call: &Call,
    ) -> Result<Value, OperationError> {
        output::error_line(&format!("[tool] name={}", clean(&call.tool, 64)));
        self.show("arguments", &call.arguments);
        let arguments = serde_json::from_str(&call.arguments).map_err(|error| {
            OperationError::new(code::ARGUMENTS_INVALID, format!("the arguments are no JSON object: {error}"))
        })?;
        tools.admit(&call.tool, &arguments)?;
        operations.call(&call.tool, Value::Object(arguments), &Silent).await
    }

    fn show(&self, what: &str, text: &str) {
        if self.verbose {
            output::error_line(&format!("[{what}] {}", clean(text, SHOWN_CHARS_MAX)));
        }
    }
}

/// A tool as Chat Completions has it.
fn function((name, description, parameters): (&str, &str, Value)) -> Value {
    let function = json!({ "name": name, "description": description, "parameters": parameters });
    json!({ "type": "function", "function": function })
}

/// An answer as part of the conversation: what was understood of it, and nothing else.
fn said(answer: &Answer) -> Value {
    let call = |call: &Call| {
        let function = json!({ "name": call.tool, "arguments": call.arguments });
        json!({ "id": call.id, "type": "function", "function": function })
    };
    let calls: Vec<Value> = answer.calls.iter().map(call).collect();
    json!({ "role": "assistant", "content": answer.text, "tool_calls": calls })
}

/// What a model is given of an outcome.
fn content(outcome: Result<Value, OperationError>) -> String {
    let document = outcome
        .unwrap_or_else(|error| json!({ "error": error.message, "code": error.code, "hint": error.hint }));
    let text = document.to_string();
    if text.len() <= RESULT_BYTES_MAX {
        return text;
    }
    json!({ "error": format!("the result has {} bytes, too many to show", text.len()) }).to_string()
}

async fn run_without_model(operations: &Operations) -> Result<Ran, Failure> {
    let arguments = json!({ "environment": "debian:12", "command": COMMAND });
    let document = operations.call("vm_run", arguments, &Silent).await.map_err(failed)?;
    let ran = Ran::read(&document).ok_or_else(|| {
        Failure::plain(
            code::HOST_FAILED,
            "vm_run did not say how the command ended",
            "report this",
            exit::FAILED,
        )
    })?;
    output::line(ran.stdout.trim_end());
    Ok(ran)
}

fn failed(error: OperationError) -> Failure {
    Failure::plain(&error.code, error.message, error.hint.unwrap_or_default(), exit::FAILED)
}

fn interrupted(signal: i32) -> Failure {
    Failure::plain(code::INTERRUPTED, "interrupted", "", 128 + signal).quietly(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_that_is_too_long_is_told_and_not_shown() {
        let long = content(Ok(json!({ "stdout": "x".repeat(RESULT_BYTES_MAX) })));
        assert!(long.contains("too many to show"), "{long}");
        let failed = content(Err(OperationError::new("a_code", "it did not").hint("do")));
        assert_eq!(failed, r#"{"code":"a_code","error":"it did not","hint":"do"}"#);
    }

    #[test]
    fn only_the_command_that_was_asked_for_counts() {
        let ran = |exit_code: i64, stdout: &str| {
            let document =
                json!({ "exit_code": exit_code, "stdout": stdout, "execution_mode": "guest_vsock" });
            Ran::read(&document).is_some_and(|ran| ran.is_what_was_asked())
        };
        assert!(ran(0, "git version 2.39.5\n"));
        assert!(!ran(1, "git version 2.39.5\n") && !ran(0, "hello\n") && !ran(1 << 40, "git version 2\n"));
        assert!(Ran::read(&json!({ "workspace_id": "a" })).is_none());
    }
}
