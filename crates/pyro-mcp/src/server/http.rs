//! Serves any number of clients over streamable HTTP at `/mcp`: to whoever has the token, and to no web page. Nothing is
//! answered before the token, `Host` and `Origin` were looked at. This file must not know what is served.

use super::Server;
use http_body_util::BodyExt as _;
use http_body_util::Full;
use http_body_util::combinators::BoxBody;
use hyper::Request;
use hyper::Response;
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::body::Incoming;
use hyper::header::AUTHORIZATION;
use hyper::header::HeaderValue;
use hyper::header::WWW_AUTHENTICATE;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use pyro::Work;
use rmcp::transport::StreamableHttpServerConfig;
use rmcp::transport::StreamableHttpService;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Where clients are served.
const PATH: &str = "/mcp";

/// Most bytes of one request: a whole file may be in it.
const REQUEST_BYTES_MAX: usize = 16 << 20;

/// Bytes of a token that is made up.
const TOKEN_BYTES: usize = 32;

/// Shortest token that is taken, in characters: a shorter one can be guessed.
const TOKEN_CHARS_MIN: usize = 16;

type Answer = Response<BoxBody<Bytes, Infallible>>;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Others than this host could reach it.
    #[error("{at} is not an address of this host alone")]
    NotLoopback {
        /// The address.
        at: IpAddr,
    },
    /// Nothing can listen there.
    #[error("listening at {at}")]
    Listen {
        /// The address.
        at: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The token is none.
    #[error("a token has {TOKEN_CHARS_MIN} or more printable characters without blanks")]
    Token,
    /// The host has no random numbers.
    #[error("making a token")]
    Random(#[source] io::Error),
}

/// What a client must know. It is never shown but to its user.
#[derive(Clone)]
pub struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    /// A token that somebody chose.
    ///
    /// # Errors
    /// [`HttpError::Token`].
    pub fn new(text: &str) -> Result<Self, HttpError> {
        let text = text.trim();
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.len() < TOKEN_CHARS_MIN || !is_plain {
            return Err(HttpError::Token);
        }
        Ok(Self(text.to_owned()))
    }

    /// A token that nobody can guess.
    ///
    /// # Errors
    /// [`HttpError::Random`].
    pub fn random() -> Result<Self, HttpError> {
        let mut bytes = [0; TOKEN_BYTES];
        let mut rest = bytes.as_mut_slice();
        while !rest.is_empty() {
            let count = rustix::rand::getrandom(&mut *rest, rustix::rand::GetRandomFlags::empty())
                .map_err(|errno| HttpError::Random(errno.into()))?;
            rest = &mut rest[count..];
        }
        Ok(Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// It, for its user's eyes.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether a header holds it, which takes the same time however much of it is right.
    fn is_in(&self, header: Option<&HeaderValue>) -> bool {
        let Some((scheme, given)) = header.and_then(|header| header.to_str().ok()?.split_once(' ')) else {
            return false;
        };
        let (given, wanted) = (given.trim().as_bytes(), self.0.as_bytes());
        let differs = given.iter().zip(wanted).fold(0, |differs, (a, b)| differs | (a ^ b));
        scheme.eq_ignore_ascii_case("bearer") && given.len() == wanted.len() && differs == 0
    }
}

/// A server that listens.
#[derive(Debug)]
pub struct Http {
    listener: TcpListener,
    at: SocketAddr,
    token: Token,
}

impl Http {
    /// Listens at an address of this host; port 0 for a free one.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn listen(at: SocketAddr, token: Token) -> Result<Self, HttpError> {
        if !at.ip().is_loopback() {
            return Err(HttpError::NotLoopback { at: at.ip() });
        }
        let failed = |source| HttpError::Listen { at, source };
        let listener = TcpListener::bind(at).await.map_err(failed)?;
        let at = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, at, token })
    }

    /// Where clients are served.
    pub fn url(&self) -> String {
        format!("http://{}{PATH}", self.at)
    }

    /// Serves until `stop` is done. `server` makes the server's side of each client's session.
    pub fn serve<'a>(
        self,
        server: impl Fn() -> Server + Send + Sync + 'static,
        stop: impl Future<Output = ()> + Send + 'a,
    ) -> Work<'a, ()> {
        self.serve_boxed(Box::new(server), Box::pin(stop))
    }

    fn serve_boxed(
        self,
        server: Box<dyn Fn() -> Server + Send + Sync>,
        mut stop: Work<'_, ()>,
    ) -> Work<'_, ()> {
        Box::pin(async move {
            let config = StreamableHttpServerConfig::default()
                .with_max_request_body_bytes(REQUEST_BYTES_MAX)
                .enforce_origin_validation();
            let ended = config.cancellation_token.clone();
            let sessions = Arc::new(LocalSessionManager::default());
            let service = StreamableHttpService::new(move || Ok(server()), sessions, config);
            let front = Arc::new(Front { token: self.token, service });
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    () = &mut stop => break,
                    Some(_) = connections.join_next() => {}
                    accepted = self.listener.accept() => {
                        // One that has gone before it was accepted is nobody's fault.
                        if let Ok((stream, _)) = accepted {
                            connections.spawn(connection(stream, Arc::clone(&front)));
                        }
                    }
                }
            }
            ended.cancel();
        })
    }
}

