//! A client of Chat Completions, as Ollama and others speak it, over plain HTTP. What a server answers comes from outside: it is
//! bounded, and read into types before anything is made of it. This file must not know what is asked or which tools there are.

use super::clean;
use crate::exit;
use crate::failure::Failure;
use http_body_util::BodyExt as _;
use http_body_util::Full;
use http_body_util::Limited;
use hyper::Request;
use hyper::StatusCode;
use hyper::Uri;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::CONTENT_TYPE;
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use pyro::code;
use serde::Deserialize;
use serde_json::Value;
use std::str::FromStr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Most bytes of one answer.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Most tool calls of one answer that are looked at.
const CALLS_MAX: usize = 8;

/// Longest wait for one answer: a model may first have to be loaded, and then thinks on a processor.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(600);

/// Where a server is: `http://HOST[:PORT][/PATH]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BaseUrl {
    host: String,
    port: u16,
    path: String,
}

impl FromStr for BaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("{error}"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err("https is not spoken here; name a proxy on this host instead".to_owned());
            }
            _ => return Err("it must begin with http://".to_owned()),
        }
        let has_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
        let (Some(host), false, None) = (uri.host(), has_user, uri.query()) else {
            return Err("it must be http://HOST:PORT/PATH, without a user or a query".to_owned());
        };
        let path = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { host: host.to_owned(), port: uri.port_u16().unwrap_or(80), path })
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum ChatError {
    #[error("connecting: {0}")]
    Connect(#[source] std::io::Error),
    #[error("sending the request: {0}")]
    Http(#[from] hyper::Error),
    #[error("reading the answer: {0}")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("there was no answer within {} s", ANSWER_TIME_MAX.as_secs())]
    Slow,
    #[error("it answered with {status}: {said}")]
    Refused { status: StatusCode, said: String },
    #[error("the answer is no chat completion: {0}")]
    Unread(String),
}

impl ChatError {
    const fn hint(&self) -> &'static str {
        match self {
            Self::Connect(_) => "start the server ('ollama serve'), or name another with --base-url",
            Self::Refused { .. } => "'ollama pull' gets a model; --model names one that the server has",
            Self::Slow => "name a smaller model with --model",
            Self::Http(_) | Self::Body(_) | Self::Unread(_) => {
                "name the server's OpenAI-compatible address with --base-url; it often ends in /v1"
            }
        }
    }
}

/// What a model said.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) calls: Vec<Call>,
}

/// A tool that a model wants to be called.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) tool: String,
    /// As the model wrote them, which may be no JSON.
    pub(super) arguments: String,
}

impl BaseUrl {
    /// The answer to one request.
    pub(super) async fn ask(&self, request: &Value) -> Result<Answer, Failure> {
        let body = Bytes::from(request.to_string());
        let asked = tokio::time::timeout(ANSWER_TIME_MAX, self.exchange(body)).await;
        asked.unwrap_or(Err(ChatError::Slow)).map_err(|error| {
            let text = format!("asking the model at {self}: {}", code::chain(&error));
            Failure::plain(code::MODEL_FAILED, text, error.hint(), exit::FAILED)
        })
    }

    async fn exchange(&self, body: Bytes) -> Result<Answer, ChatError> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, self.port)).await.map_err(ChatError::Connect)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Dropped with this call, and the connection with it.
        let mut connections = JoinSet::new();
        connections.spawn(connection);
        let request = Request::post(format!("{}/chat/completions", self.path))
            .header(HOST, format!("{}:{}", self.host, self.port))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| ChatError::Body(error.into()))?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
        let body = body.collect().await.map_err(ChatError::Body)?.to_bytes();
        if status != StatusCode::OK {
            return Err(ChatError::Refused { status, said: complaint(&body) });
        }
        read(&body)
    }
}

impl std::fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}:{}{}", self.host, self.port, self.path)
    }
}

/// What a refusal says, in OpenAI's form or as it is.
fn complaint(body: &[u8]) -> String {
    let document: Value = serde_json::from_slice(body).unwrap_or_default();
    let error = &document["error"];
    let said = error["message"].as_str().or(error.as_str());
    clean(said.unwrap_or(&String::from_utf8_lossy(body)), 300)
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
    tool_calls: Option<Vec<ToolCall>>,
}

#[derive(Deserialize)]
struct ToolCall {
    #[serde(default)]
    id: String,
    function: Function,
}

#[derive(Deserialize)]
struct Function {
    name: String,
    #[serde(default)]
    arguments: Value,
}

