//! A server as a program's configuration has it. This file must not read or write any.

use super::Host;
use super::json::Json;
use serde_json::Value;
use serde_json::json;

/// A server that is started as a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The program.
    pub command: String,
    /// Its arguments.
    pub arguments: Vec<String>,
}

impl Entry {
    /// As this program has it.
    pub(super) fn json(&self, host: Host) -> Value {
        let Self { command, arguments } = self;
        match host {
            Host::Opencode => {
                let words: Vec<&String> = std::iter::once(command).chain(arguments).collect();
                json!({ "type": "local", "command": words, "enabled": true })
            }
            Host::ClaudeCode | Host::Vscode => {
                json!({ "type": "stdio", "command": command, "args": arguments })
            }
            Host::ClaudeDesktop | Host::Codex | Host::Cursor => {
                json!({ "command": command, "args": arguments })
            }
        }
    }

    /// What any of them has.
    pub(super) fn of_json(entry: &Json) -> Option<Self> {
        let mut words = match entry.get("command")? {
            Json::Text(command) => vec![command.clone()],
            Json::List(words) => words.iter().map(Json::text).collect::<Option<Vec<_>>>()?,
            _ => return None,
        };
        if let Some(Json::List(arguments)) = entry.get("args") {
            words.extend(arguments.iter().map(Json::text).collect::<Option<Vec<_>>>()?);
        }
        let mut words = words.into_iter();
        Some(Self { command: words.next()?, arguments: words.collect() })
    }
}
