//! Which Debian packages came, went or changed their version, read from both sides' lists. This file must not know where the
//! lists come from.

use serde::Serialize;
use std::collections::BTreeMap;

/// A package that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PackageChange {
    /// Its name; with its architecture where that is not the system's own.
    pub name: String,
    /// `installed`, `removed` or `changed`.
    pub status: &'static str,
    /// The version before.
    pub old_version: Option<String>,
    /// The version afterwards.
    pub new_version: Option<String>,
}

/// Compares two `dpkg` status files.
pub(super) fn compare(old: &[u8], new: &[u8]) -> Vec<PackageChange> {
    let (old, new) = (installed(old), installed(new));
    let mut changes: Vec<PackageChange> = Vec::new();
    let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        let (before, after) = (old.get(name), new.get(name));
        let status = match (before, after) {
            (None, Some(_)) => "installed",
            (Some(_), None) => "removed",
            (before, after) if before != after => "changed",
            _ => continue,
        };
        changes.push(PackageChange {
            name: name.clone(),
            status,
            old_version: before.cloned(),
            new_version: after.cloned(),
        });
    }
    changes
}

/// The versions of what is installed.
fn installed(status: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(status);
    let package = |stanza: &str| {
        let field = |name: &str| {
            let mut values = stanza.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            values.next().map(|value| value.trim().to_owned())
        };
        let is_installed = field("Status")?.split(' ').next_back() == Some("installed");
        is_installed.then_some((field("Package")?, field("Version")?))
    };
    text.split("\n\n").filter_map(package).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_that_came_went_and_changed() {
        let old = b"Package: a\nStatus: install ok installed\nVersion: 1\n\nPackage: b\nStatus: install ok installed\nVersion: 1\n\nPackage: c\nStatus: install ok installed\nVersion: 1\n";
        let new = b"Package: a\nStatus: install ok installed\nVersion: 2\n\nPackage: b\nStatus: deinstall ok config-files\nVersion: 1\n\nPackage: c\nStatus: install ok installed\nVersion: 1\n\nPackage: d\nStatus: install ok installed\nVersion: 3:4-5\n";
        let found = compare(old, new);
        let shown: Vec<String> =
            found.iter().map(|change| format!("{} {}", change.name, change.status)).collect();
        assert_eq!(shown, ["a changed", "b removed", "d installed"]);
        assert_eq!(found[2].new_version.as_deref(), Some("3:4-5"));
        assert!(compare(b"", b"").is_empty());
    }
}
