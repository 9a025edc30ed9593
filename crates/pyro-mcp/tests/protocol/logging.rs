//! What a client's log is told, and when.

use crate::client::Client;
use pyro_mcp::server::Profile;
use serde_json::json;

#[tokio::test]
async fn calls_are_logged_for_whoever_wants_that() {
    let mut client = Client::new(Profile::WorkspaceFull).await;
    assert!(client.hello["capabilities"]["logging"].is_object(), "{}", client.hello);
    let unknown = json!({ "workspace_id": "nobody, and a password" });
    client.refused("workspace_status", unknown.clone()).await;
    client.result("logging/setLevel", json!({ "level": "debug" })).await;
    client.refused("workspace_status", unknown).await;
    let logged = client.notified("notifications/message").await;
    assert_eq!((&logged["level"], &logged["logger"]), (&json!("debug"), &json!("pyro")));
    let data = &logged["data"];
    assert_eq!((&data["tool"], &data["code"]), (&json!("workspace_status"), &json!("workspace_unknown")));
    assert!(!logged.to_string().contains("password"), "what was given is logged: {logged}");
    client.result("logging/setLevel", json!({ "level": "error" })).await;
    client.refused("workspace_status", json!({ "workspace_id": "x" })).await;
    client.result("ping", json!({})).await;
    assert_eq!(client.told, Vec::<serde_json::Value>::new(), "more was logged than is wanted");
    let wrong = client.answer("logging/setLevel", json!({ "level": "loud" })).await;
    assert!(wrong["error"].is_object(), "{wrong}");
}
