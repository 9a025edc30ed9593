//! The host's end of a guest channel: handshake, requests, streams. It works on any byte stream to an agent and must not
//! know which engine is behind it.
//!
//! ```text
//!   connect ----> greeting ----> attached ----> closed
//!                    |              |             ^
//!                    +--------------+-------------+   the channel ended, or the guest broke the protocol
//! ```
//!
//! Two tasks serve one channel: a reader that hands frames to streams and requests, and a writer. What a guest sends is
//! bounded by the credit it was given, so a hostile guest cannot make the host hold more than that.

mod client;
mod connection;
mod error;
mod exec;
mod shared;
mod stream;
mod tool;

pub use client::GuestClient;
pub use connection::Connection;
pub use connection::ConnectionReader;
pub use error::GuestError;
pub use exec::Exec;
pub use exec::ExecStreams;
pub use stream::StreamReader;
pub use stream::StreamWriter;
pub use tool::ToolError;
pub use tool::ToolInput;
pub use tool::ToolOutput;
pub use tool::ToolRun;
pub use tool::ToolSink;

pub use pyro_proto::connect::Endpoint;
pub use pyro_proto::exec::Ending;
pub use pyro_proto::status::GuestStatus;
