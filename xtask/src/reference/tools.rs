//! The reference of MCP tools, from the table of operations. It must not know any of them.

use pyro_mcp::operations::Operation;
use serde_json::Value;
use std::fmt::Write as _;

const INTRO: &str = "\
Every tool of `pyro mcp serve`. A tool that fails gives back `{error, code, hint}` and says `isError`; the codes are in
[error-codes.md](error-codes.md). MCP servers refuse `allow_host_compat`. The same operations, by the same names, are what the
Python package calls.
";

/// The page of all operations.
pub(super) fn page(operations: &[Operation]) -> String {
    let mut page = format!("# MCP tools\n\n{INTRO}");
    for operation in operations {
        section(&mut page, operation);
    }
    page
}

fn section(page: &mut String, operation: &Operation) {
    let hints = operation.hints;
    let said = [
        (hints.read_only, "reads only"),
        (hints.destructive, "may take something away"),
        (hints.idempotent && !hints.read_only, "may be repeated"),
    ];
    let said: Vec<&str> = said.into_iter().filter(|(is_so, _)| *is_so).map(|(_, text)| text).collect();
    let said = if said.is_empty() { "adds something".to_owned() } else { said.join(", ") };
    let _ = write!(
        page,
        "\n## {}\n\n{} ({said}).\n\n{}\n",
        operation.name, operation.title, operation.description
    );
    let arguments = operation.input_schema["properties"].as_object().into_iter().flatten();
    let mut is_first = true;
    for (name, schema) in arguments {
        if std::mem::take(&mut is_first) {
            page.push_str("\nArguments:\n\n");
        }
        let required = operation.input_schema["required"]
            .as_array()
            .is_some_and(|all| all.contains(&name.as_str().into()));
        argument(page, name, schema, required);
    }
    let fields: Vec<String> = operation.output_schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, schema)| format!("`{name}` {}", kind(schema)))
        .collect();
    let _ = write!(page, "\nResult: {}.\n", fields.join(", "));
}

fn argument(page: &mut String, name: &str, schema: &Value, required: bool) {
    let said =
        schema["description"].as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    let default = match &schema["default"] {
        Value::Null if required => " Required.".to_owned(),
        Value::Null => String::new(),
        default => format!(" Default: `{default}`."),
    };
    let _ = writeln!(page, "- `{name}` ({}): {said}{default}", kind(schema));
}

/// The name of a schema's type; with `?` when it may be null.
fn kind(schema: &Value) -> String {
    match &schema["type"] {
        Value::String(name) => name.clone(),
        Value::Array(names) => {
            let named: Vec<&str> =
                names.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect();
            format!("{}?", named.join("|"))
        }
        _ if schema["anyOf"].is_array() => "object?".to_owned(),
        _ => "any".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_has_a_section_with_its_arguments() {
        let page = page(pyro_mcp::operations::table());
        assert!(page.contains("\n## workspace_exec\n\nRun a command (may take something away).\n"), "{page}");
        assert!(
            page.contains("- `command` (string): Shell string, run by /bin/sh -lc. Required.\n"),
            "{page}"
        );
        assert!(page.contains("- `timeout_seconds` (integer): "), "{page}");
        assert!(page.contains("Default: `30`."), "{page}");
        assert!(page.contains("`exit_code` integer"), "{page}");
    }
}
