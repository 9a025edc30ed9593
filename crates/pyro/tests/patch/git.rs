//! The real git, without anybody's configuration. It must not know what a patch means.

use crate::tree::Tree;
use std::io;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;

/// Runs git in a folder with `input`.
pub(crate) fn run(folder: &Path, arguments: &[&str], input: &[u8]) -> io::Result<Output> {
    let mut child = Command::new("git")
        .args(["-c", "core.autocrlf=false", "-c", "core.fileMode=true", "-c", "gc.auto=0"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env("GIT_CEILING_DIRECTORIES", "/")
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut pipe) = child.stdin.take() {
        match pipe.write_all(input) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
            _ => {}
        }
    }
    child.wait_with_output()
}

/// What git prints; an error if it fails.
pub(crate) fn output(folder: &Path, arguments: &[&str], input: &[u8]) -> io::Result<Vec<u8>> {
    let output = run(folder, arguments, input)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(io::Error::other(format!("git {}: {text}", arguments.join(" "))))
}

/// The tree that `git apply` makes of one with a patch.
pub(crate) fn apply(tree: &Tree, patch: &[u8], more: &[&str]) -> io::Result<Tree> {
    let folder = tempfile::tempdir()?;
    tree.write_to(folder.path())?;
    let arguments = [&["apply", "--whitespace=nowarn"], more].concat();
    output(folder.path(), &arguments, patch)?;
    Tree::read_from(folder.path())
}

/// What `git diff` says about two trees.
pub(crate) fn diff(old: &Tree, new: &Tree, more: &[&str]) -> io::Result<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    output(folder.path(), &["init", "-q"], b"")?;
    let mut ids = Vec::new();
    for tree in [old, new] {
        let work = tempfile::tempdir()?;
        tree.write_to(work.path())?;
        let work = work.path().to_string_lossy().into_owned();
        output(folder.path(), &["--work-tree", &work, "add", "-A", "-f"], b"")?;
        let id = output(folder.path(), &["write-tree"], b"")?;
        ids.push(String::from_utf8_lossy(&id).trim().to_owned());
    }
    let arguments = [&["diff"], more, &[&ids[0], &ids[1]]].concat();
    output(folder.path(), &arguments, b"")
}
