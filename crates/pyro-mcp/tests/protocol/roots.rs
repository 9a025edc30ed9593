//! The folders of the host that a client names, and those that it does not.

use crate::client::Client;
use pyro_mcp::operations::Rules;
use pyro_mcp::server::Profile;
use serde_json::json;

fn uri(path: &std::path::Path) -> String {
    format!("file://{}", path.display())
}

#[tokio::test]
async fn a_clients_own_folders_are_its_roots_until_it_names_others() {
    let host = tempfile::tempdir().unwrap();
    let (one, other) = (host.path().join("one"), host.path().join("other"));
    std::fs::create_dir(&one).unwrap();
    std::fs::create_dir(&other).unwrap();
    let mut client = Client::with(
        Profile::WorkspaceFull,
        Rules::guests_only(),
        "2025-06-18",
        &[uri(&one), uri(&host.path().join("gone"))],
    )
    .await;
    let push = |source: &std::path::Path| json!({ "workspace_id": "nobody", "source_path": source });
    // A path that may be used goes on to what is wrong otherwise.
    assert_eq!(client.refused("workspace_sync_push", push(&one)).await["code"], "workspace_unknown");
    assert_eq!(client.refused("workspace_sync_push", push(&other)).await["code"], "path_outside_roots");
    client.set_roots(&[uri(&other)]);
    client.send(&json!({ "jsonrpc": "2.0", "method": "notifications/roots/list_changed" })).await;
    // Notifications and requests are handled beside each other: the change counts from some moment on, and stays.
    while client.refused("workspace_sync_push", push(&other)).await["code"] != "workspace_unknown" {}
    assert_eq!(client.refused("workspace_sync_push", push(&one)).await["code"], "path_outside_roots");
}

#[tokio::test]
async fn a_client_that_names_no_folder_has_none_and_named_ones_are_the_servers() {
    let host = tempfile::tempdir().unwrap();
    let push = json!({ "workspace_id": "nobody", "source_path": host.path() });
    let mut client = Client::new(Profile::WorkspaceFull).await;
    let refused = client.refused("workspace_sync_push", push.clone()).await;
    assert_eq!(refused["code"], "path_outside_roots");
    assert!(refused["hint"].as_str().unwrap().contains("--root"));
    let mut client = Client::below(vec![host.path().canonicalize().unwrap()]).await;
    assert_eq!(client.refused("workspace_sync_push", push).await["code"], "workspace_unknown");
}

/// A link of a guest's choice on the host, or a port for everybody, is not for whoever is bound to some folders.
#[tokio::test]
async fn what_would_reach_beyond_the_folders_is_refused() {
    let host = tempfile::tempdir().unwrap();
    let mut client = Client::below(vec![host.path().canonicalize().unwrap()]).await;
    let pull = json!({ "workspace_id": "nobody", "source": "x", "target_path": "x", "links": "keep" });
    assert_eq!(client.refused("workspace_sync_pull", pull).await["code"], "arguments_invalid");
    let publish = json!({ "workspace_id": "nobody", "guest_port": 80, "host": "0.0.0.0" });
    assert_eq!(client.refused("port_publish", publish).await["code"], "arguments_invalid");
}
