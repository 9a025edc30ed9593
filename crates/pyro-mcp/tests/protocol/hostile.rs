//! Arguments that nobody should send: typed refusals, and nothing touched.

use crate::client::Client;
use pyro_mcp::operations::Rules;
use pyro_mcp::operations::table;
use pyro_mcp::server::Profile;
use serde_json::Value;
use serde_json::json;

/// A required string argument of this tool is given `value`, the others something harmless.
fn arguments(schema: &Value, value: &Value) -> Value {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let named = required.iter().map(|name| {
        let name = name.as_str().unwrap();
        let of = &schema["properties"][name]["type"];
        let given = match of.as_str() {
            Some("string") => value.clone(),
            Some("integer") => json!(1),
            Some("array") => json!([]),
            _ => Value::Null,
        };
        (name.to_owned(), given)
    });
    named.collect::<serde_json::Map<_, _>>().into()
}

/// Strings of ten megabytes for tools of every kind, and of a hundred kilobytes for all: what looks at a byte of one more than
/// once is seen at a hundred already.
#[tokio::test]
async fn long_strings_are_refused_by_every_tool_and_not_repeated() {
    let mut client = Client::new(Profile::WorkspaceFull).await;
    let (long, longest) = (json!("x/".repeat(50 << 10)), json!("x/".repeat(5 << 20)));
    let kinds = ["vm_run", "workspace_create", "workspace_exec", "workspace_file_read", "workspace_export"];
    for operation in table() {
        let string = if kinds.contains(&operation.name) { &longest } else { &long };
        let plain = arguments(&operation.input_schema, &json!("a"));
        // One at a time: what is longer than a message may be is not read at all.
        for (name, value) in plain.as_object().unwrap().iter().filter(|(_, value)| value.is_string()) {
            let mut given = plain.clone();
            given[name] = string.clone();
            let refused = client.refused(operation.name, given).await;
            assert!(
                !refused["code"].as_str().unwrap().is_empty(),
                "{} {name} {value}: {refused}",
                operation.name
            );
        }
    }
    client.result("ping", json!({})).await;
    client.assert_nothing_made();
}

#[tokio::test]
async fn wrong_types_and_unknown_arguments_are_refused_by_every_tool() {
    let mut client = Client::new(Profile::WorkspaceFull).await;
    for operation in table() {
        let mut unknown = arguments(&operation.input_schema, &json!("a"));
        unknown["no such argument"] = json!(1);
        assert_eq!(
            client.refused(operation.name, unknown).await["code"],
            "arguments_invalid",
            "{}",
            operation.name
        );
        if operation.input_schema["required"].is_array() {
            let wrong = arguments(&operation.input_schema, &json!({ "not": "a string" }));
            assert_eq!(
                client.refused(operation.name, wrong).await["code"],
                "arguments_invalid",
                "{}",
                operation.name
            );
            assert_eq!(
                client.refused(operation.name, json!({})).await["code"],
                "arguments_invalid",
                "{}",
                operation.name
            );
        }
    }
    client.assert_nothing_made();
}

#[tokio::test]
async fn workspaces_that_are_not_there_are_unknown_to_every_tool() {
    let mut client = Client::below(vec![std::env::temp_dir().canonicalize().unwrap()]).await;
    for operation in table() {
        let properties = operation.input_schema["properties"].as_object().unwrap();
        let Some(of) = ["workspace_id", "vm_id"].into_iter().find(|name| properties.contains_key(*name))
        else {
            continue;
        };
        for id in ["3fa2c19b04de", "../../etc", "no such name"] {
            let mut given = arguments(&operation.input_schema, &json!("a"));
            given[of] = json!(id);
            for (name, value) in
                [("source_path", "."), ("target_path", "x"), ("output_path", "x"), ("signal", "TERM")]
            {
                if properties.contains_key(name) {
                    given[name] = json!(value);
                }
            }
            if properties.contains_key("secrets") {
                given["secrets"] = json!([{ "name": "KEY", "value": "value" }]);
            }
            let refused = client.refused(operation.name, given).await;
            assert_eq!(refused["code"], "workspace_unknown", "{} {id}: {refused}", operation.name);
        }
    }
    client.assert_nothing_made();
}

#[tokio::test]
async fn the_host_is_never_run_on_and_its_limits_hold() {
    let rules = Rules {
        workspaces_max: Some(0),
        mem_mib_max: Some(512),
        vcpu_count_max: Some(2),
        timeout_seconds_max: Some(60),
        ..Rules::guests_only()
    };
    let mut client = Client::with(Profile::WorkspaceFull, rules, "2025-06-18", &[]).await;
    let run = |name: &str, value: Value| {
        let mut given = json!({ "environment": "debian:12", "command": "true", "mem_mib": 256 });
        given[name] = value;
        given
    };
    for (name, value, code) in [
        ("allow_host_compat", json!(true), "host_compat_refused"),
        ("mem_mib", json!(513), "limit_exceeded"),
        ("mem_mib", json!(1), "limit_exceeded"),
        ("vcpu_count", json!(3), "limit_exceeded"),
        ("timeout_seconds", json!(61), "limit_exceeded"),
        ("timeout_seconds", json!(0), "limit_exceeded"),
        ("command", json!("  "), "no_command"),
        ("environment", json!("debian:12"), "workspace_limit_reached"),
    ] {
        assert_eq!(client.refused("vm_run", run(name, value)).await["code"], code, "{name}");
    }
    for tool in ["vm_create", "workspace_create"] {
        let given = json!({ "environment": "debian:12", "mem_mib": 256, "allow_host_compat": true });
        assert_eq!(client.refused(tool, given).await["code"], "host_compat_refused");
        let given = json!({ "environment": "debian:12", "mem_mib": 256 });
        assert_eq!(client.refused(tool, given).await["code"], "workspace_limit_reached");
    }
    client.assert_nothing_made();
}

#[tokio::test]
async fn a_message_that_is_no_message_harms_no_other() {
    let mut client = Client::new(Profile::WorkspaceFull).await;
    let endless = vec![b'x'; 17 << 20];
    for line in
        [b"nonsense".as_slice(), b"{}", b"[]", b"{\"jsonrpc\": \"2.0\", \"id\": 7}", &[0xff, 0xfe], &endless]
    {
        client.write(line).await;
        client.write(b"\n").await;
    }
    client.result("ping", json!({})).await;
}

/// A model has tools, and no command line.
#[tokio::test]
async fn hints_name_tools() {
    let mut client = Client::new(Profile::WorkspaceFull).await;
    let refused = client.refused("workspace_status", json!({ "workspace_id": "nobody" })).await;
    assert_eq!(refused["hint"], "workspace_list shows what there is");
    let network = json!({ "environment": "debian:12", "command": "true", "network": true });
    let refused = client.refused("vm_run", network).await;
    assert!(!refused["hint"].as_str().unwrap().contains("--"), "{refused}");
}
