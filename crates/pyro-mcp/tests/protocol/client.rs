//! A client at one end of a pipe in memory, and a server at the other.

use pyro::Config;
use pyro::engine::EngineChoice;
use pyro_mcp::operations::HostPaths;
use pyro_mcp::operations::Operations;
use pyro_mcp::operations::Root;
use pyro_mcp::operations::Rules;
use pyro_mcp::server::Profile;
use pyro_mcp::server::Server;
use pyro_mcp::server::Tools;
use pyro_mcp::server::serve_stdio;
use serde_json::Value;
use serde_json::json;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncBufReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::io::BufReader;
use tokio::io::DuplexStream;
use tokio::io::ReadHalf;
use tokio::io::WriteHalf;

/// A home without any environment, in which no guest can be started.
pub(crate) fn config(home: &Path) -> Config {
    Config {
        cache_dir: home.join("cache"),
        state_dir: home.join("state"),
        search_path: "/usr/bin:/bin".to_owned(),
        fetch_env: Vec::new(),
        engine: EngineChoice::Auto,
        debian_mirror: None,
        debian_security_mirror: None,
        user_catalogue: None,
        template_bytes_max: 1 << 30,
        boot_deadline: Duration::from_secs(60),
        workspaces_max: 1000,
        output_bytes_max: 64 << 20,
        secret_keyring: false,
        secrets_key: None,
        home: None,
        supervisor: PathBuf::from("/nonexistent"),
        caller: "mcp".to_owned(),
    }
}

pub(crate) fn server(home: &Path, profile: Profile, rules: Rules, client_roots: bool) -> Server {
    let operations = Operations::new(config(home), PathBuf::from("/nonexistent"), rules);
    Server::new(operations, Arc::new(Tools::new(profile, &[]).unwrap()), client_roots)
}

/// A client that has shaken hands.
pub(crate) struct Client {
    home: tempfile::TempDir,
    input: BufReader<ReadHalf<DuplexStream>>,
    output: WriteHalf<DuplexStream>,
    last_id: u64,
    /// What the client says are its roots, when it is asked.
    roots: Vec<String>,
    /// What the server said of itself.
    pub(crate) hello: Value,
    /// What it told without being asked.
    pub(crate) told: Vec<Value>,
}

impl Client {
    pub(crate) async fn new(profile: Profile) -> Self {
        Self::with(profile, Rules::guests_only(), "2025-06-18", &[]).await
    }

    /// With the folders that the server may use.
    pub(crate) async fn below(roots: Vec<PathBuf>) -> Self {
        let rules = Rules {
            host_paths: HostPaths::Below(roots.iter().map(|root| Root::open(root).unwrap()).collect()),
            ..Rules::guests_only()
        };
        Self::with(Profile::WorkspaceFull, rules, "2025-06-18", &[]).await
    }

    pub(crate) async fn with(profile: Profile, rules: Rules, version: &str, roots: &[String]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let (input, output) = tokio::io::split(theirs);
        let server = server(home.path(), profile, rules, !roots.is_empty());
        tokio::spawn(serve_stdio(server, input, output, std::future::pending()));
        let (input, output) = tokio::io::split(ours);
        let mut client = Self {
            home,
            input: BufReader::new(input),
            output,
            last_id: 0,
            roots: roots.to_vec(),
            hello: Value::Null,
            told: Vec::new(),
        };
        let capabilities =
            if roots.is_empty() { json!({}) } else { json!({ "roots": { "listChanged": true } }) };
        let hello = json!({
            "protocolVersion": version,
            "capabilities": capabilities,
            "clientInfo": { "name": "test", "version": "1" },
        });
        client.hello = client.result("initialize", hello).await;
        client.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await;
        client
    }

    pub(crate) async fn send(&mut self, message: &Value) {
        self.write(format!("{message}\n").as_bytes()).await;
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.output.write_all(bytes).await.unwrap();
    }

    pub(crate) fn set_roots(&mut self, roots: &[String]) {
        self.roots = roots.to_vec();
    }

    /// The whole answer to a request; what the server asks meanwhile is answered.
    pub(crate) async fn answer(&mut self, method: &str, params: impl Into<Value>) -> Value {
        let params: Value = params.into();
        self.last_id += 1;
        let id = self.last_id;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })).await;
        loop {
            let message = self.message().await;
            if message["method"] == "roots/list" {
                let roots: Vec<Value> = self.roots.iter().map(|uri| json!({ "uri": uri })).collect();
                self.send(&json!({ "jsonrpc": "2.0", "id": message["id"], "result": { "roots": roots } }))
                    .await;
            } else if message["id"] == id {
                return message;
            } else {
                self.told.push(message);
            }
        }
    }

    async fn message(&mut self) -> Value {
        let mut line = String::new();
        assert!(self.input.read_line(&mut line).await.unwrap() > 0, "the server is gone");
        serde_json::from_str(&line).unwrap()
    }

    /// The next notification of this method.
    pub(crate) async fn notified(&mut self, method: &str) -> Value {
        loop {
            if let Some(at) = self.told.iter().position(|message| message["method"] == method) {
                return self.told.remove(at)["params"].take();
            }
            let message = self.message().await;
            self.told.push(message);
        }
    }

    pub(crate) async fn result(&mut self, method: &str, params: impl Into<Value>) -> Value {
        let mut answer = self.answer(method, params).await;
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].take()
    }

    /// What a tool says that refuses: `{error, code, hint}`.
    pub(crate) async fn refused(&mut self, tool: &str, arguments: impl Into<Value>) -> Value {
        let arguments: Value = arguments.into();
        let mut result = self.result("tools/call", json!({ "name": tool, "arguments": arguments })).await;
        assert_eq!(result["isError"], true, "{tool} took {result}");
        let document = result["structuredContent"].take();
        let text = result["content"][0]["text"].as_str().unwrap();
        assert_eq!(serde_json::from_str::<Value>(text).unwrap(), document);
        assert!(document["error"].as_str().unwrap().len() < 3000, "what was given is repeated whole");
        document
    }

    /// Fails if anything was made: a workspace, an environment, a file of a run.
    pub(crate) fn assert_nothing_made(&self) {
        let workspaces = std::fs::read_dir(self.home.path().join("state/workspaces"));
        let count = workspaces.map_or(0, Iterator::count);
        assert_eq!(count, 0, "a workspace was made");
        assert!(!self.home.path().join("cache").exists(), "something was fetched");
    }
}
