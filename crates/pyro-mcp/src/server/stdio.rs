//! Serves one client over a pair of streams: standard input and output, or a pipe in memory for tests. This file must not know
//! what is served.

use super::Server;
use pyro::Work;
use rmcp::ServiceExt as _;
use rmcp::service::ServerInitializeError;
use rmcp::transport::io::StdioReader;
use rmcp::transport::io::StdioWriter;
use rmcp::transport::io::stdio_pipes;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;

/// Why a client could not be served.
#[derive(Debug, thiserror::Error)]
pub enum StdioError {
    /// It did not begin as a client does.
    #[error("the client did not begin as an MCP client does")]
    Begin(#[source] Box<ServerInitializeError>),
    /// The task that served it was lost.
    #[error("serving the client")]
    Serve(#[source] tokio::task::JoinError),
}

/// Standard input and output, without a thread for each where they are pipes.
pub fn standard_streams() -> (StdioReader, StdioWriter) {
    stdio_pipes()
}

/// Serves until the client closes its end, or `stop` is done. Calls that are under way then end.
///
/// # Errors
/// [`StdioError`]; a client that goes before it has begun is none.
pub fn serve<'a, R, W>(
    server: Server,
    input: R,
    output: W,
    stop: impl Future<Output = ()> + Send + 'a,
) -> Work<'a, Result<(), StdioError>>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    serve_streams(server, Box::new(input), Box::new(output), Box::pin(stop))
}

fn serve_streams(
    server: Server,
    input: Box<dyn AsyncRead + Send + Unpin>,
    output: Box<dyn AsyncWrite + Send + Unpin>,
    mut stop: Work<'_, ()>,
) -> Work<'_, Result<(), StdioError>> {
    Box::pin(async move {
        let input = server.gone.watching(input);
        let running = tokio::select! {
            running = server.serve((input, output)) => match running {
                Err(ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
                Err(error) => return Err(StdioError::Begin(Box::new(error))),
                Ok(running) => running,
            },
            () = &mut stop => return Ok(()),
        };
        let cancel = running.cancellation_token();
        let waiting = running.waiting();
        tokio::pin!(waiting);
        let ended = tokio::select! {
            ended = &mut waiting => ended,
            () = &mut stop => {
                cancel.cancel();
                waiting.await
            }
        };
        ended.map(drop).map_err(StdioError::Serve)
    })
}
