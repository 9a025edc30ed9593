//! The processes below one process, read from `/proc`. This file must not signal them.

use crate::users::read_bounded;
use rustix::process::Pid;
use std::collections::BTreeMap;
use std::fs;

/// Every descendant of `ancestor` there is now.
pub(crate) fn of(ancestor: Pid) -> Vec<Pid> {
    let children = children_by_parent();
    let mut found = Vec::new();
    let mut unexplored = vec![ancestor.as_raw_nonzero().get()];
    while let Some(parent) = unexplored.pop() {
        for child in children.get(&parent).into_iter().flatten() {
            unexplored.push(*child);
            found.extend(Pid::from_raw(*child));
        }
    }
    found
}

fn children_by_parent() -> BTreeMap<i32, Vec<i32>> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    let Ok(entries) = fs::read_dir("/proc") else { return children };
    for entry in entries.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some(parent) = living_parent(&read_bounded(entry.path().join("stat"))) {
            children.entry(parent).or_default().push(pid);
        }
    }
    children
}

/// The parent in a `stat` line, unless the process has ended already. The name before it may hold anything. A process whose
/// first thread alone has ended looks like a zombie with several threads, and lives.
fn living_parent(stat: &[u8]) -> Option<i32> {
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let mut fields = str::from_utf8(&stat[name_end + 1..]).ok()?.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let threads: u32 = fields.nth(15).and_then(|field| field.parse().ok()).unwrap_or(1);
    let ended = matches!(state, "Z" | "X") && threads <= 1;
    (!ended).then_some(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_forge_a_parent() {
        assert_eq!(living_parent(b"7 (a) S 1 (b)) R 42 7 7"), Some(42));
        assert_eq!(living_parent(b"7 (sh) Z 42 7 7"), None);
        assert_eq!(living_parent(b"7 (sh) Z 42 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 3 0"), Some(42));
        assert_eq!(living_parent(b""), None);
    }

    #[test]
    fn a_child_is_found() {
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let found = of(rustix::process::getpid());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found.iter().any(|pid| pid.as_raw_nonzero().get().unsigned_abs() == child.id()));
    }
}
