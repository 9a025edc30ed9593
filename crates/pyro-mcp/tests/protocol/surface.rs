//! What every client is told first: versions, tools, prompts, resources.

use crate::client::Client;
use pyro_mcp::operations::Rules;
use pyro_mcp::server::Profile;
use serde_json::Value;
use serde_json::json;

fn names(listed: &Value, of: &str) -> Vec<String> {
    listed[of].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn older_revisions_are_spoken_and_unknown_ones_are_answered_with_the_newest() {
    for version in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let client = Client::with(Profile::VmRun, Rules::guests_only(), version, &[]).await;
        assert_eq!(client.hello["protocolVersion"], version);
        assert_eq!(client.hello["serverInfo"]["name"], "pyro_mcp");
    }
    let client = Client::with(Profile::VmRun, Rules::guests_only(), "1999-01-01", &[]).await;
    assert_eq!(client.hello["protocolVersion"], "2025-11-25");
}

#[tokio::test]
async fn profiles_offer_what_they_say_and_nothing_else_is_called() {
    let mut client = Client::new(Profile::VmRun).await;
    let listed = client.result("tools/list", json!({})).await;
    assert_eq!(names(&listed, "tools"), ["vm_run"]);
    assert!(client.hello["capabilities"].get("resources").is_none());
    let arguments = json!({ "name": "workspace_list", "arguments": {} });
    let unknown = client.answer("tools/call", arguments).await;
    assert_eq!(
        (&unknown["error"]["code"], &unknown["error"]["data"]["code"]),
        (&json!(-32602), &json!("tool_unknown"))
    );
    let mut client = Client::new(Profile::WorkspaceCore).await;
    let listed = client.result("tools/list", json!({})).await;
    assert_eq!(names(&listed, "tools").len(), 16);
    for argument in ["network_policy", "secrets"] {
        let given = json!({ "environment": "debian:12", argument: null });
        assert_eq!(client.refused("workspace_create", given).await["code"], "arguments_invalid");
    }
    client.assert_nothing_made();
}

#[tokio::test]
async fn every_tool_is_described_for_models() {
    let mut client = Client::new(Profile::WorkspaceFull).await;
    let listed = client.result("tools/list", json!({})).await;
    for tool in listed["tools"].as_array().unwrap() {
        let name = tool["name"].as_str().unwrap();
        for field in ["title", "description", "inputSchema", "outputSchema"] {
            assert!(!tool[field].is_null(), "{name} has no {field}");
        }
        for hint in ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"] {
            assert!(tool["annotations"][hint].is_boolean(), "{name} has no {hint}");
        }
        assert!(!tool["inputSchema"].to_string().contains("allow_host_compat"), "{name} offers the host");
    }
    assert!(client.hello["instructions"].as_str().unwrap().contains("workspace_create"));
}

#[tokio::test]
async fn prompts_and_resources_are_there() {
    let mut client = Client::new(Profile::WorkspaceCore).await;
    let prompts = client.result("prompts/list", json!({})).await;
    assert_eq!(names(&prompts, "prompts").len(), 5);
    let given = json!({ "name": "untrusted-inspection", "arguments": { "seed_path": "/x" } });
    let prompt = client.result("prompts/get", given).await;
    assert!(prompt["messages"][0]["content"]["text"].as_str().unwrap().contains("Inspect /x"));
    assert!(!client.answer("prompts/get", json!({ "name": "nothing" })).await["error"].is_null());
    let templates = client.result("resources/templates/list", json!({})).await;
    assert_eq!(names(&templates, "resourceTemplates"), ["file", "logs", "diff"]);
    for uri in
        ["pyro://workspace/nobody/logs", "pyro://workspace/nobody/files/x", "file:///etc/passwd", "pyro://x"]
    {
        let answer = client.answer("resources/read", json!({ "uri": uri })).await;
        assert_eq!(answer["error"]["code"], -32002, "{uri}: {answer}");
    }
    client.result("ping", json!({})).await;
}
