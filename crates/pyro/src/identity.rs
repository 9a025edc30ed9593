//! What makes one guest unlike every other: its id, token, entropy, host name and machine id. All of it comes from the
//! host's random generator. This file must not store any of it.

use pyro_proto::ByteString;
use pyro_proto::bytes::to_hex;
use pyro_proto::hello::Attach;
use pyro_proto::hello::Identity;
use pyro_proto::hello::PROTOCOL_MAX;
use pyro_proto::hello::PROTOCOL_MIN;
use pyro_proto::limits::ENTROPY_BYTES;
use rustix::rand::GetRandomFlags;
use std::fmt;
use std::io;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

/// Names one guest: 12 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GuestId(String);

impl GuestId {
    /// A new one.
    ///
    /// # Errors
    /// The host has no random numbers.
    pub fn random() -> io::Result<Self> {
        Ok(Self(to_hex(&random_bytes::<6>()?)))
    }

    /// The guest of a workspace has the workspace's id.
    pub(crate) fn of_workspace(id: &crate::workspace::WorkspaceId) -> Self {
        Self(id.as_str().to_owned())
    }

    /// Its digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GuestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The message that gives a freshly started or restored guest everything that is its own.
///
/// # Errors
/// The host has no random numbers.
pub fn first_attach(id: &GuestId, generation: u64) -> io::Result<Attach> {
    Ok(Attach {
        protocol_min: PROTOCOL_MIN,
        protocol_max: PROTOCOL_MAX,
        token: token()?,
        next_token: None,
        identity: Some(identity(id, generation)?),
        open_disk: None,
        keep_jobs: false,
    })
}

/// A new token.
///
/// # Errors
/// The host has no random numbers.
pub fn token() -> io::Result<ByteString> {
    Ok(random_bytes::<32>()?.to_vec().into())
}

/// A new identity for the guest `id`.
///
/// # Errors
/// The host has no random numbers.
pub fn identity(id: &GuestId, generation: u64) -> io::Result<Identity> {
    Ok(Identity {
        generation,
        entropy: random_bytes::<ENTROPY_BYTES>()?.to_vec().into(),
        realtime_ns: realtime_ns(),
        hostname: format!("pyro-{id}"),
        machine_id: machine_id()?,
    })
}

/// A new machine id.
///
/// # Errors
/// The host has no random numbers.
pub fn machine_id() -> io::Result<String> {
    Ok(to_hex(&random_bytes::<16>()?))
}

/// The host's wall clock, in nanoseconds since the Unix epoch.
fn realtime_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Bytes from the host's random generator.
pub(crate) fn random_bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        filled += rustix::rand::getrandom(&mut bytes[filled..], GetRandomFlags::empty())?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_identities_are_alike() {
        let id = GuestId::random().unwrap();
        assert_eq!(id.as_str().len(), 12);
        let (one, two) = (first_attach(&id, 1).unwrap(), first_attach(&id, 1).unwrap());
        assert_ne!(one.token, two.token);
        let (one, two) = (one.identity.unwrap(), two.identity.unwrap());
        assert_ne!(one.entropy, two.entropy);
        assert_ne!(one.machine_id, two.machine_id);
        assert_eq!(one.machine_id.len(), 32);
    }
}
