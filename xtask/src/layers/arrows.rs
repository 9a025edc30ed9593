//! Which room may depend on which: `cli, python -> mcp -> pyro -> {engine, image, net} -> proto <- agent`.
//! This file must not read source code; what a manifest says is all it knows.

use super::Finding;
use serde::Deserialize;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

/// A room, the rooms it may know, and the crates that would contradict what it is.
struct Room {
    name: &'static str,
    knows: &'static [&'static str],
    never: &'static [&'static str],
}

/// Every room there may be. A new one is entered here and in ARCHITECTURE.md in the same commit.
const ROOMS: &[Room] = &[
    Room { name: "pyro-proto", knows: &[], never: &["tokio", "rustix", "libc"] },
    Room { name: "pyro-agent", knows: &["pyro-proto"], never: &["tokio", "clap"] },
    Room { name: "pyro-engine", knows: &["pyro-proto"], never: &["clap"] },
    Room { name: "pyro-image", knows: &["pyro-proto"], never: &["tokio", "clap"] },
    Room { name: "pyro-net", knows: &["pyro-proto"], never: &["clap"] },
    Room { name: "pyro", knows: &["pyro-proto", "pyro-engine", "pyro-image", "pyro-net"], never: &["clap"] },
    Room { name: "pyro-mcp", knows: &["pyro"], never: &["clap"] },
    Room { name: "pyro-ssh", knows: &["pyro"], never: &["clap"] },
    Room { name: "pyro-cli", knows: &["pyro", "pyro-mcp", "pyro-ssh"], never: &[] },
    Room { name: "pyro-python", knows: &["pyro", "pyro-mcp", "pyro-cli"], never: &["clap"] },
    Room {
        name: "pyro-testkit",
        knows: &["pyro-proto", "pyro-engine", "pyro-image", "pyro-net", "pyro"],
        never: &["clap"],
    },
    Room { name: "xtask", knows: &["pyro", "pyro-cli", "pyro-image", "pyro-mcp"], never: &[] },
];

/// Dev only: nothing may depend on it but tests.
pub(super) const TESTS_ONLY: &str = "pyro-testkit";

/// Why the manifests could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArrowsError {
    #[error("starting cargo metadata in {}", root.display())]
    Start { root: PathBuf, source: std::io::Error },
    #[error("cargo metadata failed: {stderr}")]
    Failed { stderr: String },
    #[error("reading what cargo metadata printed")]
    Malformed(#[source] serde_json::Error),
}

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    /// Absent for an ordinary dependency, else `dev` or `build`.
    kind: Option<String>,
    /// Present when it lies in this repository.
    path: Option<PathBuf>,
}

/// Checks the manifests of the workspace at `root`.
pub(super) fn check(root: &Path) -> Result<Vec<Finding>, ArrowsError> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root)
        .output()
        .map_err(|source| ArrowsError::Start { root: root.to_owned(), source })?;
    if !output.status.success() {
        return Err(ArrowsError::Failed { stderr: String::from_utf8_lossy(&output.stderr).into_owned() });
    }
    let metadata: Metadata = serde_json::from_slice(&output.stdout).map_err(ArrowsError::Malformed)?;
    Ok(metadata.packages.iter().flat_map(|package| check_package(root, package)).collect())
}

fn check_package(root: &Path, package: &Package) -> Vec<Finding> {
    let path = package.manifest_path.strip_prefix(root).unwrap_or(&package.manifest_path);
    let manifest = std::fs::read_to_string(&package.manifest_path).unwrap_or_default();
    let at = |name: &str, message: String| Finding {
        path: path.to_owned(),
        line: line_of(&manifest, name),
        message,
    };
    let Some(room) = ROOMS.iter().find(|room| room.name == package.name) else {
        return vec![at(
            "name",
            format!("`{}` is no room this check knows; enter it with its arrows", package.name),
        )];
    };
    let shipped = package.dependencies.iter().filter(|dependency| dependency.kind.as_deref() != Some("dev"));
    shipped.filter_map(|dependency| Some(at(&dependency.name, broken_arrow(room, dependency)?))).collect()
}

/// What is wrong with an ordinary or build dependency of `room`, if anything.
fn broken_arrow(room: &Room, dependency: &Dependency) -> Option<String> {
    let Dependency { name, .. } = dependency;
    if name == TESTS_ONLY {
        return Some(format!("`{}` may depend on `{name}` in its tests alone", room.name));
    }
    if dependency.path.is_some() && !room.knows.contains(&name.as_str()) {
        return Some(format!("`{}` must not know `{name}`; it may know {}", room.name, list(room.knows)));
    }
    room.never.contains(&name.as_str()).then(|| format!("`{}` must do without `{name}`", room.name))
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "no other room".to_owned() } else { names.join(", ") }
}

/// The line a key stands on, or the first.
fn line_of(manifest: &str, key: &str) -> usize {
    let stands_on = |line: &str| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(['.', ' ', '=']));
    manifest.lines().position(stands_on).map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(name: &str, dependencies: &[(&str, Option<&str>, bool)]) -> Vec<String> {
        let dependencies = dependencies
            .iter()
            .map(|(name, kind, ours)| Dependency {
                name: (*name).to_owned(),
                kind: kind.map(str::to_owned),
                path: ours.then(|| PathBuf::from("crates").join(name)),
            })
            .collect();
        let package = Package {
            name: name.to_owned(),
            manifest_path: PathBuf::from("/nowhere/crates/room/Cargo.toml"),
            dependencies,
        };
        check_package(Path::new("/nowhere"), &package).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn the_arrows_of_the_design_are_allowed() {
        assert_eq!(findings("pyro-agent", &[("pyro-proto", None, true), ("rustix", None, false)]), [""; 0]);
        assert_eq!(findings("pyro", &[("pyro-engine", None, true), ("pyro-image", None, true)]), [""; 0]);
        assert_eq!(findings("pyro-cli", &[("pyro", None, true)]), [""; 0]);
    }

    #[test]
    fn siblings_do_not_know_each_other() {
        let broken = findings("pyro-image", &[("pyro-engine", None, true)]);
        assert_eq!(broken, ["`pyro-image` must not know `pyro-engine`; it may know pyro-proto"]);
    }

    #[test]
    fn arrows_do_not_point_upwards_nor_skip_through_a_build_script() {
        assert_eq!(findings("pyro-proto", &[("pyro", None, true)]).len(), 1);
        assert_eq!(findings("pyro-agent", &[("pyro-engine", Some("build"), true)]).len(), 1);
    }

    #[test]
    fn the_test_kit_is_for_tests() {
        assert_eq!(findings("pyro", &[("pyro-testkit", Some("dev"), true)]), [""; 0]);
        assert_eq!(findings("pyro", &[("pyro-testkit", None, true)]).len(), 1);
    }

    #[test]
    fn a_room_may_be_told_what_it_must_do_without() {
        assert_eq!(
            findings("pyro-agent", &[("tokio", None, false)]),
            ["`pyro-agent` must do without `tokio`"]
        );
    }

    #[test]
    fn an_unknown_room_is_reported() {
        assert_eq!(findings("pyro-utils", &[]).len(), 1);
    }

    #[test]
    fn the_line_of_a_key_is_not_that_of_a_longer_one() {
        let manifest = "[dependencies]\npyro-engine.workspace = true\npyro = { path = \"x\" }\n";
        assert_eq!(line_of(manifest, "pyro"), 3);
        assert_eq!(line_of(manifest, "pyro-engine"), 2);
    }
}
