//! Which path of the host a caller means, and whether it may. Links are resolved first, so that what is used is what was
//! looked at; of what lies outside not even its existence is told. This file must not open anything.

use super::error::OperationError;
use super::rules::HostPaths;
use pyro::code;
use std::io;
use std::path::Component;
use std::path::Path;
use std::path::PathBuf;

/// Longest path that the host has, in bytes.
const PATH_BYTES_MAX: usize = 4096;

impl HostPaths {
    /// Something to read.
    pub(super) fn source(&self, given: &str) -> Result<PathBuf, OperationError> {
        let Some((path, roots)) = self.wanted(given)? else { return Ok(given.into()) };
        match std::fs::canonicalize(&path) {
            Ok(found) if is_below(&found, roots) => Ok(found),
            Ok(_) => Err(outside(given, roots)),
            Err(error) => Err(self.unresolved(given, &path, roots, &error)),
        }
    }

    /// Something to make, in a folder that is there.
    pub(super) fn target(&self, given: &str) -> Result<PathBuf, OperationError> {
        let Some((path, roots)) = self.wanted(given)? else { return Ok(given.into()) };
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(outside(given, roots));
        };
        match std::fs::canonicalize(parent) {
            Ok(parent) if is_below(&parent, roots) => Ok(parent.join(name)),
            Ok(_) => Err(outside(given, roots)),
            Err(error) => Err(self.unresolved(given, parent, roots, &error)),
        }
    }

    /// A folder to change, or to make.
    pub(super) fn folder(&self, given: &str) -> Result<PathBuf, OperationError> {
        match self.source(given) {
            Err(error) if error.code == code::SOURCE_MISSING => self.target(given),
            other => other,
        }
    }

    /// What was given as a whole path, and the folders it must be below, if it must.
    fn wanted(&self, given: &str) -> Result<Option<(PathBuf, &[PathBuf])>, OperationError> {
        let Self::Below(roots) = self else { return Ok(None) };
        let path = Path::new(given);
        if given.is_empty() || given.contains('\0') || given.len() > PATH_BYTES_MAX {
            return Err(OperationError::arguments(
                "a path of the host is empty, too long, or has a NUL in it",
            ));
        }
        let Some(first) = roots.first() else { return Err(outside(given, roots)) };
        if path.components().any(|part| part == Component::ParentDir) {
            return Err(outside(given, roots));
        }
        Ok(Some((first.join(path), roots)))
    }

    /// Why a path could not be resolved: only of what lies below a root is told what is wrong with it.
    fn unresolved(&self, given: &str, path: &Path, roots: &[PathBuf], error: &io::Error) -> OperationError {
        let nearest = path.ancestors().find_map(|ancestor| std::fs::canonicalize(ancestor).ok());
        if !nearest.is_some_and(|nearest| is_below(&nearest, roots)) {
            return outside(given, roots);
        }
        let code = match error.kind() {
            io::ErrorKind::NotFound => code::SOURCE_MISSING,
            _ => code::SOURCE_UNREADABLE,
        };
        OperationError::new(code, format!("reading {given}: {error}")).hint("name something that is there")
    }
}

fn is_below(path: &Path, roots: &[PathBuf]) -> bool {
    roots.iter().any(|root| path.starts_with(root))
}

fn outside(given: &str, roots: &[PathBuf]) -> OperationError {
    let hint = if roots.is_empty() {
        "this server was given no folder of the host: start it with --root DIR, or use files of the guest"
            .to_owned()
    } else {
        let roots: Vec<String> = roots.iter().map(|root| root.display().to_string()).collect();
        format!("name a path below {}, without '..'", roots.join(" or "))
    };
    let text = format!("the path '{given}' of the host lies outside of this server's folders");
    OperationError::new(code::PATH_OUTSIDE_ROOTS, text).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    struct Host {
        _home: tempfile::TempDir,
        root: PathBuf,
        outside: PathBuf,
        paths: HostPaths,
    }

    fn host() -> Host {
        let home = tempfile::tempdir().unwrap();
        let top = fs::canonicalize(home.path()).unwrap();
        let (root, outside) = (top.join("root"), top.join("outside"));
        for folder in [&root, &outside, &root.join("in")] {
            fs::create_dir(folder).unwrap();
        }
        fs::write(outside.join("secret"), "x").unwrap();
        symlink(&outside, root.join("leak")).unwrap();
        symlink("../outside/secret", root.join("secret")).unwrap();
        symlink("in", root.join("alias")).unwrap();
        Host { _home: home, paths: HostPaths::Below(vec![root.clone()]), root, outside }
    }

    #[test]
    fn only_what_lies_below_a_root_is_anybodys() {
        let host = host();
        assert_eq!(host.paths.source("in").unwrap(), host.root.join("in"));
        assert_eq!(host.paths.source("alias").unwrap(), host.root.join("in"));
        let whole = host.root.join("alias/new");
        assert_eq!(host.paths.target(whole.to_str().unwrap()).unwrap(), host.root.join("in/new"));
        assert_eq!(host.paths.folder("in").unwrap(), host.root.join("in"));
        assert_eq!(host.paths.folder("fresh").unwrap(), host.root.join("fresh"));
        let beside = host.outside.join("secret");
        let sibling = format!("{}x", host.root.display());
        for bad in [
            "..",
            "../outside",
            "in/../../outside",
            "leak",
            "leak/secret",
            "secret",
            "/",
            "/etc/passwd",
            &sibling,
            beside.to_str().unwrap(),
        ] {
            assert_eq!(host.paths.source(bad).unwrap_err().code, code::PATH_OUTSIDE_ROOTS, "{bad}");
        }
        for bad in ["../new", "leak/new", "/tmp/new", "/", &sibling] {
            assert_eq!(host.paths.target(bad).unwrap_err().code, code::PATH_OUTSIDE_ROOTS, "{bad}");
            assert_eq!(host.paths.folder(bad).unwrap_err().code, code::PATH_OUTSIDE_ROOTS, "{bad}");
        }
    }

    #[test]
    fn what_lies_outside_is_not_even_said_to_be_missing() {
        let host = host();
        let code = |path: &str| host.paths.source(path).unwrap_err().code;
        assert_eq!(code("missing"), code::SOURCE_MISSING);
        assert_eq!(code(host.outside.join("missing").to_str().unwrap()), code::PATH_OUTSIDE_ROOTS);
        assert_eq!(code("leak/missing"), code::PATH_OUTSIDE_ROOTS);
    }

    #[test]
    fn without_roots_there_is_nothing_and_programs_of_the_users_own_are_trusted() {
        let nothing = HostPaths::Below(Vec::new());
        assert_eq!(nothing.source("/").unwrap_err().code, code::PATH_OUTSIDE_ROOTS);
        assert_eq!(HostPaths::Anywhere.source("/etc/../x").unwrap(), Path::new("/etc/../x"));
    }

    #[test]
    fn ten_megabytes_and_zero_bytes_are_no_path() {
        let host = host();
        for bad in ["x/".repeat(5 << 20).as_str(), "a\0b", ""] {
            assert_eq!(host.paths.source(bad).unwrap_err().code, code::ARGUMENTS_INVALID);
            assert_eq!(host.paths.target(bad).unwrap_err().code, code::ARGUMENTS_INVALID);
        }
    }
}
