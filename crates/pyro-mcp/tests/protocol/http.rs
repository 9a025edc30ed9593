//! HTTP: who is answered, who is not. Requests are written by hand.

use crate::client::server;
use pyro_mcp::operations::Rules;
use pyro_mcp::server::Http;
use pyro_mcp::server::Profile;
use pyro_mcp::server::Token;
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

const TOKEN: &str = "a token of some length";

struct Server {
    _home: tempfile::TempDir,
    authority: String,
}

async fn listening() -> Server {
    let home = tempfile::tempdir().unwrap();
    let token = Token::new(&TOKEN.replace(' ', "-")).unwrap();
    let http = Http::listen("127.0.0.1:0".parse().unwrap(), token).await.unwrap();
    let authority = http.url().trim_start_matches("http://").trim_end_matches("/mcp").to_owned();
    let folder = home.path().to_owned();
    let one = move || server(&folder, Profile::WorkspaceFull, Rules::guests_only(), false);
    tokio::spawn(http.serve(one, std::future::pending()));
    Server { _home: home, authority }
}

/// Status and all else of an answer to an `initialize`.
async fn ask(server: &Server, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let body = json!({
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "test", "version": "1" },
        },
    })
    .to_string();
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
         Content-Length: {}\r\nConnection: close\r\n",
        body.len()
    );
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("\r\n{body}"));
    let mut stream = TcpStream::connect(&server.authority).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    // A stream of events stays open: what is looked for comes first.
    loop {
        let count = stream.read(&mut piece).await.unwrap();
        answer.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&answer);
        if count == 0 || text.contains("serverInfo") {
            let status = text.split(' ').nth(1).unwrap().parse().unwrap();
            return (status, text.into_owned());
        }
    }
}

#[tokio::test]
async fn only_who_has_the_token_is_answered() {
    let server = listening().await;
    let host = ("Host", server.authority.as_str());
    let bearer = format!("Bearer {}", TOKEN.replace(' ', "-"));
    let (status, text) = ask(&server, "/mcp", &[host, ("Authorization", &bearer)]).await;
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("pyro_mcp"), "{text}");
    for wrong in ["Bearer wrong-token-of-some-length", "Basic abc", ""] {
        let (status, text) = ask(&server, "/mcp", &[host, ("Authorization", wrong)]).await;
        assert_eq!(status, 401, "{wrong}");
        assert!(text.to_ascii_lowercase().contains("www-authenticate: bearer"), "{text}");
        assert!(!text.contains("pyro_mcp"));
    }
    assert_eq!(ask(&server, "/mcp", &[host]).await.0, 401);
    assert_eq!(ask(&server, "/other", &[host, ("Authorization", &bearer)]).await.0, 404);
    assert_eq!(ask(&server, "/other", &[host]).await.0, 401, "what is where is nobody's business");
}

/// A page in a browser of this host, or a name that somebody pointed at it, has no business here even with the token.
#[tokio::test]
async fn web_pages_and_other_names_are_refused() {
    let server = listening().await;
    let bearer = format!("Bearer {}", TOKEN.replace(' ', "-"));
    let token = ("Authorization", bearer.as_str());
    let host = ("Host", server.authority.as_str());
    for origin in ["https://example.org", "http://localhost", "null"] {
        assert_eq!(ask(&server, "/mcp", &[host, token, ("Origin", origin)]).await.0, 403, "{origin}");
    }
    assert_eq!(ask(&server, "/mcp", &[("Host", "example.org"), token]).await.0, 403);
    assert_eq!(ask(&server, "/mcp", &[("Host", "localhost"), token]).await.0, 200);
}
