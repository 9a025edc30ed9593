//! A step of putting things in place, and how it is written down: as a symbolic link in the stage, whose target says it. This
//! file must not take a step, nor take one back.
//!
//! ```text
//!   u0 -> began//PATH OF THE ROOT      u1 -> swapped 17 4711//PATH      u2 -> made//PATH ...      without u0 there is no way back
//! ```

use super::attributes::Attributes;
use pyro_proto::tree::Timestamp;
use pyro_proto::tree::TreePath;
use rustix::fs::AtFlags;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::RawDir;
use rustix::io::Errno;
use std::ffi::CString;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

/// What the names of steps begin with.
const PREFIX: &str = "u";

/// Between what was done and what it was done to.
const SEPARATOR: &[u8] = b"//";

/// Most bytes of one link's target; the rest is in a link of its own.
const TARGET_BYTES_MAX: usize = 4000;

/// A step forward, as far as the way back needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A numbered thing of the stage was put where nothing was.
    Placed(u64),
    /// A numbered thing of the stage, with this inode number, changed places with what was there. The other's inode number
    /// would not do: below an overlay a thing may get another one by being moved.
    Swapped(u64, u64),
    /// What was there was put into the stage under a number.
    Removed(u64),
    /// A folder was made.
    Made,
    /// An empty folder with these attributes was removed.
    Unmade(Attributes),
    /// A folder was given other attributes than these.
    Changed(Attributes),
    /// None yet: this is the way to the root that all others are below of, from where its stages are.
    Began,
}

fn step_name(number: u64) -> String {
    format!("{PREFIX}{number}")
}

fn rest_name(number: u64) -> String {
    format!("{PREFIX}{number}+")
}

/// Writes a step down under a number.
pub(super) fn write(stage: &OwnedFd, number: u64, path: &TreePath, step: &Step) -> Result<(), Errno> {
    let target = encode(path, step);
    let (target, rest) = target.split_at(target.len().min(TARGET_BYTES_MAX));
    if !rest.is_empty() {
        rustix::fs::symlinkat(rest, stage, rest_name(number))?;
    }
    rustix::fs::symlinkat(target, stage, step_name(number))
}

