//! The handshake: who speaks, which version, and what makes this guest unlike every other.
//!
//! ```text
//!   host                                 guest
//!    | SYNC, Attach ------------------------> |   (may be sent before the guest is up)
//!    | <------------------------ SYNC, Hello |   readiness: the agent is there
//!    | <---------------------------- Attached |   identity applied; commands are allowed from here on
//! ```
//!
//! A guest restored from a snapshot is byte for byte its siblings' twin until it is given an [`Identity`], so an agent
//! that was quiesced refuses everything but [`Attach`] with one. The first attach of a boot sets the token; each later
//! one must present it, because a guest process may be able to reach the agent's channel.
//!
//! This file must not know how the bytes travel.

use crate::bytes::ByteString;
use serde::Deserialize;
use serde::Serialize;

/// Oldest protocol version this build speaks.
pub const PROTOCOL_MIN: u32 = 1;
/// Newest protocol version this build speaks.
pub const PROTOCOL_MAX: u32 = 1;

/// Guest to host, first message after its `SYNC`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Oldest protocol version the agent speaks.
    pub protocol_min: u32,
    /// Newest protocol version the agent speaks.
    pub protocol_max: u32,
    /// The agent's own version, for people.
    pub agent_version: String,
    /// The agent waits for an [`Identity`] before it will run anything.
    pub needs_identity: bool,
    /// Milliseconds of guest time between the kernel's start and the agent being ready.
    pub ready_ms: u64,
}

/// Host to guest, first message after its `SYNC`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attach {
    /// Oldest protocol version the host speaks.
    pub protocol_min: u32,
    /// Newest protocol version the host speaks.
    pub protocol_max: u32,
    /// The token of this guest; on the first attach of a boot, the one it shall have.
    pub token: ByteString,
    /// The token from now on, if it changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<ByteString>,
    /// Makes this guest unlike every other; required after a boot and after a restore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// The block device with the guest's own disk, for a guest that was booted without: it goes over the root before the
    /// identity is applied. A guest that has its disk already takes no notice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_disk: Option<String>,
    /// The jobs of the host before wait to be [taken over](crate::message::RequestBody::TakeOver): what they print stays where it
    /// is until then, or until [`crate::message::RequestBody::LetGo`]. Otherwise they run on unheard.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_jobs: bool,
}

/// What a restored guest must be given before it does anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Counts the restores of this guest's line; a guest program may watch it in `/run/pyro/generation`.
    pub generation: u64,
    /// Fresh random bytes for the kernel's generator, credited in full and followed by a forced reseed.
    pub entropy: ByteString,
    /// Wall clock, nanoseconds since the Unix epoch.
    pub realtime_ns: u64,
    /// Host name.
    pub hostname: String,
    /// 32 lower-case hexadecimal digits for `/etc/machine-id`.
    pub machine_id: String,
}

/// Guest to host: the handshake is done and commands are allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// The protocol version both sides use from here on.
    pub protocol: u32,
    /// The generation the guest now has.
    pub generation: u64,
    /// Microseconds of guest time that applying the identity took.
    #[serde(default)]
    pub setup_us: u64,
}

/// The version both sides speak, if there is one.
pub fn negotiate(ours: (u32, u32), theirs: (u32, u32)) -> Option<u32> {
    let newest = ours.1.min(theirs.1);
    (newest >= ours.0.max(theirs.0)).then_some(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_common_version_wins() {
        assert_eq!(negotiate((1, 3), (2, 5)), Some(3));
        assert_eq!(negotiate((2, 5), (1, 3)), Some(3));
        assert_eq!(negotiate((1, 1), (1, 1)), Some(1));
        assert_eq!(negotiate((4, 5), (1, 3)), None);
        assert_eq!(negotiate((1, 3), (4, 5)), None);
    }
}
