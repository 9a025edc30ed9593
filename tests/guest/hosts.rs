//! Programs that use MCP servers are told of this one, and get an answer from it.

use crate::sandbox;
use std::fs;

#[test]
fn a_program_is_connected_examined_and_disconnected() {
    let home = sandbox();
    let file = home.home().join(".cursor/mcp.json");
    fs::create_dir(file.parent().unwrap()).unwrap();
    let before = "{\n  \"zoom\": 2,\n  \"mcpServers\": {}\n}\n";
    fs::write(&file, before).unwrap();
    home.run(["host", "doctor", "cursor"]).ends_with(1);
    let root = home.home().to_str().unwrap().to_owned();
    home.run(["host", "connect", "cursor", "--profile", "vm-run", "--root", &root]).succeeds();
    let entered: serde_json::Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let arguments = &entered["mcpServers"]["pyro"]["args"];
    assert_eq!(arguments, &serde_json::json!(["mcp", "serve", "--profile", "vm-run", "--root", root]));
    let found = home.run(["host", "doctor", "--json"]).succeeds().json();
    let cursor =
        found["hosts"].as_array().unwrap().iter().find(|host| host["host"] == "cursor").unwrap().clone();
    assert_eq!((&cursor["connected"], &cursor["works"]), (&true.into(), &true.into()), "{cursor}");
    assert!(cursor["server"].as_str().unwrap().starts_with("pyro_mcp "), "{cursor}");
    home.run(["host", "remove", "cursor"]).succeeds();
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
}

#[test]
fn printing_writes_nothing_and_a_server_that_does_not_answer_is_said() {
    let home = sandbox();
    let printed = home.run(["host", "connect", "codex", "--print"]).succeeds();
    assert!(printed.stdout().contains("[mcp_servers.pyro]"), "{printed:?}");
    assert!(!home.home().join(".codex").exists());
    let file = home.home().join("other.json");
    fs::write(&file, "{ \"mcpServers\": { \"pyro\": { \"command\": \"/bin/true\" } } }").unwrap();
    let at = ["--config", file.to_str().unwrap()];
    let found = home
        .run([["host", "doctor"].as_slice(), &["claude-code", "--json"], &at].concat())
        .ends_with(1)
        .json();
    assert_eq!(found["hosts"][0]["works"], false, "{found}");
    fs::write(&file, "{ // mine\n}").unwrap();
    home.run([["host", "connect", "claude-code"].as_slice(), &at].concat()).fails_with(
        1,
        "document_invalid",
        "understood",
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "{ // mine\n}");
}
