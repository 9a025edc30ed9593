//! The Debian archive that is built from: taken from the configuration, or from the host's apt sources. This file must not
//! fetch anything.

use crate::config::Config;
use crate::error::ImageError;
use crate::sources;
use crate::sources::Source;
use std::fmt::Write;
use std::path::Path;

/// Debian's own keyring: in every Debian guest, and on every host with the package debian-archive-keyring.
const ARCHIVE_KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Suites of Debian's own archive by which its mirrors are recognised among third parties' archives.
const SUITES: &[&str] = &[
    "buster",
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "sid",
    "oldoldstable",
    "oldstable",
    "stable",
    "testing",
    "unstable",
];

/// Where packages come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// The archive.
    main: Archive,
    /// Its security updates.
    security: Option<Archive>,
    /// Whether the archive has an `-updates` suite.
    updates: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Archive {
    uri: String,
    signed_by: Option<String>,
}

/// For whom a list of sources is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// The build on this host, with the host's keys and credentials.
    Host,
    /// The guest: no credentials, and no key the guest does not have.
    Guest,
}

impl Mirror {
    /// The mirror that is configured.
    ///
    /// # Errors
    /// [`ImageError::MirrorMissing`] when neither the configuration nor the host's apt sources name one.
    pub fn configured(config: &Config) -> Result<Self, ImageError> {
        if let Some(mirror) = &config.mirror {
            return Self::explicit(mirror, config.security_mirror.as_deref());
        }
        let found = Self::from_sources(&sources::read(&config.apt_dir));
        found.ok_or_else(|| ImageError::MirrorMissing { apt_dir: config.apt_dir.clone() })
    }

    /// The archive's address, without credentials: fit to be shown.
    #[must_use]
    pub fn uri(&self) -> String {
        without_credentials(&self.main.uri)
    }

    fn explicit(main: &str, security: Option<&str>) -> Result<Self, ImageError> {
        let archive = |uri: &str| {
            let uri = uri.trim();
            if sources::is_uri(uri) {
                Ok(Archive { uri: uri.to_owned(), signed_by: None })
            } else {
                Err(ImageError::MirrorInvalid { mirror: uri.to_owned() })
            }
        };
        Ok(Self { main: archive(main)?, security: security.map(archive).transpose()?, updates: false })
    }

    fn from_sources(sources: &[Source]) -> Option<Self> {
        let debian: Vec<&Source> =
            sources.iter().filter(|source| source.components.iter().any(|c| c == "main")).collect();
        let archive =
            |source: &Source| Archive { uri: source.uri.clone(), signed_by: source.signed_by.clone() };
        let main =
            debian.iter().filter(|s| SUITES.contains(&s.suite.as_str())).max_by_key(|s| likeness(s))?;
        let security = debian.iter().filter(|s| is_security(&s.suite)).max_by_key(|s| likeness(s));
        let updates = debian.iter().any(|s| s.uri == main.uri && base_of(&s.suite, "-updates").is_some());
        Some(Self { main: archive(main), security: security.map(|s| archive(s)), updates })
    }

    /// The sources for `suite` in apt's one-line format.
    pub(crate) fn lines(&self, suite: &str, reader: Reader) -> String {
        let mut text = String::new();
        line(&mut text, &self.main, suite, reader);
        if has_updates(suite) {
            if self.updates {
                line(&mut text, &self.main, &format!("{suite}-updates"), reader);
            }
            if let Some(security) = &self.security {
                line(&mut text, security, &format!("{suite}-security"), reader);
            }
        }
        text
    }
}

/// How much a source looks like Debian's own archive: third parties use Debian's suite names too.
fn likeness(source: &Source) -> (bool, bool) {
    let debians_key = source.signed_by.as_deref().is_some_and(|key| key.contains("debian-archive"));
    let path = source.uri.trim_end_matches('/');
    (debians_key, path.ends_with("/debian") || path.ends_with("/debian-security"))
}

fn base_of<'a>(suite: &'a str, suffix: &str) -> Option<&'a str> {
    suite.strip_suffix(suffix).filter(|base| SUITES.contains(base))
}

fn is_security(suite: &str) -> bool {
    base_of(suite, "-security").or_else(|| base_of(suite, "/updates")).is_some()
}

/// Debian's rolling suites have neither updates nor security suites.
fn has_updates(suite: &str) -> bool {
    !matches!(suite, "sid" | "unstable")
}

fn line(text: &mut String, archive: &Archive, suite: &str, reader: Reader) {
    let (uri, key) = match reader {
        Reader::Host => (archive.uri.clone(), Some(archive.signed_by.as_deref().unwrap_or(ARCHIVE_KEYRING))),
        Reader::Guest => (without_credentials(&archive.uri), None),
    };
    let key = match key {
        Some(key) if Path::new(key).is_file() => key,
        _ => ARCHIVE_KEYRING,
    };
    let _ = writeln!(text, "deb [signed-by={key}] {uri} {suite} main");
}

fn without_credentials(uri: &str) -> String {
    let Some((scheme, rest)) = uri.split_once("://") else {
        return uri.to_owned();
    };
    let end = rest.find('/').unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => uri.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirror(list: &str) -> Option<Mirror> {
        Mirror::from_sources(&sources::parse_list(list))
    }

    #[test]
    fn the_host_s_mirror_security_and_updates_are_found_for_another_suite() {
        let mirror = mirror(
            "deb http://m.example/debian trixie main\n\
             deb http://m.example/debian trixie-updates main contrib\n\
             deb http://s.example/debian-security trixie-security main\n",
        );
        let lines = mirror.unwrap().lines("bookworm", Reader::Guest);
        let key = ARCHIVE_KEYRING;
        assert_eq!(
            lines,
            format!(
                "deb [signed-by={key}] http://m.example/debian bookworm main\n\
                 deb [signed-by={key}] http://m.example/debian bookworm-updates main\n\
                 deb [signed-by={key}] http://s.example/debian-security bookworm-security main\n"
            )
        );
    }

    #[test]
    fn a_third_party_with_debian_s_suite_name_is_not_the_mirror() {
        let mirror = mirror(
            "deb http://vendor.example/apt bookworm main\n\
             deb http://m.example/debian bookworm main\n\
             deb http://docker.example/linux/debian bookworm stable\n",
        );
        assert_eq!(mirror.unwrap().uri(), "http://m.example/debian");
    }

    #[test]
    fn an_ubuntu_host_has_no_debian_mirror() {
        assert_eq!(mirror("deb http://archive.example/ubuntu jammy main\n"), None);
    }

    #[test]
    fn credentials_stay_on_the_host() {
        let mirror = Mirror::explicit("https://user:pa@ss@m.example/debian", None).unwrap();
        assert!(mirror.lines("bookworm", Reader::Host).contains("user:pa@ss@"));
        assert!(mirror.lines("bookworm", Reader::Guest).contains(" https://m.example/debian bookworm main"));
        assert_eq!(mirror.uri(), "https://m.example/debian");
    }

    #[test]
    fn a_mirror_that_is_no_address_is_refused() {
        for bad in ["", "m.example", "http://a b/debian", "ftp://", "http://m/[x] evil"] {
            assert_eq!(Mirror::explicit(bad, None).unwrap_err().code(), "mirror_invalid", "{bad}");
        }
    }
}
