//! Who may ask for what: the attachment's state, its token, and the rule that a guest which may have a twin gets an
//! identity first. Pure: this file must not touch the system.
//!
//! ```text
//!             Sync                  attach accepted
//!   any --------------> detached --------------------> attached
//!                          |  quiesce (attached only) --> quiesced: only an attach with an identity, or thaw
//! ```

use crate::refusal::refuse;
use pyro_proto::bytes::ByteString;
use pyro_proto::hello::Attach;
use pyro_proto::hello::Attached;
use pyro_proto::hello::Identity;
use pyro_proto::hello::PROTOCOL_MAX;
use pyro_proto::hello::PROTOCOL_MIN;
use pyro_proto::hello::negotiate;
use pyro_proto::limits::HOSTNAME_BYTES_MAX;
use pyro_proto::limits::TOKEN_BYTES_MAX;
use pyro_proto::message::ErrorCode;
use pyro_proto::message::RequestBody;
use pyro_proto::message::WireError;

/// Fewest bytes of entropy an identity may bring.
const ENTROPY_BYTES_MIN: usize = 32;

/// Most bytes of entropy taken at once.
pub(crate) const ENTROPY_BYTES_MAX: usize = crate::sys::ioctl::POOL_BYTES_MAX;

/// What outlives the agent: token, generation, and whether an identity is needed.
pub(crate) type Lasting = (Option<ByteString>, u64, bool);

/// The attachment and what outlives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    token: Option<ByteString>,
    attached: bool,
    quiesced: bool,
    needs_identity: bool,
    generation: u64,
}

impl Default for Session {
    fn default() -> Self {
        Self { token: None, attached: false, quiesced: false, needs_identity: true, generation: 0 }
    }
}

impl Session {
    /// Goes on from what an agent before this one left.
    pub(crate) fn resume((token, generation, needs_identity): Lasting) -> Self {
        Self { token, generation, needs_identity, ..Self::default() }
    }

    /// What the next agent must know should this one die.
    pub(crate) fn lasting(&self) -> Lasting {
        (self.token.clone(), self.generation, self.needs_identity)
    }

    /// Whether nothing runs before an identity comes.
    pub(crate) const fn needs_identity(&self) -> bool {
        self.needs_identity
    }

    /// Whether a snapshot may be taken at any moment.
    pub(crate) const fn is_quiesced(&self) -> bool {
        self.quiesced
    }

    /// Whether a host has attached and is not known to be gone.
    pub(crate) const fn is_attached(&self) -> bool {
        self.attached
    }

    /// The host went away, or a new one came.
    pub(crate) const fn detach(&mut self) {
        self.attached = false;
    }

    /// Whether a request may be carried out now. Attach has its own check.
    pub(crate) fn admit(&self, body: &RequestBody) -> Result<(), WireError> {
        match body {
            RequestBody::Attach(_) => Ok(()),
            _ if !self.attached => {
                Err(refuse(ErrorCode::NotAttached, "no attach was accepted on this channel"))
            }
            RequestBody::Thaw => Ok(()),
            _ if self.quiesced => Err(refuse(ErrorCode::Quiesced, "the guest is quiesced")),
            _ => Ok(()),
        }
    }

    /// Whether this attach may be accepted; returns the protocol version to speak.
    pub(crate) fn check(&self, attach: &Attach) -> Result<u32, WireError> {
        let theirs = (attach.protocol_min, attach.protocol_max);
        let Some(protocol) = negotiate((PROTOCOL_MIN, PROTOCOL_MAX), theirs) else {
            return Err(refuse(ErrorCode::NotAttached, "host and agent share no protocol version"));
        };
        for token in [Some(&attach.token), attach.next_token.as_ref()].into_iter().flatten() {
            if token.0.is_empty() || token.0.len() > TOKEN_BYTES_MAX {
                return Err(refuse(ErrorCode::BadRequest, "a token is empty or too long"));
            }
        }
        if self.token.as_ref().is_some_and(|ours| !same(&ours.0, &attach.token.0)) {
            return Err(refuse(ErrorCode::NotAttached, "the token is not this guest's"));
        }
        match &attach.identity {
            Some(identity) => check_identity(identity)?,
            None if self.quiesced => return Err(refuse(ErrorCode::Quiesced, "the guest needs an identity")),
            None if self.needs_identity => {
                return Err(refuse(ErrorCode::NotAttached, "the guest needs an identity"));
            }
            None => {}
        }
        Ok(protocol)
    }

    /// Records an attach that passed [`Self::check`] and whose identity, if any, was applied.
    pub(crate) fn accept(&mut self, attach: Attach, protocol: u32) -> Attached {
        self.token = Some(attach.next_token.unwrap_or(attach.token));
        if let Some(identity) = attach.identity {
            self.generation = identity.generation;
            self.needs_identity = false;
            self.quiesced = false;
        }
        self.attached = true;
        Attached { protocol, generation: self.generation, setup_us: 0 }
    }

    /// The guest is frozen and flushed: from here on it may have twins.
    pub(crate) const fn quiesce(&mut self) {
        self.quiesced = true;
        self.needs_identity = true;
    }

    /// No twin was made of this one.
    pub(crate) const fn thaw(&mut self) {
        self.quiesced = false;
        self.needs_identity = false;
    }
}

