//! What is to be published, and what is. This file must not open anything.

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;
use serde_json::json;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::str::FromStr;

/// The lowest port of the host that may be asked for: those below belong to the system.
const HOST_PORT_MIN: u16 = 1025;

/// The only protocol there is.
const PROTOCOL: &str = "tcp";

/// A port that is to be published. Its text is `GUEST` or `HOST:GUEST`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortSpec {
    /// Where on the host; nowhere but on the host itself unless somebody asks for more.
    pub bind: IpAddr,
    /// The host's port; a free one is chosen when absent.
    pub host_port: Option<u16>,
    /// The guest's port.
    pub guest_port: u16,
}

/// Why a text is no port to publish.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortSpecError {
    /// It is not of the form.
    #[error("it must be GUEST or HOST:GUEST, two ports")]
    Form,
    /// There is no such port of the guest.
    #[error("the guest's port must be between 1 and 65535")]
    Guest,
    /// The host's port is reserved.
    #[error("the host's port must be between {HOST_PORT_MIN} and 65535, or 0 for a free one")]
    Host,
}

impl PortSpec {
    /// Checks the ports; the host's may be 0 for a free one.
    ///
    /// # Errors
    /// [`PortSpecError`].
    pub fn new(host_port: Option<u16>, guest_port: u16) -> Result<Self, PortSpecError> {
        let host_port = host_port.filter(|port| *port != 0);
        if guest_port == 0 {
            return Err(PortSpecError::Guest);
        }
        if host_port.is_some_and(|port| port < HOST_PORT_MIN) {
            return Err(PortSpecError::Host);
        }
        Ok(Self { bind: Ipv4Addr::LOCALHOST.into(), host_port, guest_port })
    }

    /// The same at another address of the host.
    #[must_use]
    pub const fn at(mut self, bind: IpAddr) -> Self {
        self.bind = bind;
        self
    }
}

impl std::fmt::Display for PortSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}->{}", SocketAddr::new(self.bind, self.host_port.unwrap_or(0)), self.guest_port)
    }
}

impl FromStr for PortSpec {
    type Err = PortSpecError;

    fn from_str(text: &str) -> Result<Self, PortSpecError> {
        let number = |text: &str, out_of_bounds| {
            if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(PortSpecError::Form);
            }
            text.parse::<u16>().map_err(|_| out_of_bounds)
        };
        match text.split_once(':') {
            None => Self::new(None, number(text, PortSpecError::Guest)?),
            Some((host, guest)) => {
                let host = number(host, PortSpecError::Host)?;
                Self::new(Some(host), number(guest, PortSpecError::Guest)?)
            }
        }
    }
}

/// A port that is published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    /// Where on the host.
    pub host: IpAddr,
    /// The host's port.
    pub host_port: u16,
    /// The guest's port.
    pub guest_port: u16,
    /// `tcp`.
    pub protocol: String,
    /// The host's port was chosen, and another one does as well if it is taken when the workspace starts again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub chosen: bool,
}

impl PublishedPort {
    /// What became of `spec` at this port of the host.
    pub(in crate::workspace) fn of(spec: &PortSpec, host_port: u16) -> Self {
        Self {
            host: spec.bind,
            host_port,
            guest_port: spec.guest_port,
            protocol: PROTOCOL.to_owned(),
            chosen: spec.host_port.is_none(),
        }
    }

    /// The address of the host.
    pub const fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.host_port)
    }

    /// The contract's record.
    pub fn describe(&self) -> Value {
        json!({
            "host": self.host,
            "host_port": self.host_port,
            "guest_port": self.guest_port,
            "protocol": self.protocol,
        })
    }
}

impl std::fmt::Display for PublishedPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}->{}/{}", self.address(), self.guest_port, self.protocol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_and_checked() {
        let spec =
            |host_port, guest_port| Ok(PortSpec { bind: Ipv4Addr::LOCALHOST.into(), host_port, guest_port });
        assert_eq!("80".parse(), spec(None, 80));
        assert_eq!("0:80".parse(), spec(None, 80));
        assert_eq!("1025:65535".parse(), spec(Some(1025), 65535));
        for (text, error) in [
            ("", PortSpecError::Form),
            ("a", PortSpecError::Form),
            ("+80", PortSpecError::Form),
            ("8080:", PortSpecError::Form),
            ("1:2:3", PortSpecError::Form),
            ("0", PortSpecError::Guest),
            ("65536", PortSpecError::Guest),
            ("8080:0", PortSpecError::Guest),
            ("1024:80", PortSpecError::Host),
            ("65536:80", PortSpecError::Host),
        ] {
            assert_eq!(text.parse::<PortSpec>(), Err(error), "{text}");
        }
    }

    /// The record is the contract's, and the document's shape may gain fields, never lose or rename them.
    #[test]
    fn a_published_port_has_its_shape() {
        let port = PublishedPort::of(&"8080:80".parse().unwrap(), 8080);
        assert_eq!(port.to_string(), "127.0.0.1:8080->80/tcp");
        let text = r#"{"host":"127.0.0.1","host_port":8080,"guest_port":80,"protocol":"tcp"}"#;
        assert_eq!(serde_json::to_string(&port).unwrap(), text);
        assert_eq!(serde_json::from_str::<PublishedPort>(text).unwrap(), port);
        assert_eq!(port.describe(), serde_json::from_str::<Value>(text).unwrap());
        let chosen = PublishedPort::of(&"80".parse::<PortSpec>().unwrap().at("::1".parse().unwrap()), 4444);
        assert!(chosen.chosen && chosen.to_string() == "[::1]:4444->80/tcp");
    }
}
