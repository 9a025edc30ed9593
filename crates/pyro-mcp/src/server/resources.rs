//! What of workspaces can be read as resources: files, what commands printed, what changed. This file must not change anything.

use crate::operations::OperationError;
use crate::operations::Operations;
use crate::operations::Silent;
use crate::wording::TOOLS;
use crate::wording::in_terms_of;
use pyro::code;
use rmcp::ErrorData;
use rmcp::model::ReadResourceResult;
use rmcp::model::Resource;
use rmcp::model::ResourceContents;
use rmcp::model::ResourceTemplate;
use serde_json::Value;
use serde_json::json;

/// What every address begins with.
const BASE: &str = "pyro://workspace/";

/// Most bytes of a file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The kinds of address.
pub(super) fn templates() -> Vec<ResourceTemplate> {
    let template = |rest: &str, name: &str, said: &str| {
        ResourceTemplate::new(format!("{BASE}{{workspace}}/{rest}"), name).with_description(said)
    };
    vec![
        template(
            "files/{+path}",
            "file",
            "A file of a workspace, running or stopped; the path is below /workspace.",
        ),
        template("logs", "logs", "The last commands of a workspace and what they printed.")
            .with_mime_type("application/json"),
        template("diff", "diff", "What changed in a workspace since it was made, as a patch.")
            .with_mime_type("text/x-diff"),
    ]
}

/// What there is to read of each workspace besides its files.
pub(super) async fn list(operations: &Operations) -> Result<Vec<Resource>, ErrorData> {
    let listed = call(operations, "workspace_list", json!({})).await?;
    let workspaces = listed["workspaces"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(workspaces.iter().filter(|workspace| workspace["error"].is_null()).flat_map(of_one).collect())
}

fn of_one(workspace: &Value) -> [Resource; 2] {
    let id = workspace["workspace_id"].as_str().unwrap_or_default();
    let name = workspace["name"].as_str().unwrap_or(id);
    let resource = |kind: &str, said: &str, mime_type: &str| {
        Resource::new(format!("{BASE}{id}/{kind}"), format!("{kind} of {name}"))
            .with_description(said)
            .with_mime_type(mime_type)
    };
    [
        resource("logs", "The last commands and what they printed.", "application/json"),
        resource("diff", "What changed since it was made.", "text/x-diff"),
    ]
}

/// What an address names.
#[derive(Debug, PartialEq, Eq)]
enum Address {
    File { workspace: String, path: String },
    Logs { workspace: String },
    Diff { workspace: String },
}

fn address(uri: &str) -> Option<Address> {
    let (workspace, rest) = uri.strip_prefix(BASE)?.split_once('/')?;
    let workspace = decoded(workspace).filter(|workspace| !workspace.is_empty())?;
    match rest.split_once('/') {
        None if rest == "logs" => Some(Address::Logs { workspace }),
        None if rest == "diff" => Some(Address::Diff { workspace }),
        Some(("files", path)) if !path.is_empty() => Some(Address::File { workspace, path: decoded(path)? }),
        _ => None,
    }
}

/// Reads one.
pub(super) async fn read(operations: &Operations, uri: &str) -> Result<ReadResourceResult, ErrorData> {
    let shown: String = uri.chars().take(200).collect();
    let unknown = || ErrorData::resource_not_found(format!("there is no resource '{shown}'"), None);
    let contents = match address(uri).ok_or_else(unknown)? {
        Address::Logs { workspace } => {
            let logs = call(operations, "workspace_logs", json!({ "workspace_id": workspace })).await?;
            ResourceContents::text(logs.to_string(), uri).with_mime_type("application/json")
        }
        Address::Diff { workspace } => {
            let diff = call(operations, "workspace_diff", json!({ "workspace_id": workspace })).await?;
            ResourceContents::text(text(&diff, "patch"), uri).with_mime_type("text/x-diff")
        }
        Address::File { workspace, path } => file(operations, &workspace, &path, uri).await?,
    };
    Ok(ReadResourceResult::new(vec![contents]))
}

/// A file, from the guest or, of a workspace that is stopped, from its disk.
async fn file(
    operations: &Operations,
    workspace: &str,
    path: &str,
    uri: &str,
) -> Result<ResourceContents, ErrorData> {
    let arguments = json!({ "workspace_id": workspace, "path": path, "max_bytes": FILE_BYTES_MAX });
    let read = operations.call("workspace_file_read", arguments.clone(), &Silent).await;
    match read {
        Ok(read) if read["encoding"] == "base64" => Ok(ResourceContents::blob(text(&read, "content"), uri)),
        Ok(read) => Ok(ResourceContents::text(text(&read, "content"), uri)),
        Err(error) if error.code == code::WORKSPACE_NOT_RUNNING => {
            let read = call(operations, "workspace_disk_read", arguments).await?;
            Ok(match read["content_base64"].as_str() {
                Some(exact) => ResourceContents::blob(exact, uri),
                None => ResourceContents::text(text(&read, "content"), uri),
            })
        }
        Err(error) => Err(failed(&error)),
    }
}

fn text(document: &Value, name: &str) -> String {
    document[name].as_str().unwrap_or_default().to_owned()
}

async fn call(operations: &Operations, name: &str, arguments: Value) -> Result<Value, ErrorData> {
    operations.call(name, arguments, &Silent).await.map_err(|error| failed(&error))
}

/// A resource that cannot be read is not there, or is an error of the protocol: it has no other place for it.
fn failed(error: &OperationError) -> ErrorData {
    let data = Some(in_terms_of(TOOLS, error.document()));
    match error.code.as_str() {
        code::WORKSPACE_UNKNOWN | code::PATH_NOT_FOUND => {
            ErrorData::resource_not_found(error.message.clone(), data)
        }
        code::HOST_FAILED | code::SUPERVISOR_FAILED => ErrorData::internal_error(error.message.clone(), data),
        _ => ErrorData::invalid_params(error.message.clone(), data),
    }
}

/// A text whose `%20` and the like are put back; nothing when that is no UTF-8.
pub(super) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped =
            digits.filter(|_| *first == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let workspace = || "fix me".to_owned();
        assert_eq!(address("pyro://workspace/fix%20me/logs"), Some(Address::Logs { workspace: workspace() }));
        assert_eq!(address("pyro://workspace/fix%20me/diff"), Some(Address::Diff { workspace: workspace() }));
        let file = Address::File { workspace: workspace(), path: "src/a b.rs".to_owned() };
        assert_eq!(address("pyro://workspace/fix%20me/files/src/a%20b.rs"), Some(file));
        for none in [
            "",
            "pyro://workspace/",
            "pyro://workspace/x",
            "pyro://workspace/x/",
            "pyro://workspace//logs",
            "pyro://workspace/x/files/",
            "pyro://workspace/x/logs/y",
            "file:///etc/passwd",
            "pyro://workspace/x/files/%ff",
        ] {
            assert_eq!(address(none), None, "{none}");
        }
    }

    #[test]
    fn only_escapes_are_put_back() {
        assert_eq!(decoded("a%2Fb%20%zz%2").as_deref(), Some("a/b %zz%2"));
    }
}
