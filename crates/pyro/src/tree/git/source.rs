//! What a user names a repository by. This file must not look into it.

use super::error::GitError;
use crate::host_path::HostPath;
use std::ffi::OsStr;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

/// A repository on this host, and which commit of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitSource {
    /// Where it is.
    pub path: HostPath,
    /// A branch, tag or commit; what is checked out there when absent.
    pub reference: Option<String>,
}

impl GitSource {
    /// Reads a path, or a `git+file://` or `file://` URL (with `%20` and the like), either with `#ref` at its end.
    ///
    /// # Errors
    /// [`GitError::Remote`] for anything on the network.
    pub fn parse(text: &OsStr) -> Result<Self, GitError> {
        let bytes = text.as_bytes();
        let remote = || GitError::Remote(text.to_string_lossy().into_owned());
        let url = bytes.strip_prefix(b"git+file://").or_else(|| bytes.strip_prefix(b"file://"));
        if url.is_none() && (bytes.windows(3).any(|window| window == b"://") || is_scp(text)) {
            return Err(remote());
        }
        let (path, reference) = split_reference(url.unwrap_or(bytes), url.is_some());
        let path = match url {
            None => path.to_vec(),
            Some(_) => {
                let path = path.strip_prefix(b"localhost").unwrap_or(path);
                if path.first() != Some(&b'/') {
                    return Err(remote());
                }
                percent_decoded(path)
            }
        };
        Ok(Self { path: OsString::from_vec(path).into(), reference })
    }
}

/// `host:path`, as in `git@host:path`.
fn is_scp(text: &OsStr) -> bool {
    let bytes = text.as_bytes();
    let colon = bytes.iter().position(|byte| *byte == b':');
    let before = colon.map(|colon| &bytes[..colon]);
    before.is_some_and(|before| !before.is_empty() && !before.contains(&b'/')) && !Path::new(text).exists()
}

/// What follows the last `#`, unless a path with a `#` in it exists as it is.
fn split_reference(bytes: &[u8], url: bool) -> (&[u8], Option<String>) {
    let whole_exists = !url && Path::new(OsStr::from_bytes(bytes)).exists();
    let at = bytes.iter().rposition(|byte| *byte == b'#').filter(|_| !whole_exists);
    let Some(at) = at else { return (bytes, None) };
    let reference = String::from_utf8_lossy(&bytes[at + 1..]).into_owned();
    (&bytes[..at], Some(reference).filter(|reference| !reference.is_empty()))
}

fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.filter(|_| first == b'%').and_then(pyro_proto::bytes::from_hex);
        match byte {
            Some(byte) => {
                out.extend_from_slice(&byte);
                rest = &tail[2..];
            }
            None => {
                out.push(first);
                rest = tail;
            }
        }
    }
    out
}
