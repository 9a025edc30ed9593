//! Reads the host's apt sources in both of their formats. This file must not choose among them.

use std::path::Path;
use std::path::PathBuf;

/// The most that is read of one file.
const FILE_BYTES_MAX: usize = 1 << 20;

/// One suite of one archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) uri: String,
    pub(crate) suite: String,
    pub(crate) components: Vec<String>,
    pub(crate) signed_by: Option<String>,
}

/// All sources under `apt_dir`, in apt's own order. What cannot be read or understood is left out, as apt's own tools warn
/// about it already.
pub(crate) fn read(apt_dir: &Path) -> Vec<Source> {
    let mut sources =
        read_file(&apt_dir.join("sources.list")).map(|text| parse_list(&text)).unwrap_or_default();
    for path in parts(&apt_dir.join("sources.list.d")) {
        let Some(text) = read_file(&path) else { continue };
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("list") => sources.extend(parse_list(&text)),
            Some("sources") => sources.extend(parse_deb822(&text)),
            _ => {}
        }
    }
    sources
}

fn parts(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn read_file(path: &Path) -> Option<String> {
    let bytes = std::fs::read(path).ok().filter(|bytes| bytes.len() <= FILE_BYTES_MAX)?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Parses apt's one-line format.
pub(crate) fn parse_list(text: &str) -> Vec<Source> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Source> {
    let line = line.split('#').next()?.trim();
    let rest = line.strip_prefix("deb")?;
    if !rest.starts_with([' ', '\t', '[']) {
        return None;
    }
    let rest = rest.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(inside) => inside.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace();
    let (uri, suite) = (words.next()?, words.next()?);
    let signed_by = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by="));
    Some(Source {
        uri: valid_uri(uri)?,
        suite: suite.to_owned(),
        components: words.map(str::to_owned).collect(),
        signed_by: signed_by.and_then(key_file),
    })
}

/// Parses apt's deb822 format.
fn parse_deb822(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut stanza: Vec<(String, String)> = Vec::new();
    for line in text.lines().chain([""]) {
        if line.trim().is_empty() {
            expand(&stanza, &mut sources);
            stanza.clear();
        } else if line.starts_with('#') {
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = stanza.last_mut() {
                value.push('\n');
                value.push_str(line.trim());
            }
        } else if let Some((field, value)) = line.split_once(':') {
            stanza.push((field.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    sources
}

fn expand(stanza: &[(String, String)], sources: &mut Vec<Source>) {
    let words = |name: &str| -> Vec<&str> {
        let values = stanza.iter().filter(|(field, _)| field == name);
        values.flat_map(|(_, value)| value.split_whitespace()).collect()
    };
    let disabled = words("enabled").first().is_some_and(|word| matches!(*word, "no" | "false" | "0" | "off"));
    if disabled || !words("types").contains(&"deb") {
        return;
    }
    let signed_by = match words("signed-by").as_slice() {
        [path] => key_file(path),
        _ => None,
    };
    for uri in words("uris").into_iter().filter_map(valid_uri) {
        for suite in words("suites") {
            sources.push(Source {
                uri: uri.clone(),
                suite: suite.to_owned(),
                components: words("components").into_iter().map(str::to_owned).collect(),
                signed_by: signed_by.clone(),
            });
        }
    }
}

/// Keys may also be given inline or by fingerprint; those are not files another apt could be pointed at.
fn key_file(value: &str) -> Option<String> {
    (value.starts_with('/') && !value.contains([',', '"'])).then(|| value.to_owned())
}

fn valid_uri(uri: &str) -> Option<String> {
    is_uri(uri).then(|| uri.to_owned())
}

/// Whether this can stand in a list of sources: one word, with a scheme apt fetches from.
pub(crate) fn is_uri(uri: &str) -> bool {
    let plain = uri.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '[' | ']' | '"' | '#' | '\\'));
    let rest = ["http://", "https://", "file://"].iter().find_map(|scheme| uri.strip_prefix(scheme));
    plain && rest.is_some_and(|rest| !rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_sources_with_options_and_comments() {
        let sources = parse_list(
            "# a comment\n\
             deb [arch=amd64 signed-by=/k.gpg] http://m.example/debian bookworm main contrib # why\n\
             deb-src http://m.example/debian bookworm main\n\
             #deb http://off.example/debian bookworm main\n\
             deb cdrom:[Debian]/ bookworm main\n\
             deb http://short.example\n",
        );
        let expected = Source {
            uri: "http://m.example/debian".to_owned(),
            suite: "bookworm".to_owned(),
            components: vec!["main".to_owned(), "contrib".to_owned()],
            signed_by: Some("/k.gpg".to_owned()),
        };
        assert_eq!(sources, [expected]);
    }

    #[test]
    fn deb822_sources_multiply_out_and_disabled_ones_do_not_count() {
        let sources = parse_deb822(
            "Types: deb deb-src\n# http://snapshot.example/\nURIs: http://m.example/debian\nSuites: bookworm\n bookworm-updates\n\
             Components: main\nSigned-By: /k.gpg\n\n\
             Enabled: no\nTypes: deb\nURIs: http://off.example/\nSuites: bookworm\nComponents: main\n\n\
             Types: deb-src\nURIs: http://src.example/\nSuites: bookworm\nComponents: main\n\n\
             Types: deb\nURIs: http://s.example/debian-security\nSuites: bookworm-security\nComponents: main\n\
             Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n",
        );
        let found: Vec<(&str, &str, Option<&str>)> =
            sources.iter().map(|s| (s.uri.as_str(), s.suite.as_str(), s.signed_by.as_deref())).collect();
        assert_eq!(
            found,
            [
                ("http://m.example/debian", "bookworm", Some("/k.gpg")),
                ("http://m.example/debian", "bookworm-updates", Some("/k.gpg")),
                ("http://s.example/debian-security", "bookworm-security", None),
            ]
        );
    }

    #[test]
    fn both_kinds_of_files_are_read_and_others_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let parts = dir.path().join("sources.list.d");
        std::fs::create_dir(&parts).unwrap();
        std::fs::write(dir.path().join("sources.list"), "deb http://a.example/debian sid main\n").unwrap();
        std::fs::write(parts.join("b.list"), "deb http://b.example/debian sid main\n").unwrap();
        let stanza = "Types: deb\nURIs: http://c.example/debian\nSuites: sid\nComponents: main\n";
        std::fs::write(parts.join("c.sources"), stanza).unwrap();
        std::fs::write(parts.join("d.list.disabled"), "deb http://d.example/debian sid main\n").unwrap();
        let uris: Vec<String> = read(dir.path()).into_iter().map(|source| source.uri).collect();
        assert_eq!(uris, ["http://a.example/debian", "http://b.example/debian", "http://c.example/debian"]);
    }
}
