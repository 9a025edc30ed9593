//! What a service is to be: its command, how one knows that it is ready, what becomes of it when it fails. This file must not
//! run or ask anything.

use crate::command::Command;
use crate::guest::Endpoint;
use crate::secret::SecretName;
use crate::workspace::WORKSPACE_PATH;
use crate::workspace::port::PortSpec;
use pyro_proto::ByteString;
use serde::Deserialize;
use serde::Serialize;
use std::ffi::OsString;
use std::net::IpAddr;
use std::os::unix::ffi::OsStringExt as _;
use std::str::FromStr;
use std::time::Duration;

/// Most bytes of the text of an address.
const URL_BYTES_MAX: usize = 2048;

/// Why a text says no readiness.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceSpecError {
    /// No TCP address.
    #[error(
        "it must be HOST:PORT: localhost or an address ([...] around one of IPv6), and a port, 1 to 65535"
    )]
    Tcp,
    /// No HTTP address.
    #[error("it must be http://HOST[:PORT][/PATH]: localhost or an address, and printable characters")]
    Http,
}

/// A TCP address in the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TcpTarget {
    text: String,
    host: Option<String>,
    port: u16,
}

/// An HTTP address in the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HttpUrl {
    text: String,
    at: TcpTarget,
    path: String,
}

/// A host as the guest is told it: `None` for `localhost`, where both families are tried.
fn host(text: &str) -> Option<Option<String>> {
    if text.eq_ignore_ascii_case("localhost") {
        return Some(None);
    }
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address: IpAddr = inner.unwrap_or(text).parse().ok()?;
    (inner.is_some() == address.is_ipv6()).then(|| Some(address.to_string()))
}

fn port(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

impl FromStr for TcpTarget {
    type Err = ServiceSpecError;

    fn from_str(text: &str) -> Result<Self, ServiceSpecError> {
        let found = || {
            let (at, number) = text.rsplit_once(':')?;
            Some(Self { text: text.to_owned(), host: host(at)?, port: port(number)? })
        };
        found().ok_or(ServiceSpecError::Tcp)
    }
}

impl FromStr for HttpUrl {
    type Err = ServiceSpecError;

    fn from_str(text: &str) -> Result<Self, ServiceSpecError> {
        let found = || {
            // Nothing that could end the line of the request it is put into.
            let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
            let rest = text.strip_prefix("http://").filter(|_| printable && text.len() <= URL_BYTES_MAX)?;
            let rest = rest.split('#').next()?;
            let (at, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
            let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
            let at = at
                .parse()
                .ok()
                .or_else(|| Some(TcpTarget { text: at.to_owned(), host: host(at)?, port: 80 }))?;
            Some(Self { text: text.to_owned(), at, path })
        };
        found().ok_or(ServiceSpecError::Http)
    }
}

macro_rules! text {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = ServiceSpecError;

            fn try_from(text: String) -> Result<Self, ServiceSpecError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.text
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.text)
            }
        }
    };
}

text!(TcpTarget);
text!(HttpUrl);

impl TcpTarget {
    /// Where a connection goes.
    pub(in crate::workspace) fn endpoint(&self) -> Endpoint {
        Endpoint::Tcp { host: self.host.clone(), port: self.port }
    }
}

impl HttpUrl {
    /// Where a connection goes.
    pub(in crate::workspace) fn endpoint(&self) -> Endpoint {
        self.at.endpoint()
    }

