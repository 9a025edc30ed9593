//! The static guest agent this library was built with. This file must not interpret it.

use crate::digest::Sha256Hex;

/// The agent's executable.
pub static AGENT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pyro-agent"));

/// The SHA-256 of [`AGENT`], in hexadecimal, computed when the library was built.
pub const AGENT_SHA256: &str = env!("PYRO_AGENT_SHA256");

/// The digest of any agent; of the built-in one without reading it again.
pub(crate) fn sha256(agent: &'static [u8]) -> Sha256Hex {
    if std::ptr::eq(agent, AGENT) { Sha256Hex::from_hex(AGENT_SHA256) } else { Sha256Hex::of(agent) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_is_the_one_whose_digest_was_recorded() {
        assert!(AGENT.starts_with(b"\x7fELF"), "the agent is an executable");
        assert_eq!(Sha256Hex::of(AGENT).as_str(), AGENT_SHA256);
    }
}
