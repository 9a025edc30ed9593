//! Operations as MCP tools: which are offered, with which arguments, and how results and failures travel. This file must not
//! call an operation.

use super::profile::Profile;
use crate::operations::Operation;
use crate::operations::OperationError;
use crate::operations::table;
use crate::wording::TOOLS;
use crate::wording::in_terms_of;
use pyro::code;
use rmcp::model::CallToolResult;
use rmcp::model::ContentBlock;
use rmcp::model::JsonObject;
use rmcp::model::Tool;
use rmcp::model::ToolAnnotations;
use serde_json::Value;
use serde_json::json;
use std::sync::Arc;

/// Most bytes of one result, as it travels: there are clients that take no event of more than 1 MiB.
const RESULT_BYTES_MAX: usize = 1_000_000;

/// An argument that a model is not told of, and that is refused with a code of its own if it finds it.
const HIDDEN: &str = "allow_host_compat";

/// What every failure has.
const FAILURE: [&str; 2] = ["error", "code"];

/// The tools that a server offers.
#[derive(Clone, Debug)]
pub struct Tools {
    offered: Vec<Offered>,
}

#[derive(Clone, Debug)]
struct Offered {
    tool: Tool,
    /// Arguments that it does not take although the operation would.
    without: &'static [&'static str],
}

/// A tool that was asked for and that there is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no tool '{name}'")]
pub struct UnknownTool {
    /// Its name.
    pub name: String,
}

impl Tools {
    /// Those of a profile, and of them only those of these names if any are given.
    ///
    /// # Errors
    /// [`UnknownTool`] for a name that the profile does not have.
    pub fn new(profile: Profile, names: &[String]) -> Result<Self, UnknownTool> {
        let of_profile = || table().iter().filter(|operation| profile.has(operation.name));
        let unknown = |name: &&String| !of_profile().any(|operation| operation.name == **name);
        if let Some(name) = names.iter().find(unknown) {
            return Err(UnknownTool { name: name.clone() });
        }
        let is_wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
        let wanted = of_profile().filter(|operation| is_wanted(operation.name));
        let offered = wanted.map(|operation| Offered {
            tool: tool(operation, profile.without()),
            without: profile.without(),
        });
        Ok(Self { offered: offered.collect() })
    }

    /// As a client is told.
    pub(super) fn list(&self) -> Vec<Tool> {
        self.offered.iter().map(|offered| offered.tool.clone()).collect()
    }

    /// As a program offers them that has a model of its own: name, description, and the schema of the arguments.
    pub fn functions(&self) -> impl Iterator<Item = (&str, &str, Value)> {
        self.offered.iter().map(|Offered { tool, .. }| {
            let description = tool.description.as_deref().unwrap_or_default();
            (tool.name.as_ref(), description, Value::Object((*tool.input_schema).clone()))
        })
    }

    /// Refuses a call of a tool that is not offered, or with arguments that it does not take.
    ///
    /// # Errors
    /// There is no such tool, or it does not take one of the arguments.
    pub fn admit(&self, name: &str, arguments: &JsonObject) -> Result<(), OperationError> {
        if !self.has(name) {
            let text = format!("there is no tool '{name}'");
            return Err(
                OperationError::new(code::TOOL_UNKNOWN, text).hint("call one of those that are offered")
            );
        }
        self.check(name, arguments)
    }

    /// Whether there is one of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.offered.iter().any(|offered| offered.tool.name == name)
    }

    /// Refuses arguments that the operation would take and the tool does not.
    pub(super) fn check(&self, name: &str, arguments: &JsonObject) -> Result<(), OperationError> {
        let offered = self.offered.iter().find(|offered| offered.tool.name == name);
        let without = offered.map(|offered| offered.without).unwrap_or_default();
        match without.iter().find(|argument| arguments.contains_key(**argument)) {
            Some(argument) => Err(OperationError::arguments(format!(
                "{name} does not take {argument} in this server's profile"
            ))),
            None => Ok(()),
        }
    }
}

fn tool(operation: &Operation, without: &[&str]) -> Tool {
    let hints = operation.hints;
    let annotations = ToolAnnotations::with_title(operation.title)
        .read_only(hints.read_only)
        .destructive(hints.destructive)
        .idempotent(hints.idempotent)
        .open_world(false);
    let mut input = object(&operation.input_schema);
    if let Some(Value::Object(properties)) = input.get_mut("properties") {
        properties.retain(|name, _| name != HIDDEN && !without.contains(&name.as_str()));
    }
    Tool::new(operation.name, operation.description, input)
        .with_title(operation.title)
        .with_raw_output_schema(Arc::new(output(&operation.output_schema)))
        .with_annotations(annotations)
}

/// A failure is a structured result, too, and there are clients that check every such result against the schema.
fn output(schema: &Value) -> JsonObject {
    let mut schema = object(schema);
    let required = schema.remove("required").unwrap_or_else(|| json!([]));
    schema.insert("anyOf".to_owned(), json!([{ "required": required }, { "required": FAILURE }]));
    schema
}

fn object(schema: &Value) -> JsonObject {
    schema.as_object().cloned().unwrap_or_default()
}

