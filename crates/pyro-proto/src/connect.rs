//! Opening a connection to what listens in the guest: where it goes, and with how much credit it begins. This file must not
//! open anything.

use crate::bytes::ByteString;
use crate::frame::StreamId;
use serde::Deserialize;
use serde::Serialize;

/// A connection to be opened in the guest. Its bytes travel on `stream` in both directions, each with
/// [`crate::limits::CONNECTION_CREDIT_BYTES`] of credit at first. An end of the stream is a half-close; a reset is a reset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectSpec {
    /// Carries the bytes; chosen by the host, not in use.
    pub stream: StreamId,
    /// Where it goes.
    pub to: Endpoint,
}

/// What listens in the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// A TCP port.
    Tcp {
        /// `localhost`, or an address of either family as text; without it, and for `localhost`, 127.0.0.1 is tried and then ::1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<String>,
        /// The port, not 0.
        port: u16,
    },
    /// A unix socket.
    Unix {
        /// Its absolute path.
        path: ByteString,
    },
}
