//! A path in a guest, from what a user said. This file must not ask a guest about it.

use crate::code;
use crate::code::Coded;
use crate::workspace::WORKSPACE_PATH;
use pyro_proto::bytes::ByteString;
use pyro_proto::limits::PATH_BYTES_MAX;
use pyro_proto::tree::TreePath;
use std::fmt;
use std::str::FromStr;

/// An absolute path in a guest, without empty, `.` and `..` components, zero bytes and a slash at its end. It is bytes and
/// need not be UTF-8. What a user said that is relative is below `/workspace`; `..` is taken back by its text alone, whatever
/// links there are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GuestPath(Vec<u8>);

/// Why bytes are no path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GuestPathError {
    /// There are none.
    #[error("the path is empty")]
    Empty,
    /// There is a zero byte among them.
    #[error("the path '{shown}' has a zero byte in it")]
    Zero {
        /// The beginning of it.
        shown: String,
    },
    /// There are too many.
    #[error("the path '{shown}...' has {bytes} bytes, more than the {} a path may have", PATH_BYTES_MAX - 1)]
    TooLong {
        /// The beginning of it.
        shown: String,
        /// How many.
        bytes: usize,
    },
}

/// How much of a path that is none is shown, in bytes.
const SHOWN_BYTES: usize = 80;

impl GuestPath {
    /// Makes sense of what a user said.
    ///
    /// # Errors
    /// [`GuestPathError`].
    pub fn new(given: impl AsRef<[u8]>) -> Result<Self, GuestPathError> {
        let given = given.as_ref();
        let shown = || String::from_utf8_lossy(&given[..given.len().min(SHOWN_BYTES)]).into_owned();
        if given.is_empty() {
            return Err(GuestPathError::Empty);
        }
        if given.contains(&0) {
            return Err(GuestPathError::Zero { shown: shown() });
        }
        let base = if given.starts_with(b"/") { "" } else { WORKSPACE_PATH };
        let mut components: Vec<&[u8]> = Vec::new();
        for component in base.as_bytes().split(|byte| *byte == b'/').chain(given.split(|byte| *byte == b'/'))
        {
            match component {
                b"" | b"." => {}
                b".." => drop(components.pop()),
                name => components.push(name),
            }
        }
        let mut bytes = Vec::with_capacity(given.len() + WORKSPACE_PATH.len() + 1);
        for component in components {
            bytes.push(b'/');
            bytes.extend_from_slice(component);
        }
        if bytes.is_empty() {
            bytes.push(b'/');
        }
        if bytes.len() >= PATH_BYTES_MAX {
            return Err(GuestPathError::TooLong { shown: shown(), bytes: bytes.len() });
        }
        Ok(Self(bytes))
    }

    /// Where a workspace's files are.
    pub fn workspace() -> Self {
        Self(WORKSPACE_PATH.into())
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As tools take it.
    pub(in crate::workspace) fn to_wire(&self) -> ByteString {
        ByteString(self.0.clone())
    }

    /// The bytes of what is at `path` below this; perhaps longer than a path may be.
    pub(super) fn below(&self, path: &TreePath) -> Vec<u8> {
        let mut bytes = self.0.clone();
        if !path.is_root() {
            if !bytes.ends_with(b"/") {
                bytes.push(b'/');
            }
            bytes.extend_from_slice(path.as_bytes());
        }
        bytes
    }
}

impl fmt::Display for GuestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl FromStr for GuestPath {
    type Err = GuestPathError;

    fn from_str(text: &str) -> Result<Self, GuestPathError> {
        Self::new(text)
    }
}

impl Coded for GuestPathError {
    fn code(&self) -> &'static str {
        code::PATH_INVALID
    }

    fn hints(&self) -> Vec<String> {
        vec!["give a path of the guest; what does not begin with '/' is below /workspace".to_owned()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cleaned(given: &str) -> String {
        GuestPath::new(given).unwrap().to_string()
    }

    #[test]
    fn paths_are_made_absolute_and_clean() {
        for (given, wanted) in [
            ("a/b", "/workspace/a/b"),
            ("./a//b/", "/workspace/a/b"),
            (".", "/workspace"),
            ("/", "/"),
            ("//etc/./passwd", "/etc/passwd"),
            ("../etc", "/etc"),
            ("../../../..", "/"),
            ("/a/../../b", "/b"),
            ("a\\b c\n", "/workspace/a\\b c\n"),
        ] {
            assert_eq!(cleaned(given), wanted, "{given}");
        }
        assert_eq!(GuestPath::new(b"/a\xff").unwrap().as_bytes(), b"/a\xff");
    }

    #[test]
    fn what_is_no_path_is_refused() {
        assert_eq!(GuestPath::new(""), Err(GuestPathError::Empty));
        assert!(matches!(GuestPath::new("/a\0b"), Err(GuestPathError::Zero { .. })));
        let longest = format!("/{}", "x/".repeat(2047));
        assert_eq!(GuestPath::new(&longest).unwrap().as_bytes().len(), 4094);
        let long = format!("/{}", "x".repeat(4095));
        assert!(matches!(GuestPath::new(long), Err(GuestPathError::TooLong { bytes: 4096, .. })));
    }

    proptest! {
        #[test]
        fn cleaning_twice_changes_nothing(given in "[a./]{1,40}") {
            let once = GuestPath::new(&given).unwrap();
            prop_assert_eq!(GuestPath::new(once.as_bytes()).unwrap(), once.clone());
            prop_assert!(once.as_bytes().starts_with(b"/"));
            let below = &once.as_bytes()[1..];
            prop_assert!(TreePath::new(below).is_ok());
        }
    }
}