/// Compares in a time that depends on the lengths alone.
fn same(ours: &[u8], theirs: &[u8]) -> bool {
    if ours.len() != theirs.len() {
        return false;
    }
    let difference = ours.iter().zip(theirs).fold(0, |all, (a, b)| std::hint::black_box(all | (a ^ b)));
    difference == 0
}

fn check_identity(identity: &Identity) -> Result<(), WireError> {
    let bad = |what: &str| Err(refuse(ErrorCode::BadRequest, format!("the identity's {what}")));
    if !(ENTROPY_BYTES_MIN..=ENTROPY_BYTES_MAX).contains(&identity.entropy.0.len()) {
        return bad("entropy is too short or too long");
    }
    if !is_hostname(&identity.hostname) {
        return bad("host name is malformed");
    }
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if identity.machine_id.len() != 32 || !identity.machine_id.bytes().all(digit) {
        return bad("machine id is not 32 lower-case hexadecimal digits");
    }
    Ok(())
}

/// Letters, digits, hyphens and dots: it is written into files that line breaks or blanks would change the meaning of.
fn is_hostname(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    (1..=HOSTNAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(legal)
        && name.split('.').all(|label| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(generation: u64) -> Identity {
        Identity {
            generation,
            entropy: ByteString(vec![7; 64]),
            realtime_ns: 1,
            hostname: "guest-1".into(),
            machine_id: "0123456789abcdef0123456789abcdef".into(),
        }
    }

    fn attach(token: &str, identity: Option<Identity>) -> Attach {
        Attach {
            protocol_min: 1,
            protocol_max: 1,
            token: token.into(),
            next_token: None,
            identity,
            open_disk: None,
            keep_jobs: false,
        }
    }

    fn code(result: Result<u32, WireError>) -> Option<ErrorCode> {
        result.err().map(|error| error.code)
    }

    #[test]
    fn the_first_attach_sets_the_token_and_needs_an_identity() {
        let mut session = Session::default();
        assert_eq!(code(session.check(&attach("t", None))), Some(ErrorCode::NotAttached));
        let first = attach("t", Some(identity(3)));
        let protocol = session.check(&first).unwrap();
        assert_eq!(session.accept(first, protocol), Attached { protocol: 1, generation: 3, setup_us: 0 });
        session.detach();
        assert_eq!(code(session.check(&attach("u", None))), Some(ErrorCode::NotAttached));
        assert_eq!(code(session.check(&attach("t", None))), None);
    }

    #[test]
    fn an_agent_that_is_started_again_still_knows_the_token() {
        let mut first = Session::default();
        first.accept(attach("t", Some(identity(5))), 1);
        let second = Session::resume(first.lasting());
        assert!(second.check(&attach("u", None)).is_err() && second.check(&attach("t", None)).is_ok());
        assert!(second.admit(&RequestBody::Ping).is_err());
        first.quiesce();
        assert!(Session::resume(first.lasting()).check(&attach("t", None)).is_err());
    }

    #[test]
    fn the_token_can_be_changed() {
        let mut session = Session::default();
        let first = Attach { next_token: Some("next".into()), ..attach("t", Some(identity(1))) };
        session.accept(first, 1);
        assert!(session.check(&attach("t", None)).is_err());
        assert!(session.check(&attach("next", None)).is_ok());
    }

    #[test]
    fn nothing_is_admitted_before_an_attach_or_while_quiesced() {
        let mut session = Session::default();
        assert_eq!(session.admit(&RequestBody::Ping).unwrap_err().code, ErrorCode::NotAttached);
        session.accept(attach("t", Some(identity(1))), 1);
        assert!(session.admit(&RequestBody::Ping).is_ok());
        session.quiesce();
        assert_eq!(session.admit(&RequestBody::Ping).unwrap_err().code, ErrorCode::Quiesced);
        assert!(session.admit(&RequestBody::Thaw).is_ok());
        assert_eq!(code(session.check(&attach("t", None))), Some(ErrorCode::Quiesced));
        session.detach();
        assert_eq!(session.admit(&RequestBody::Thaw).unwrap_err().code, ErrorCode::NotAttached);
        session.accept(attach("t", Some(identity(2))), 1);
        assert!(session.admit(&RequestBody::Ping).is_ok());
    }

    #[test]
    fn a_malformed_identity_is_refused() {
        let session = Session::default();
        let bad = [
            Identity { entropy: ByteString(vec![0; 8]), ..identity(1) },
            Identity { hostname: "a b".into(), ..identity(1) },
            Identity { hostname: String::new(), ..identity(1) },
            Identity { hostname: "a\n127.0.0.1".into(), ..identity(1) },
            Identity { hostname: "-a".into(), ..identity(1) },
            Identity { machine_id: "0123456789ABCDEF0123456789ABCDEF".into(), ..identity(1) },
            Identity { machine_id: "0123".into(), ..identity(1) },
        ];
        for identity in bad {
            assert_eq!(code(session.check(&attach("t", Some(identity)))), Some(ErrorCode::BadRequest));
        }
    }

    #[test]
    fn a_host_of_another_age_is_refused() {
        let newer = Attach { protocol_min: 9, protocol_max: 9, ..attach("t", Some(identity(1))) };
        assert_eq!(code(Session::default().check(&newer)), Some(ErrorCode::NotAttached));
    }
}