/// What a call came to, as a client is told: a failure of a tool is a result, which a model can read. A document stands in it
/// twice, as text for older clients too; the text goes first when there is not room for both.
pub(super) fn result(outcome: Result<Value, OperationError>) -> CallToolResult {
    let document = match outcome {
        Ok(document) => in_terms_of(TOOLS, document),
        Err(error) => return CallToolResult::structured_error(in_terms_of(TOOLS, error.document())),
    };
    let mut result = CallToolResult::structured(document);
    if length(&result) <= RESULT_BYTES_MAX {
        return result;
    }
    result.content = vec![ContentBlock::text("the result is long, and in structuredContent alone")];
    let bytes = length(&result);
    if bytes <= RESULT_BYTES_MAX {
        return result;
    }
    let text =
        format!("the result has {bytes} bytes, more than the {RESULT_BYTES_MAX} that fit into a message");
    let error = OperationError::new(code::LIMIT_EXCEEDED, text)
        .hint("ask for less at once, by a smaller limit or fewer bytes, and go on from the cursor");
    CallToolResult::structured_error(error.document())
}

fn length(result: &CallToolResult) -> usize {
    serde_json::to_string(result).map_or(usize::MAX, |text| text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(tools: &Tools, name: &str) -> Vec<String> {
        let tool = tools.list().into_iter().find(|tool| tool.name == name).unwrap();
        tool.input_schema["properties"].as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn profiles_have_the_tools_of_the_contract() {
        let count = |profile| Tools::new(profile, &[]).unwrap().list().len();
        assert_eq!((count(Profile::VmRun), count(Profile::WorkspaceCore)), (1, 16));
        assert_eq!(count(Profile::WorkspaceFull), table().len());
    }

    #[test]
    fn some_arguments_are_not_offered() {
        let (core, full) =
            (Tools::new(Profile::WorkspaceCore, &[]).unwrap(), Tools::new(Profile::default(), &[]).unwrap());
        for tools in [&core, &full] {
            assert!(!properties(tools, "workspace_create").contains(&HIDDEN.to_owned()));
            assert!(properties(tools, "workspace_create").contains(&"environment".to_owned()));
        }
        assert!(properties(&full, "workspace_exec").contains(&"secret_env".to_owned()));
        assert!(!properties(&core, "workspace_exec").contains(&"secret_env".to_owned()));
        let given = json!({ "secrets": [] });
        assert!(core.check("workspace_create", given.as_object().unwrap()).is_err());
        assert!(full.check("workspace_create", given.as_object().unwrap()).is_ok());
    }

    #[test]
    fn schemas_have_room_for_failures() {
        for tool in Tools::new(Profile::default(), &[]).unwrap().list() {
            let schema = tool.output_schema.unwrap();
            assert!(schema.get("required").is_none(), "{}", tool.name);
            let either = schema["anyOf"].as_array().unwrap();
            assert_eq!(either[1], json!({ "required": ["error", "code"] }));
            assert!(either[0]["required"].as_array().is_some_and(|names| !names.is_empty()), "{}", tool.name);
        }
    }

    #[test]
    fn single_tools_can_be_named() {
        let names = ["vm_run".to_owned(), "workspace_exec".to_owned()];
        assert_eq!(Tools::new(Profile::default(), &names).unwrap().list().len(), 2);
        let refused = Tools::new(Profile::VmRun, &names).unwrap_err();
        assert_eq!(refused, UnknownTool { name: "workspace_exec".to_owned() });
    }

    #[test]
    fn a_program_with_a_model_of_its_own_is_told_the_same() {
        let tools = Tools::new(Profile::VmRun, &[]).unwrap();
        let (name, description, schema) = tools.functions().next().unwrap();
        assert_eq!((name, description.is_empty()), ("vm_run", false));
        assert!(schema["properties"]["command"].is_object() && schema["properties"][HIDDEN].is_null());
        let none = JsonObject::new();
        assert!(tools.admit("vm_run", &none).is_ok());
        assert_eq!(tools.admit("workspace_delete", &none).unwrap_err().code, code::TOOL_UNKNOWN);
    }

    #[test]
    fn failures_are_results_and_so_is_too_much() {
        let failed = result(Err(OperationError::new("x", "y").hint("z")));
        assert_eq!(failed.is_error, Some(true));
        assert_eq!(failed.structured_content, Some(json!({ "error": "y", "code": "x", "hint": "z" })));
        let large = result(Ok(json!({ "a": "x".repeat(RESULT_BYTES_MAX) })));
        assert_eq!(large.structured_content.unwrap()["code"], code::LIMIT_EXCEEDED);
        let long = json!({ "a": "\n".repeat(RESULT_BYTES_MAX / 3) });
        let halved = result(Ok(long.clone()));
        assert!(length(&halved) <= RESULT_BYTES_MAX && halved.structured_content == Some(long));
        let short = result(Ok(json!({ "a": 1 })));
        assert_eq!(serde_json::to_value(&short.content[0]).unwrap()["text"], "{\"a\":1}");
    }
}
