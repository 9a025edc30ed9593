//! The protocol, without any guest: what a client is told, what it is refused, and that nothing is made when it is. The client
//! is written here, in JSON, so that it shares no mistake with the server.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod client;
mod hostile;
mod http;
mod logging;
mod roots;
mod surface;