fn read(body: &[u8]) -> Result<Answer, ChatError> {
    let unread = |error: serde_json::Error| ChatError::Unread(error.to_string());
    let completion: Completion = serde_json::from_slice(body).map_err(unread)?;
    let Some(Choice { message }) = completion.choices.into_iter().next() else {
        return Err(ChatError::Unread("it has no choices".to_owned()));
    };
    let calls = message.tool_calls.unwrap_or_default().into_iter().take(CALLS_MAX);
    Ok(Answer { text: message.content.unwrap_or_default(), calls: calls.map(call).collect() })
}

/// Arguments are a text with JSON in it; some servers send the JSON itself.
fn call(made: ToolCall) -> Call {
    let arguments = match made.function.arguments {
        Value::String(text) => text,
        Value::Null => "{}".to_owned(),
        other => other.to_string(),
    };
    Call { id: made.id, tool: made.function.name, arguments }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    #[test]
    fn a_base_url_is_plain_http_and_nothing_else() {
        let url: BaseUrl = "http://localhost:11434/v1/".parse().unwrap();
        assert_eq!(url.to_string(), "http://localhost:11434/v1");
        let bare: BaseUrl = "http://[::1]".parse().unwrap();
        assert_eq!((bare.host.as_str(), bare.port, bare.path.as_str()), ("[::1]", 80, ""));
        for (text, said) in [
            ("https://api.example/v1", "https"),
            ("localhost:11434", "http://"),
            ("http://me:secret@host/v1", "without a user"),
            ("http://host/v1?key=1", "query"),
            ("http://", ""),
            ("http://a b", ""),
        ] {
            assert!(text.parse::<BaseUrl>().unwrap_err().contains(said), "{text}");
        }
    }

    #[test]
    fn an_answer_is_text_or_calls() {
        let text = read(br#"{"choices": [{"message": {"content": "hello"}}], "more": 1}"#).unwrap();
        assert_eq!(text, Answer { text: "hello".to_owned(), calls: vec![] });
        let calls = read(
            br#"{"choices": [{"message": {"content": null, "tool_calls": [
                {"id": "a", "function": {"name": "x", "arguments": "{\"b\": 1}"}},
                {"function": {"name": "y", "arguments": {"c": 2}}}]}}]}"#,
        );
        let call = |id: &str, tool: &str, arguments: &str| Call {
            id: id.to_owned(),
            tool: tool.to_owned(),
            arguments: arguments.to_owned(),
        };
        assert_eq!(calls.unwrap().calls, [call("a", "x", "{\"b\": 1}"), call("", "y", "{\"c\":2}")]);
    }

    #[test]
    fn more_calls_than_there_may_be_are_not_looked_at() {
        let one = r#"{"id": "a", "function": {"name": "x"}}"#;
        let many = vec![one; CALLS_MAX + 5].join(",");
        let body = format!(r#"{{"choices": [{{"message": {{"tool_calls": [{many}]}}}}]}}"#);
        assert_eq!(read(body.as_bytes()).unwrap().calls.len(), CALLS_MAX);
    }

    #[test]
    fn what_is_no_completion_is_refused() {
        for body in ["", "[]", "{}", r#"{"choices": []}"#, r#"{"choices": [{"message": {"content": 7}}]}"#] {
            assert!(matches!(read(body.as_bytes()), Err(ChatError::Unread(_))), "{body}");
        }
    }

    /// What is said of a server that answers with these bytes.
    fn said_of(answer: &[u8]) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url: BaseUrl = format!("http://{}/v1", listener.local_addr().unwrap()).parse().unwrap();
            let serve = async {
                let (mut client, _) = listener.accept().await.unwrap();
                let _ = client.read(&mut [0; 4096]).await;
                // The client may have had enough before it has all.
                let _ = client.write_all(answer).await;
            };
            let (asked, ()) = tokio::join!(url.exchange(Bytes::from_static(b"{}")), serve);
            code::chain(&asked.unwrap_err())
        })
    }

    #[test]
    fn a_hostile_server_is_a_failure() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 90000000\r\n\r\n";
        let large = [head.as_bytes(), &vec![b' '; ANSWER_BYTES_MAX + 1]].concat();
        assert!(said_of(&large).contains("length limit exceeded"));
        assert!(said_of(b"SSH-2.0-OpenSSH\r\n").contains("sending the request"));
        let body = r#"{"error":{"message":"no model '\u001b[2J'"}}"#;
        let refused = format!("HTTP/1.1 404 Not Found\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        assert_eq!(said_of(refused.as_bytes()), "it answered with 404 Not Found: no model '[2J'");
    }
}
