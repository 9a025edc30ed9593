//! An MCP client over the standard streams of the program under test, as plain as can be: JSON lines out, JSON lines in. It
//! must not share code with the server.

use crate::Sandbox;
use serde_json::Value;
use serde_json::json;
use std::collections::HashMap;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Write as _;
use std::process::Child;
use std::process::ChildStdin;
use std::process::Command;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

/// How long an answer may take. A limit, not a wait.
const ANSWER_MAX: Duration = Duration::from_secs(300);

/// A client, and the server it has started.
#[derive(Debug)]
pub struct McpClient {
    child: Child,
    input: Option<ChildStdin>,
    messages: mpsc::Receiver<Value>,
    answers: HashMap<u64, Value>,
    notifications: Vec<Value>,
    last_id: u64,
    /// What the server said of itself.
    pub server: Value,
}

impl McpClient {
    /// Starts `pyro mcp serve` with these flags, and shakes hands.
    pub fn start(sandbox: &Sandbox, flags: &[&str]) -> Self {
        Self::of(&mut sandbox.pyro([&["mcp", "serve"], flags].concat()))
    }

    /// Starts a server, and shakes hands.
    pub fn of(server: &mut Command) -> Self {
        let mut child = server.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (sender, messages) = mpsc::channel();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        std::thread::spawn(move || {
            for line in lines {
                // What is no message of the protocol must not be on this stream.
                let message = serde_json::from_str(&line.unwrap()).unwrap();
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let input = child.stdin.take();
        let mut client = Self {
            child,
            input,
            messages,
            answers: HashMap::new(),
            notifications: Vec::new(),
            last_id: 0,
            server: Value::Null,
        };
        let hello = json!({
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": { "name": "test", "version": "1" },
        });
        client.server = client.request("initialize", hello);
        client.notify("notifications/initialized", json!({}));
        client
    }

    fn send(&mut self, message: &Value) {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{message}").and_then(|()| input.flush()).unwrap();
    }

    /// Sends a notification.
    pub fn notify(&mut self, method: &str, params: impl Into<Value>) {
        let params: Value = params.into();
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    /// Sends a request and does not wait; its id.
    pub fn begin(&mut self, method: &str, params: impl Into<Value>) -> u64 {
        let params: Value = params.into();
        self.last_id += 1;
        let id = self.last_id;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        id
    }

    /// Calls a tool and does not wait; the id of the request, which is also the token of its progress.
    pub fn begin_call(&mut self, tool: &str, arguments: impl Into<Value>) -> u64 {
        let arguments: Value = arguments.into();
        let token = self.last_id + 1;
        self.begin(
            "tools/call",
            json!({ "name": tool, "arguments": arguments, "_meta": { "progressToken": token } }),
        )
    }

    /// Waits for the whole answer to a request.
    #[track_caller]
    pub fn answer(&mut self, id: u64) -> Value {
        loop {
            if let Some(answer) = self.answers.remove(&id) {
                return answer;
            }
            self.receive();
        }
    }

    /// Waits until the call with this token has told something that holds `text`.
    #[track_caller]
    pub fn wait_for_progress(&mut self, token: u64, text: &str) {
        let is_it = |message: &Value| {
            let params = &message["params"];
            params["progressToken"] == token
                && params["message"].as_str().is_some_and(|told| told.contains(text))
        };
        while !self.notifications.iter().any(is_it) {
            self.receive();
        }
    }

    /// Waits for a notification of this method whose parameters are what `is_it` looks for, and takes it.
    #[track_caller]
    pub fn wait_for_notification(&mut self, method: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let is_wanted = |message: &Value| message["method"] == method && is_it(&message["params"]);
        loop {
            if let Some(at) = self.notifications.iter().position(is_wanted) {
                return self.notifications.remove(at)["params"].take();
            }
            self.receive();
        }
    }

    /// Whether such a notification has come so far and was not taken.
    pub fn was_notified(&self, method: &str, is_it: impl Fn(&Value) -> bool) -> bool {
        self.notifications.iter().any(|message| message["method"] == method && is_it(&message["params"]))
    }

    fn receive(&mut self) {
        let message = self.messages.recv_timeout(ANSWER_MAX).unwrap();
        match message["id"].as_u64() {
            Some(id) if message.get("method").is_none() => drop(self.answers.insert(id, message)),
            _ => self.notifications.push(message),
        }
    }

    /// Whether an answer to this request has come so far.
    pub fn is_answered(&self, id: u64) -> bool {
        self.answers.contains_key(&id)
    }

    /// A request's result.
    #[track_caller]
    pub fn request(&mut self, method: &str, params: impl Into<Value>) -> Value {
        let id = self.begin(method, params);
        let mut answer = self.answer(id);
        assert!(answer["error"].is_null(), "{method} failed: {answer}");
        answer["result"].take()
    }

    /// What a tool that succeeds gives back.
    #[track_caller]
    pub fn call(&mut self, tool: &str, arguments: impl Into<Value>) -> Value {
        let id = self.begin_call(tool, arguments);
        self.called(id)
    }

    /// What a call that was begun and succeeds gives back.
    #[track_caller]
    pub fn called(&mut self, id: u64) -> Value {
        let mut result = self.answer(id)["result"].take();
        assert_eq!(result["isError"], false, "{result}");
        let document = result["structuredContent"].take();
        let text = result["content"][0]["text"].as_str().unwrap();
        assert_eq!(serde_json::from_str::<Value>(text).unwrap(), document, "text and structure differ");
        document
    }

    /// What a tool gives back, or `{error, code, hint}`.
    #[track_caller]
    pub fn outcome(&mut self, tool: &str, arguments: impl Into<Value>) -> Result<Value, Value> {
        let id = self.begin_call(tool, arguments);
        let mut result = self.answer(id)["result"].take();
        let document = result["structuredContent"].take();
        if result["isError"] == true { Err(document) } else { Ok(document) }
    }

    /// Closes the client's end, and goes on reading.
    pub fn close_input(&mut self) {
        drop(self.input.take());
    }

    /// What a tool that fails gives back: `{error, code, hint}`.
    #[track_caller]
    pub fn refused(&mut self, tool: &str, arguments: impl Into<Value>) -> Value {
        let id = self.begin_call(tool, arguments);
        let mut result = self.answer(id)["result"].take();
        assert_eq!(result["isError"], true, "{result}");
        result["structuredContent"].take()
    }

    /// Sends the server SIGTERM, and waits until it has ended well.
    #[track_caller]
    pub fn terminate(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
    }

    /// Closes the client's end, and waits until the server has ended well.
    #[track_caller]
    pub fn close(mut self) {
        drop(self.input.take());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for McpClient {
    fn drop(&mut self) {
        drop(self.input.take());
        if std::thread::panicking() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
