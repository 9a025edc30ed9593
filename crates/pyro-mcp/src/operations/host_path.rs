//! Which path of the host a caller means, and whether it may. What is found is held open, so that what is used is what was
//! looked at; of what lies outside not even its existence is told. This file must not read or write anything.

use super::error::OperationError;
use super::root::Root;
use super::rules::HostPaths;
use pyro::HostPath;
use pyro::code;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Component;
use std::path::Path;
use std::path::PathBuf;

/// Longest path that the host has, in bytes.
const PATH_BYTES_MAX: usize = 4096;

impl HostPaths {
    /// Something to read.
    pub(super) fn source(&self, given: &str) -> Result<HostPath, OperationError> {
        let Some((path, roots)) = self.wanted(given)? else { return Ok(given.into()) };
        let found =
            find(&path, roots, OFlags::empty()).map_err(|error| unfound(given, &path, roots, error))?;
        Ok(HostPath::found(path, found))
    }

    /// Something to make, in a folder that is there.
    pub(super) fn target(&self, given: &str) -> Result<HostPath, OperationError> {
        let Some((path, roots)) = self.wanted(given)? else { return Ok(given.into()) };
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(outside(given, roots));
        };
        let folder = find(parent, roots, OFlags::DIRECTORY);
        let folder = folder.map_err(|error| unfound(given, parent, roots, error))?;
        Ok(HostPath::to_make(&path, folder, name))
    }

    /// A folder to change, or to make.
    pub(super) fn folder(&self, given: &str) -> Result<HostPath, OperationError> {
        match self.source(given) {
            Err(error) if error.code == code::SOURCE_MISSING => self.target(given),
            other => other,
        }
    }

    /// What was given as a whole path, and the folders it must be below, if it must.
    fn wanted(&self, given: &str) -> Result<Option<(PathBuf, &[Root])>, OperationError> {
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
        Ok(Some((first.path().join(path), roots)))
    }
}

/// What is at a path below one of the roots. A path that comes to one by a link elsewhere, and a link in one that says a whole
/// path, are tried again by where they lead; what counts is what the kernel then finds beneath the root.
fn find(path: &Path, roots: &[Root], kind: OFlags) -> Result<OwnedFd, Errno> {
    match beneath(path, roots, kind) {
        Err(Errno::XDEV) => {
            let real = std::fs::canonicalize(path).map_err(|_| Errno::XDEV)?;
            beneath(&real, roots, kind)
        }
        found => found,
    }
}

fn beneath(path: &Path, roots: &[Root], kind: OFlags) -> Result<OwnedFd, Errno> {
    let mut failed = Errno::XDEV;
    for (root, below) in roots.iter().filter_map(|root| Some((root, root.below(path)?))) {
        match root.find(below, kind) {
            Err(error) if failed == Errno::XDEV => failed = error,
            Err(_) => {}
            found => return found,
        }
    }
    Err(failed)
}

/// Why there is nothing: only of what lies below a root is told what is wrong with it.
fn unfound(given: &str, path: &Path, roots: &[Root], errno: Errno) -> OperationError {
    let nearest = path.ancestors().find_map(|ancestor| std::fs::canonicalize(ancestor).ok());
    let is_below = |nearest: PathBuf| roots.iter().any(|root| nearest.starts_with(root.path()));
    if errno == Errno::XDEV || !nearest.is_some_and(is_below) {
        return outside(given, roots);
    }
    let error = io::Error::from(errno);
    let code = match error.kind() {
        io::ErrorKind::NotFound => code::SOURCE_MISSING,
        _ => code::SOURCE_UNREADABLE,
    };
    OperationError::new(code, format!("reading {given}: {error}")).hint("name something that is there")
}

fn outside(given: &str, roots: &[Root]) -> OperationError {
    let hint = if roots.is_empty() {
        "this server was given no folder of the host: start it with --root DIR, or use files of the guest"
            .to_owned()
    } else {
        let roots: Vec<String> = roots.iter().map(|root| root.path().display().to_string()).collect();
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
        symlink(root.join("in"), root.join("whole")).unwrap();
        symlink(&root, top.join("named")).unwrap();
        Host { _home: home, paths: HostPaths::Below(vec![Root::open(&root).unwrap()]), root, outside }
    }

    /// Where a path that was found is.
    fn real(path: &HostPath) -> PathBuf {
        let (parent, name) = match path.path().file_name() {
            Some(name) if !path.path().is_symlink() => (path.path().parent().unwrap(), Some(name)),
            _ => (path.path(), None),
        };
        let parent = fs::read_link(parent).unwrap();
        name.map_or(parent.clone(), |name| parent.join(name))
    }

    #[test]
    fn only_what_lies_below_a_root_is_anybodys() {
        let host = host();
        let source = |path: &str| real(&host.paths.source(path).unwrap());
        for same in ["in", "alias", "whole"] {
            assert_eq!(source(same), host.root.join("in"), "{same}");
        }
        let named = host.root.with_file_name("named/alias");
        assert_eq!(source(named.to_str().unwrap()), host.root.join("in"));
        for parent in ["alias", "whole"] {
            let whole = host.root.join(parent).join("new");
            let target = host.paths.target(whole.to_str().unwrap()).unwrap();
            assert_eq!((real(&target), target.shown()), (host.root.join("in/new"), whole.as_path()));
        }
        assert_eq!(real(&host.paths.folder("in").unwrap()), host.root.join("in"));
        assert_eq!(real(&host.paths.folder("fresh").unwrap()), host.root.join("fresh"));
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
        assert_eq!(HostPaths::Anywhere.source("/etc/../x").unwrap().path(), Path::new("/etc/../x"));
    }

    #[test]
    fn ten_megabytes_and_zero_bytes_are_no_path() {
        let host = host();
        for bad in ["x/".repeat(5 << 20).as_str(), "a\0b", ""] {
            assert_eq!(host.paths.source(bad).unwrap_err().code, code::ARGUMENTS_INVALID);
            assert_eq!(host.paths.target(bad).unwrap_err().code, code::ARGUMENTS_INVALID);
        }
    }

    /// Somebody exchanges a folder and a link that leads out, again and again, while paths through it are found and used.
    #[test]
    fn whatever_is_renamed_meanwhile_nothing_outside_is_ever_used() {
        const EXCHANGES: usize = 20_000;
        let host = host();
        fs::write(host.root.join("in/secret"), "inside").unwrap();
        let (folder, leak) = (host.root.join("in"), host.root.join("leak"));
        let is_over = std::sync::atomic::AtomicBool::new(false);
        let (mut found, mut made) = (0, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..EXCHANGES {
                    let exchange = rustix::fs::RenameFlags::EXCHANGE;
                    let here = rustix::fs::CWD;
                    rustix::fs::renameat_with(here, &folder, here, &leak, exchange).unwrap();
                }
                is_over.store(true, std::sync::atomic::Ordering::SeqCst);
            });
            while !is_over.load(std::sync::atomic::Ordering::SeqCst) {
                if let Ok(source) = host.paths.source("in/secret") {
                    assert_eq!(fs::read_to_string(source.path()).unwrap(), "inside");
                    found += 1;
                }
                if let Ok(target) = host.paths.target("in/new") {
                    fs::write(target.path(), "x").unwrap();
                    made += 1;
                }
            }
        });
        let outside: Vec<_> =
            fs::read_dir(&host.outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(outside, ["secret"], "after {found} and {made}");
        assert!(found > 0 && made > 0, "{found} {made}");
    }
}
