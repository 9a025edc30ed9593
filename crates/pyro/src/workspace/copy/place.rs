//! What a user names as one side of a copy. This file must not look whether there is anything.

use super::error::CopyError;
use crate::workspace::id::WorkspaceId;
use crate::workspace::id::WorkspaceName;
use std::ffi::OsStr;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

/// One side of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyPlace {
    /// A path of this host.
    Host(PathBuf),
    /// `NAME:PATH`: a path of a workspace's guest; a relative one is below the workspace, and so is none at all.
    Guest {
        /// Id or name of the workspace.
        workspace: String,
        /// The path, as it was given.
        path: OsString,
    },
    /// `-`: a tar archive from standard input, or to standard output.
    Stream,
}

impl CopyPlace {
    /// Makes sense of what a user said. A colon behind the first slash is part of a name, so that `./a:b` is of this host.
    ///
    /// # Errors
    /// [`CopyError::Nothing`], [`CopyError::Name`].
    pub fn parse(given: &OsStr) -> Result<Self, CopyError> {
        let bytes = given.as_bytes();
        if bytes.is_empty() {
            return Err(CopyError::Nothing);
        }
        if bytes == b"-" {
            return Ok(Self::Stream);
        }
        let colon = bytes.iter().position(|byte| matches!(byte, b':' | b'/'));
        let Some(colon) = colon.filter(|at| bytes[*at] == b':') else {
            return Ok(Self::Host(given.into()));
        };
        let path = match &bytes[colon + 1..] {
            b"" => OsStr::new("."),
            path => OsStr::from_bytes(path),
        };
        match std::str::from_utf8(&bytes[..colon]) {
            Ok(name) if name.parse::<WorkspaceId>().is_ok() || name.parse::<WorkspaceName>().is_ok() => {
                Ok(Self::Guest { workspace: name.to_owned(), path: path.to_owned() })
            }
            _ => Err(CopyError::Name { given: given.to_string_lossy().into_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(workspace: &str, path: &str) -> CopyPlace {
        CopyPlace::Guest { workspace: workspace.to_owned(), path: path.into() }
    }

    #[test]
    fn a_colon_before_the_first_slash_ends_a_name() {
        for (given, wanted) in [
            ("fix:a/b", guest("fix", "a/b")),
            ("fix:/etc/", guest("fix", "/etc/")),
            ("fix:", guest("fix", ".")),
            ("fix:a:b", guest("fix", "a:b")),
            ("0123456789ab:x", guest("0123456789ab", "x")),
            ("my fix:x", guest("my fix", "x")),
            ("./a:b", CopyPlace::Host("./a:b".into())),
            ("/a:b", CopyPlace::Host("/a:b".into())),
            ("a/b:c", CopyPlace::Host("a/b:c".into())),
            ("a", CopyPlace::Host("a".into())),
            ("-", CopyPlace::Stream),
            ("./-", CopyPlace::Host("./-".into())),
        ] {
            assert_eq!(CopyPlace::parse(OsStr::new(given)).unwrap(), wanted, "{given}");
        }
        assert_eq!(
            CopyPlace::parse(OsStr::from_bytes(b"fix:\xff")).unwrap(),
            CopyPlace::Guest { workspace: "fix".to_owned(), path: OsStr::from_bytes(b"\xff").to_owned() }
        );
    }

    #[test]
    fn what_names_nothing_is_refused() {
        assert!(matches!(CopyPlace::parse(OsStr::new("")), Err(CopyError::Nothing)));
        for bad in [":a", " fix:a", "-x:a", "..:a"] {
            assert!(matches!(CopyPlace::parse(OsStr::new(bad)), Err(CopyError::Name { .. })), "{bad}");
        }
        assert!(matches!(CopyPlace::parse(OsStr::from_bytes(b"\xff:a")), Err(CopyError::Name { .. })));
    }
}