    /// What is sent there.
    pub(in crate::workspace) fn request(&self) -> String {
        format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: pyro\r\nAccept: */*\r\nConnection: close\r\n\r\n",
            self.path, self.at
        )
    }
}

/// How one knows that a service is ready. All of it is tried in the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Probe {
    /// There is something at this path, which may begin at the service's working directory.
    File {
        /// The path.
        path: ByteString,
    },
    /// Something accepts connections there.
    Tcp {
        /// Where.
        address: TcpTarget,
    },
    /// A GET of it is answered with 2xx or 3xx.
    Http {
        /// What.
        url: HttpUrl,
    },
    /// This shell string, run as the service's user in its working directory, ends with 0.
    Command {
        /// The shell string.
        command: String,
    },
}

/// What becomes of a service that ends by itself after it was ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// It has ended.
    #[default]
    No,
    /// It is started again unless its exit code was 0.
    OnFailure,
}

/// A service to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSpec {
    argv: Vec<ByteString>,
    /// As one line.
    pub(in crate::workspace) command: String,
    /// Working directory in the guest.
    pub(in crate::workspace) cwd: ByteString,
    pub(in crate::workspace) env: Vec<(ByteString, ByteString)>,
    pub(in crate::workspace) user: Option<String>,
    /// How one knows that it is ready; without, it is once it has run for a moment.
    pub probe: Option<Probe>,
    /// How long it may take to be ready.
    pub ready_timeout: Duration,
    /// From one try to the next.
    pub ready_interval: Duration,
    /// From one try to the next after it was ready; none is made when absent.
    pub health_interval: Option<Duration>,
    /// What becomes of it when it fails.
    pub restart: RestartPolicy,
    /// Ports that are published while it is ready.
    pub publish: Vec<PortSpec>,
    /// Secrets of the workspace that it gets as variables, and the variables' names.
    #[serde(default)]
    pub secret_env: Vec<(SecretName, String)>,
}

impl ServiceSpec {
    /// A command in `/workspace`, as root, with the contract's defaults.
    pub fn new(command: &Command) -> Self {
        Self {
            argv: command.argv().into_iter().map(Into::into).collect(),
            command: command.display(),
            cwd: WORKSPACE_PATH.into(),
            env: Vec::new(),
            user: None,
            probe: None,
            ready_timeout: Duration::from_secs(30),
            ready_interval: Duration::from_millis(500),
            health_interval: None,
            restart: RestartPolicy::No,
            publish: Vec::new(),
            secret_env: Vec::new(),
        }
    }

    /// In this folder of the guest; a relative path begins at `/workspace`.
    #[must_use]
    pub fn cwd(mut self, cwd: OsString) -> Self {
        self.cwd = below(self.cwd.as_bytes(), &cwd.into_vec()).into();
        self
    }

    /// With these variables beside the guest's own.
    #[must_use]
    pub fn env(mut self, env: Vec<(OsString, OsString)>) -> Self {
        self.env = env.into_iter().map(|(k, v)| (k.into_vec().into(), v.into_vec().into())).collect();
        self
    }

    /// As this user, `NAME|UID[:GROUP|GID]`.
    #[must_use]
    pub fn user(mut self, user: Option<String>) -> Self {
        self.user = user;
        self
    }

    /// What is run in the guest. **Here, and nowhere else, the environment of a service's command is put together.**
    pub(in crate::workspace) fn exec(&self) -> pyro_proto::exec::ExecSpec {
        pyro_proto::exec::ExecSpec {
            argv: self.argv.clone(),
            cwd: Some(self.cwd.clone()),
            env: self.env.clone(),
            user: self.user.clone(),
            ..pyro_proto::exec::ExecSpec::default()
        }
    }

    /// A path of the guest as the service itself would find it.
    pub(in crate::workspace) fn path(&self, path: &ByteString) -> ByteString {
        below(self.cwd.as_bytes(), path.as_bytes()).into()
    }
}

fn below(folder: &[u8], path: &[u8]) -> Vec<u8> {
    if path.starts_with(b"/") { path.to_vec() } else { [folder, b"/", path].concat() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_checked() {
        let tcp = |text: &str| text.parse::<TcpTarget>().map(|at| at.endpoint());
        let at = |host: Option<&str>, port| Ok(Endpoint::Tcp { host: host.map(str::to_owned), port });
        assert_eq!(tcp("localhost:80"), at(None, 80));
        assert_eq!(tcp("127.0.0.1:65535"), at(Some("127.0.0.1"), 65535));
        assert_eq!(tcp("[::1]:8080"), at(Some("::1"), 8080));
        for bad in [
            "",
            ":80",
            "80",
            "::1:80",
            "[127.0.0.1]:80",
            "localhost:0",
            "localhost:65536",
            "localhost:+1",
            "a.b:1",
        ] {
            assert_eq!(tcp(bad), Err(ServiceSpecError::Tcp), "{bad}");
        }
        let url = |text: &str| text.parse::<HttpUrl>();
        let request = |text| url(text).unwrap().request();
        assert!(request("http://[::1]:8000/a?b#c").starts_with("GET /a?b HTTP/1.1\r\nHost: [::1]:8000\r\n"));
        assert!(request("http://localhost").starts_with("GET / HTTP/1.1\r\nHost: localhost\r\n"));
        assert!(request("http://localhost?q").starts_with("GET /?q HTTP/1.1\r\n"));
        assert_eq!(
            url("http://127.0.0.1").unwrap().endpoint(),
            Endpoint::Tcp { host: Some("127.0.0.1".into()), port: 80 }
        );
        for bad in [
            "https://localhost/",
            "localhost",
            "http://",
            "http://a b/",
            "http://localhost/\r\nX: y",
            "http://u@localhost/",
        ] {
            assert_eq!(url(bad), Err(ServiceSpecError::Http), "{bad}");
        }
    }

    #[test]
    fn paths_begin_at_the_working_directory() {
        let spec = ServiceSpec::new(&Command::Shell("true".into())).cwd("app".into());
        assert_eq!(spec.cwd.as_bytes(), b"/workspace/app");
        assert_eq!(spec.path(&".ready".into()).as_bytes(), b"/workspace/app/.ready");
        assert_eq!(spec.path(&"/run/x".into()).as_bytes(), b"/run/x");
    }
}