/// What stands before the server.
struct Front {
    token: Token,
    service: StreamableHttpService<Server, LocalSessionManager>,
}

async fn connection(stream: TcpStream, front: Arc<Front>) {
    let answer = service_fn(move |request| {
        let front = Arc::clone(&front);
        async move { Ok::<_, Infallible>(front.answer(request).await) }
    });
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
    // A client that breaks off, or speaks no HTTP, is its own fault.
    let _ = connection.await;
}

impl Front {
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        if !self.token.is_in(request.headers().get(AUTHORIZATION)) {
            let mut refused = plain(StatusCode::UNAUTHORIZED, "the bearer token is missing or wrong\n");
            refused.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return refused;
        }
        if request.uri().path() != PATH {
            return plain(StatusCode::NOT_FOUND, "the server is at /mcp\n");
        }
        self.service.handle(request).await
    }
}

fn plain(status: StatusCode, text: &'static str) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from_static(text.as_bytes())).boxed());
    *answer.status_mut() = status;
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_long_and_compared_whole() {
        let token = Token::new(" 0123456789abcdef\n").unwrap();
        let is_in = |text: &'static str| token.is_in(Some(&HeaderValue::from_static(text)));
        assert!(is_in("Bearer 0123456789abcdef") && is_in("bearer 0123456789abcdef"));
        for wrong in [
            "0123456789abcdef",
            "Bearer",
            "Bearer ",
            "Basic 0123456789abcdef",
            "Bearer 0123456789abcdeg",
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdef0",
        ] {
            assert!(!is_in(wrong), "{wrong}");
        }
        assert!(!token.is_in(None));
        assert!(Token::new("short").is_err() && Token::new("0123456789 abcdef").is_err());
        let (one, other) = (Token::random().unwrap(), Token::random().unwrap());
        assert!(one.expose().len() == 2 * TOKEN_BYTES && one.expose() != other.expose());
        assert!(!format!("{one:?}").contains(one.expose()));
    }

    #[tokio::test]
    async fn only_this_host_is_listened_to() {
        let token = || Token::random().unwrap();
        let anywhere = Http::listen("0.0.0.0:0".parse().unwrap(), token()).await;
        assert!(matches!(anywhere, Err(HttpError::NotLoopback { .. })));
        let here = Http::listen("127.0.0.1:0".parse().unwrap(), token()).await.unwrap();
        assert!(here.url().starts_with("http://127.0.0.1:") && !here.url().contains(":0/"));
    }
}
