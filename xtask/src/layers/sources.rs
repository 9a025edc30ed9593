//! The repository's Rust files and what each is: shipped or not, and in which room. It must not judge them.

use super::arrows::TESTS_ONLY;
use super::tokens;
use super::tokens::Scan;
use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;

/// Where Rust files lie.
const TOPS: &[&str] = &["crates", "xtask", "tests", "fuzz", "benches", "examples"];

/// Why the sources could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourcesError {
    #[error("listing {}", path.display())]
    List { path: PathBuf, source: std::io::Error },
    #[error("reading {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
}

/// One Rust file.
#[derive(Debug)]
pub(super) struct SourceFile {
    /// Relative to the top of the repository.
    pub(super) path: PathBuf,
    pub(super) text: String,
    pub(super) scan: Scan,
    /// The room it is shipped in; none for tests, build scripts and what is outside of `crates/`.
    pub(super) shipped_in: Option<String>,
}

/// Reads every Rust file under `root`.
pub(super) fn read(root: &Path) -> Result<Vec<SourceFile>, SourcesError> {
    let mut paths = Vec::new();
    for top in TOPS.iter().map(|top| root.join(top)).filter(|top| top.is_dir()) {
        list(&top, &mut paths)?;
    }
    paths.sort();
    let mut files = paths.iter().map(|path| read_file(root, path)).collect::<Result<Vec<_>, _>>()?;
    let tests: BTreeSet<PathBuf> = files.iter().flat_map(test_modules).collect();
    for file in &mut files {
        if tests.iter().any(|test| file.path.starts_with(test) || file.path == test.with_extension("rs")) {
            file.shipped_in = None;
        }
    }
    Ok(files)
}

fn list(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<(), SourcesError> {
    let failed = |source| SourcesError::List { path: folder.to_owned(), source };
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (path, name) = (entry.path(), entry.file_name());
        let file_type = entry.file_type().map_err(failed)?;
        if file_type.is_dir() && name != "target" && !name.as_encoded_bytes().starts_with(b".") {
            list(&path, paths)?;
        } else if file_type.is_file() && path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
    Ok(())
}

fn read_file(root: &Path, path: &Path) -> Result<SourceFile, SourcesError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| SourcesError::Read { path: path.to_owned(), source })?;
    let path = path.strip_prefix(root).unwrap_or(path).to_owned();
    let shipped_in = room_of(&path);
    Ok(SourceFile { scan: tokens::scan(&text), path, text, shipped_in })
}

/// `crates/ROOM/src/...` is shipped in ROOM, unless that room is for tests; everything else is not.
fn room_of(path: &Path) -> Option<String> {
    let mut parts = path.iter().map(|part| part.to_string_lossy());
    let (top, room, src) = (parts.next()?, parts.next()?, parts.next()?);
    (top == "crates" && src == "src" && room != TESTS_ONLY).then(|| room.into_owned())
}

/// The modules a file declares for tests alone, as paths without their `.rs`.
fn test_modules(file: &SourceFile) -> Vec<PathBuf> {
    let stem = file.path.file_stem().unwrap_or_default();
    let parent = file.path.parent().unwrap_or(Path::new(""));
    let folder = if ["mod", "lib", "main"].iter().any(|root| stem == *root) {
        parent.to_owned()
    } else {
        parent.join(stem)
    };
    file.scan.test_modules.iter().map(|name| folder.join(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Vec<SourceFile>) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let files = read(root.path()).unwrap();
        (root, files)
    }

    fn shipped(files: &[SourceFile]) -> Vec<(&str, Option<&str>)> {
        files.iter().map(|file| (file.path.to_str().unwrap(), file.shipped_in.as_deref())).collect()
    }

    #[test]
    fn files_know_their_room_and_tests_are_not_shipped() {
        let (_root, files) = tree(&[
            ("crates/pyro/src/lib.rs", "//! x\nmod run;\n#[cfg(test)]\nmod proofs;"),
            ("crates/pyro/src/proofs/deep.rs", "//! x"),
            ("crates/pyro/src/run.rs", "//! x\n#[cfg(test)] mod tests;"),
            ("crates/pyro/src/run/tests.rs", "//! x"),
            ("crates/pyro/src/tests.rs", "//! x"),
            ("crates/pyro/build.rs", "//! x"),
            ("crates/pyro-testkit/src/lib.rs", "//! x"),
            ("crates/pyro/tests/all.rs", "//! x"),
            ("crates/pyro/target/debug/build/made.rs", ""),
            ("xtask/src/main.rs", "//! x"),
        ]);
        let expected = [
            ("crates/pyro/build.rs", None),
            ("crates/pyro/src/lib.rs", Some("pyro")),
            ("crates/pyro/src/proofs/deep.rs", None),
            ("crates/pyro/src/run/tests.rs", None),
            ("crates/pyro/src/run.rs", Some("pyro")),
            ("crates/pyro/src/tests.rs", Some("pyro")),
            ("crates/pyro/tests/all.rs", None),
            ("crates/pyro-testkit/src/lib.rs", None),
            ("xtask/src/main.rs", None),
        ];
        assert_eq!(shipped(&files), expected);
    }
}