/// Strikes a step out: it was not taken, or has been taken back.
pub(super) fn strike(stage: &OwnedFd, number: u64) -> Result<(), Errno> {
    for name in [step_name(number), rest_name(number)] {
        match rustix::fs::unlinkat(stage, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn encode(path: &TreePath, step: &Step) -> Vec<u8> {
    let text = match step {
        Step::Placed(number) => format!("placed {number}"),
        Step::Swapped(number, inode) => format!("swapped {number} {inode}"),
        Step::Removed(number) => format!("removed {number}"),
        Step::Made => "made".to_owned(),
        Step::Unmade(attributes) => format!("unmade {}", numbers(attributes)),
        Step::Changed(attributes) => format!("changed {}", numbers(attributes)),
        Step::Began => "began".to_owned(),
    };
    [text.as_bytes(), SEPARATOR, path.as_bytes()].concat()
}

fn numbers(attributes: &Attributes) -> String {
    let Attributes { mode, uid, gid, mtime } = attributes;
    format!("{mode} {uid} {gid} {} {}", mtime.s, mtime.ns)
}

fn decode(target: &[u8]) -> Option<(TreePath, Step)> {
    let at = target.windows(SEPARATOR.len()).position(|bytes| bytes == SEPARATOR)?;
    let path = TreePath::new(&target[at + SEPARATOR.len()..]).ok()?;
    let mut words = std::str::from_utf8(&target[..at]).ok()?.split(' ');
    let word = words.next()?;
    let numbers: Vec<i128> = words.map(|number| number.parse().ok()).collect::<Option<_>>()?;
    let attributes = |numbers: &[i128]| {
        let [mode, uid, gid, s, ns] = *numbers else { return None };
        let mtime = Timestamp { s: s.try_into().ok()?, ns: ns.try_into().ok()? };
        Some(Attributes {
            mode: mode.try_into().ok()?,
            uid: uid.try_into().ok()?,
            gid: gid.try_into().ok()?,
            mtime,
        })
    };
    let step = match (word, numbers.as_slice()) {
        ("placed", [number]) => Step::Placed((*number).try_into().ok()?),
        ("swapped", [number, inode]) => Step::Swapped((*number).try_into().ok()?, (*inode).try_into().ok()?),
        ("removed", [number]) => Step::Removed((*number).try_into().ok()?),
        ("made", []) => Step::Made,
        ("began", []) => Step::Began,
        ("unmade", numbers) => Step::Unmade(attributes(numbers)?),
        ("changed", numbers) => Step::Changed(attributes(numbers)?),
        _ => return None,
    };
    Some((path, step))
}

/// A step by its number; `None` when it is not written down.
pub(super) fn read(stage: &OwnedFd, number: u64) -> Result<Option<(TreePath, Step)>, Errno> {
    let link = |name: String| rustix::fs::readlinkat(stage, name, Vec::new()).map(CString::into_bytes);
    let mut target = match link(step_name(number)) {
        Err(Errno::NOENT) => return Ok(None),
        other => other?,
    };
    if target.len() >= TARGET_BYTES_MAX {
        match link(rest_name(number)) {
            Ok(rest) => target.extend(rest),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    decode(&target).map(Some).ok_or(Errno::UCLEAN)
}

/// The numbers of the steps that are written down, the last first.
pub(super) fn numbers_down(stage: &OwnedFd) -> Result<Vec<u64>, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(stage, ".", flags, Mode::empty())?;
    let mut buffer = [MaybeUninit::uninit(); 8192];
    let mut entries = RawDir::new(&folder, &mut buffer);
    let mut found = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let number = entry.file_name().to_str().ok().and_then(|name| name.strip_prefix(PREFIX)?.parse().ok());
        // Only as it is written down: `u007` is no step.
        found.extend(number.filter(|number| step_name(*number).as_bytes() == entry.file_name().to_bytes()));
    }
    found.sort_unstable_by(|one, other| other.cmp(one));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_back_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let stage =
            rustix::fs::open(folder.path(), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let path = |at: usize| {
            TreePath::new(format!("p {at}/{}", "n/".repeat(700 * at.min(2)) + "x").into_bytes()).unwrap()
        };
        let mtime = Timestamp { s: -5, ns: 999_999_999 };
        let steps = [
            Step::Began,
            Step::Placed(7),
            Step::Swapped(8, u64::MAX),
            Step::Removed(9),
            Step::Made,
            Step::Unmade(Attributes { mode: 0, uid: 3, gid: u32::MAX, mtime }),
            Step::Changed(Attributes { mode: 0o7777, uid: 1, gid: 2, mtime }),
        ];
        let number = |at: usize| [0, 1, 2, 10, 11, 300, u64::MAX][at];
        for (at, step) in steps.iter().enumerate() {
            write(&stage, number(at), &path(at), step).unwrap();
        }
        for (at, step) in steps.iter().enumerate() {
            assert_eq!(read(&stage, number(at)), Ok(Some((path(at), step.clone()))));
        }
        for forged in ["u007", "u+5", "u5+", "u", "u-1", "x9", "u99999999999999999999"] {
            std::fs::write(folder.path().join(forged), "").unwrap();
        }
        assert_eq!(numbers_down(&stage), Ok(vec![u64::MAX, 300, 11, 10, 2, 1, 0]));
        strike(&stage, 10).unwrap();
        strike(&stage, 10).unwrap();
        assert_eq!((read(&stage, 10), read(&stage, 9)), (Ok(None), Ok(None)));
        // The longest there can be takes two links, and both go.
        let long = TreePath::new(["n/".repeat(2047), "x".to_owned()].concat().into_bytes()).unwrap();
        write(&stage, 7, &long, &Step::Placed(u64::MAX)).unwrap();
        assert_eq!(read(&stage, 7), Ok(Some((long, Step::Placed(u64::MAX)))));
        strike(&stage, 7).unwrap();
        assert!(!folder.path().join("u7+").exists() && folder.path().join("u7+").symlink_metadata().is_err());
    }
}
