//! Checks of the programs pyro uses: are they there, and do they run.

use super::Check;
use crate::config::Config;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

/// QEMU, without which no guest runs in this release.
pub(super) fn qemu(config: &Config) -> Check {
    let name = "qemu";
    let Some(path) = find(&config.search_path, "qemu-system-x86_64") else {
        return Check::fail(
            name,
            "qemu-system-x86_64 is not installed",
            "install the package qemu-system-x86",
        );
    };
    match first_line(&path, &["--version"]) {
        Some(version) => Check::pass(name, format!("{version} at {}", path.display())),
        None => Check::fail(
            name,
            format!("{} does not run", path.display()),
            "install the package qemu-system-x86 again",
        ),
    }
}

/// A program that a guest can do without.
pub(super) fn optional(config: &Config, program: &'static str, without: &str) -> Check {
    match find(&config.search_path, program) {
        Some(path) => {
            let version = first_line(&path, &["--version"]).unwrap_or_else(|| "no version".to_owned());
            Check::pass(program, format!("{version} at {}", path.display()))
        }
        None => Check::pass(program, format!("not installed; {without}")),
    }
}

/// The programs that build environments.
pub(super) fn builders(config: &Config, has_environment: bool) -> Vec<Check> {
    let needed =
        [("mmdebstrap", "mmdebstrap"), ("mkfs.ext4", "e2fsprogs"), ("apt-get", "apt"), ("dpkg-deb", "dpkg")];
    needed
        .into_iter()
        .map(|(program, package)| match find(&config.search_path, program) {
            Some(path) => Check::pass(check_name(program), path.display().to_string()),
            None => Check::unless(
                has_environment && program != "mkfs.ext4",
                check_name(program),
                format!("{program} is not installed; environments cannot be built"),
                format!("install the package {package}"),
            ),
        })
        .collect()
}

fn check_name(program: &str) -> &'static str {
    match program {
        "mmdebstrap" => "mmdebstrap",
        "mkfs.ext4" => "mkfs_ext4",
        "apt-get" => "apt_get",
        _ => "dpkg_deb",
    }
}

/// User namespaces with a range of ids, in which an ordinary user builds environments.
pub(super) fn user_namespaces(config: &Config, has_environment: bool) -> Check {
    let name = "user_namespaces";
    if rustix::process::geteuid().is_root() {
        return Check::pass(name, "not needed: you are root");
    }
    let works = find(&config.search_path, "unshare").is_some_and(|unshare| {
        let mut command = Command::new(unshare);
        command.args(["--user", "--map-auto", "--map-root-user", "true"]).env("PATH", &config.search_path);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    });
    if works {
        return Check::pass(name, "an unprivileged user namespace with a range of ids works");
    }
    Check::unless(
        has_environment,
        name,
        "an unprivileged user namespace with a range of ids cannot be made; environments cannot be built",
        "install the package uidmap, and give your user a range in /etc/subuid and /etc/subgid",
    )
}

/// Finds a program as the shell does.
pub(super) fn find(search_path: &str, program: &str) -> Option<PathBuf> {
    std::env::split_paths(search_path).map(|dir| dir.join(program)).find(|path| {
        path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    })
}

fn first_line(program: &std::path::Path, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).lines().next()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
