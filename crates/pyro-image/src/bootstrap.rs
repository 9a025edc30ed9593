//! Builds a Debian root file system from packages with mmdebstrap. This file must not know disk images.
//!
//! mmdebstrap runs as root of our namespaces. Its package cache and lists are folders of the store, bound in for the time of
//! the build: what a killed build has downloaded, the next one has.

use crate::child::Task;
use crate::error::At;
use crate::error::ImageError;
use crate::kernel::AptRoot;
use crate::mirror::Mirror;
use crate::mirror::Reader;
use crate::namespace;
use crate::program;
use crate::progress::Phase;
use crate::pull::Work;
use std::fs::File;
use std::path::Path;
use std::process::Command;

/// Binds the store's cache into the new root.
const SETUP: &str = r#"mkdir -p "$1/var/cache/apt/archives" "$1/var/lib/apt/lists" &&
mount --bind "$PYRO_ARCHIVES" "$1/var/cache/apt/archives" && mount --bind "$PYRO_LISTS" "$1/var/lib/apt/lists""#;

/// Unbinds it again, and leaves apt in the guest with public sources and none of the host's settings.
const FINISH: &str = r#"umount "$1/var/cache/apt/archives" "$1/var/lib/apt/lists" &&
rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap" "$1/etc/hostname" "$1/etc/resolv.conf" &&
cp "$PYRO_GUEST_SOURCES" "$1/etc/apt/sources.list" && chmod 644 "$1/etc/apt/sources.list" &&
: > "$1/etc/machine-id" && rm -f "$1/var/lib/dbus/machine-id""#;

/// Fills `root`, which does not exist yet, with `packages` and the essential ones. `scratch` takes temporary files.
pub(crate) fn bootstrap(
    work: &Work<'_>,
    apt: &AptRoot<'_>,
    mirror: &Mirror,
    suite: &str,
    packages: &[String],
    root: &Path,
    scratch: &Path,
) -> Result<(), ImageError> {
    let guest_sources = scratch.join("guest-sources.list");
    std::fs::write(&guest_sources, mirror.lines(suite, Reader::Guest)).at("writing", &guest_sources)?;
    let mut command = namespace::command(work.config, program::MMDEBSTRAP)?;
    command.env("PYRO_ARCHIVES", apt.archives()).env("PYRO_LISTS", apt.lists());
    command.env("PYRO_GUEST_SOURCES", &guest_sources).env("TMPDIR", scratch);
    arguments(&mut command, packages);
    command.arg("--aptopt").arg(apt.host_settings());
    command.arg(suite).arg(root).arg("-");
    let sources = apt.sources();
    command.stdin(File::open(&sources).at("opening", &sources)?);
    run(work, apt, command, scratch)
}

fn arguments(command: &mut Command, packages: &[String]) {
    command.args(["--mode=root", "--variant=minbase", "--format=directory", "--architectures=amd64"]);
    command.args(["--skip=download/empty,essential/unlink"]);
    command.args(["--aptopt=APT::Sandbox::User \"root\"", "--aptopt=Acquire::Languages \"none\""]);
    command.arg(format!("--setup-hook={SETUP}")).arg(format!("--customize-hook={FINISH}"));
    if !packages.is_empty() {
        command.arg(format!("--include={}", packages.join(",")));
    }
}

fn run(work: &Work<'_>, apt: &AptRoot<'_>, command: Command, scratch: &Path) -> Result<(), ImageError> {
    let operation = "installing packages";
    let mut downloaded = false;
    let mut said: Vec<String> = Vec::new();
    let ended = Task::new(operation, command, work.cancel).lend(&work.lent).end(&mut |line| {
        if let Some(phase) = phase_of(line) {
            downloaded |= phase == Phase::Install;
            work.progress.phase(phase);
        } else if line.starts_with("E: ") && said.len() < 8 {
            said.push(line.to_owned());
        }
    })?;
    if ended.status.success() {
        return Ok(());
    }
    if downloaded {
        // A package that was damaged on this disk would fail every later build too.
        namespace::remove_tree(work.config, &apt.archives())?;
    }
    let errors = said.iter().filter(|line| !line.contains("mmdebstrap failed to run"));
    let errors: Vec<&str> = errors.map(String::as_str).collect();
    if !errors.is_empty() {
        // Its clean-up speaks last and says nothing about the cause.
        let stderr = errors.join("\n");
        let ended = crate::child::Ended { stderr, ..ended };
        return Err(crate::kernel::failure(scratch, operation, &ended));
    }
    Err(crate::kernel::failure(scratch, operation, &ended))
}

/// What mmdebstrap's own words mean.
fn phase_of(line: &str) -> Option<Phase> {
    let text = line.strip_prefix("I: ")?;
    let starts = |words: &[&str]| words.iter().any(|word| text.starts_with(word));
    if starts(&["running apt-get update"]) {
        Some(Phase::Lists)
    } else if starts(&["downloading packages"]) {
        Some(Phase::Download)
    } else if starts(&["extracting archives", "installing"]) {
        Some(Phase::Install)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mmdebstrap_s_words_are_phases() {
        assert_eq!(phase_of("I: downloading packages with apt..."), Some(Phase::Download));
        assert_eq!(phase_of("I: extracting archives..."), Some(Phase::Install));
        assert_eq!(phase_of("I: installing remaining packages inside the chroot..."), Some(Phase::Install));
        assert_eq!(phase_of("W: downloading packages"), None);
    }

    #[test]
    fn no_packages_means_no_empty_option() {
        let mut command = Command::new("x");
        arguments(&mut command, &[]);
        assert!(command.get_args().all(|arg| !arg.to_string_lossy().starts_with("--include")));
        arguments(&mut command, &["git".to_owned(), "make".to_owned()]);
        assert!(command.get_args().any(|arg| arg == "--include=git,make"));
    }
}
