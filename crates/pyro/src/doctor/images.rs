//! Checks of environments: is the mirror there to build them from, and are the installed ones whole.

use super::Check;
use pyro_image::ImageError;
use pyro_image::ImageStore;
use std::net::ToSocketAddrs as _;
use std::time::Duration;

/// How long a mirror may take to accept a connection.
const MIRROR_DEADLINE: Duration = Duration::from_secs(3);

/// Names of the environments that are installed.
pub(super) fn installed(store: &Result<ImageStore, ImageError>) -> Vec<String> {
    let list = store.as_ref().map(ImageStore::list).unwrap_or_default();
    list.into_iter().filter(|entry| entry.installed).map(|entry| entry.name).collect()
}

/// Whether the installed environments' files are as they were made, by their stamps.
pub(super) fn environments(store: &Result<ImageStore, ImageError>, installed: &[String]) -> Check {
    let name = "environments";
    let store = match store {
        Ok(store) => store,
        Err(error) => return Check::fail(name, error.to_string(), error.hints().join("; ")),
    };
    if let Some(problem) = store.catalogue().problem() {
        return Check::warn(name, problem.to_string(), problem.hints().join("; "));
    }
    for environment in installed {
        if let Err(error) = store.open(environment) {
            return Check::warn(name, error.to_string(), error.hints().join("; "));
        }
    }
    match installed {
        [] => Check::pass(name, "none is installed yet; the first run of each installs it"),
        names => Check::pass(name, format!("installed: {}", names.join(", "))),
    }
}

/// Whether the Debian mirror accepts connections.
pub(super) async fn mirror(config: &pyro_image::Config, has_environment: bool) -> Check {
    let name = "mirror";
    let mirror = match pyro_image::Mirror::configured(config) {
        Ok(mirror) => mirror.uri(),
        Err(error) => {
            return Check::unless(has_environment, name, error.to_string(), error.hints().join("; "));
        }
    };
    if !config.program_env.is_empty() {
        return Check::pass(name, format!("{mirror}, through the configured proxy; not tried"));
    }
    let Some(address) = authority(&mirror) else {
        return Check::pass(name, format!("{mirror}; not a network address, not tried"));
    };
    let tried = tokio::time::timeout(MIRROR_DEADLINE, connect(address)).await;
    let reason = match tried {
        Ok(Ok(())) => return Check::pass(name, format!("{mirror} accepts connections")),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} seconds", MIRROR_DEADLINE.as_secs()),
    };
    Check::unless(
        has_environment,
        name,
        format!("{mirror} cannot be reached: {reason}"),
        "connect this host, or set PYRO_DEBIAN_MIRROR to a mirror it can reach",
    )
}

/// Resolves on a thread of its own, because the system's resolver blocks.
async fn connect((host, port): (String, u16)) -> std::io::Result<()> {
    let addresses =
        tokio::task::spawn_blocking(move || (host, port).to_socket_addrs().map(Vec::from_iter)).await??;
    let mut last = std::io::Error::other("the name has no address");
    for address in addresses {
        match tokio::net::TcpStream::connect(address).await {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Host and port of a mirror's address, for the schemes that have them.
fn authority(uri: &str) -> Option<(String, u16)> {
    let (scheme, rest) = uri.split_once("://")?;
    let default = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let authority = rest.split('/').next()?.rsplit('@').next()?;
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            Some((host.trim_matches(['[', ']']).to_owned(), port.parse().ok()?))
        }
        _ => Some((authority.trim_matches(['[', ']']).to_owned(), default)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirrors_host_and_port_are_found() {
        let found = |uri| authority(uri).map(|(host, port)| format!("{host} {port}"));
        assert_eq!(found("http://mirror.example/debian").as_deref(), Some("mirror.example 80"));
        assert_eq!(found("https://me:pw@mirror.example:8443/debian").as_deref(), Some("mirror.example 8443"));
        assert_eq!(found("http://[::1]:81/debian").as_deref(), Some("::1 81"));
        assert_eq!(found("http://[::1]/debian").as_deref(), Some("::1 80"));
        assert_eq!(found("file:///srv/debian"), None);
    }
}
