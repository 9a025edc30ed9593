//! The MCP server: [`crate::operations`] as tools, over standard input and output or HTTP. Calls run beside each other; one that
//! is cancelled is dropped, which ends what it runs in the guest. This folder must not know what a tool does.
//!
//! ```text
//!   stdio, HTTP (token, Host, Origin) --> handler --> tools of a profile --> operations, under rules
//!                                            |--> progress notifications, log messages
//!                                            +--> resources, prompts
//! ```

mod client_roots;
mod gone;
mod handler;
mod http;
mod logging;
mod notify;
mod profile;
mod prompts;
mod resources;
mod session;
mod stdio;
mod tools;

pub use http::Http;
pub use http::HttpError;
pub use http::Token;
pub use profile::Profile;
pub use session::Session;
pub use stdio::StdioError;
pub use stdio::serve as serve_stdio;
pub use stdio::standard_streams;
pub use tools::Tools;
pub use tools::UnknownTool;

use crate::operations::Operations;
use client_roots::ClientRoots;
use gone::Gone;
use logging::Log;
use std::sync::Arc;

/// The server's side of one client's connection.
#[derive(Clone, Debug)]
pub struct Server {
    operations: Operations,
    tools: Arc<Tools>,
    /// What the client says it works on; nothing when the folders of the host were fixed when the server was started.
    client_roots: Option<Arc<ClientRoots>>,
    log: Arc<Log>,
    gone: Gone,
}

impl Server {
    /// Offers these tools. With `client_roots` the folders of the host that they may use are those that the client names.
    pub fn new(operations: Operations, tools: Arc<Tools>, client_roots: bool) -> Self {
        Self {
            operations,
            tools,
            client_roots: client_roots.then(Arc::default),
            log: Arc::default(),
            gone: Gone::default(),
        }
    }
}
