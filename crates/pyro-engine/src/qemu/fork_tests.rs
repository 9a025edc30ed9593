//! Snapshots of guests of every kind, and guests restored from them, with a guest that needs no kernel: it keeps its count in
//! memory, so where it continues tells which memory it was given.

use super::tests::counted;
use super::tests::counted_at_least;
use super::tests::counting_guest;
use super::tests::engine;
use super::tests::first_whole_line;
use super::tests::follow;
use super::tests::restore;
use super::tests::start;
use super::*;
use crate::probe::image;
use crate::spec::Memory;
use rustix::process::Signal;
use std::os::unix::fs::MetadataExt as _;
use tempfile::TempDir;

struct Lab {
    folder: TempDir,
    engine: QemuEngine,
    spec: GuestSpec,
}

impl Lab {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let spec = counting_guest(folder.path(), Memory::Anonymous);
        Self { folder, engine: engine(), spec }
    }

    fn files(&self, name: &str) -> SnapshotFiles {
        let path = |kind| self.folder.path().join(format!("{name}.{kind}"));
        SnapshotFiles { state: path("state"), memory: path("memory") }
    }

    async fn boot(&self) -> QemuGuest {
        let guest = start(&self.engine, self.spec.clone()).await.unwrap();
        counted_at_least(&guest, 3).await;
        guest
    }

    async fn restore(&self, files: &SnapshotFiles) -> QemuGuest {
        restore(&self.engine, self.spec.clone(), files).await.unwrap()
    }

    /// Names of the files in the folder but the kernel's.
    fn leftovers(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "counter.elf").collect()
    }
}

async fn snapshot(guest: &mut QemuGuest, files: &SnapshotFiles) -> u32 {
    guest.pause().await.unwrap();
    guest.snapshot(files).await.unwrap();
    last(guest)
}

fn last(guest: &QemuGuest) -> u32 {
    *counted(guest).last().unwrap()
}

async fn lives_on(guest: &mut QemuGuest) {
    let lines = counted(guest).len();
    guest.resume().await.unwrap();
    counted_at_least(guest, lines + 2).await;
}

fn allocated(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().blocks() * 512
}

/// What a guest that was restored when `seen` had been counted says first: it may have been in the middle of a line.
fn continues(seen: u32, first: u32) -> bool {
    (seen..=seen + 3).contains(&first)
}

#[tokio::test]
async fn a_guest_with_anonymous_memory_is_forked_and_lives_on() {
    let lab = Lab::new();
    let mut original = lab.boot().await;
    let seen = snapshot(&mut original, &lab.files("one")).await;
    let memory = lab.files("one").memory;
    assert_eq!(std::fs::metadata(&memory).unwrap().len(), u64::from(image::MEM_MIB) << 20);
    assert!(allocated(&memory) < 4 << 20, "{} bytes of a guest that touched little", allocated(&memory));
    lives_on(&mut original).await;
    drop(original);
    let child = lab.restore(&lab.files("one")).await;
    assert!(continues(seen, first_whole_line(&child).await));
}

#[tokio::test]
async fn forks_of_a_fork_continue_where_it_was_and_disturb_nobody() {
    let lab = Lab::new();
    snapshot(&mut lab.boot().await, &lab.files("root")).await;
    let mut child = lab.restore(&lab.files("root")).await;
    counted_at_least(&child, 10).await;
    child.prepare_snapshot(&lab.files("child")).await.unwrap();
    let seen = snapshot(&mut child, &lab.files("child")).await;
    let before = std::fs::read(lab.files("child").memory).unwrap();
    assert!(before != std::fs::read(lab.files("root").memory).unwrap(), "what the child wrote is missing");
    lives_on(&mut child).await;

    let mut grandchild = lab.restore(&lab.files("child")).await;
    assert!(continues(seen, first_whole_line(&grandchild).await));
    let further = snapshot(&mut grandchild, &lab.files("grandchild")).await;
    assert!(further > seen);
    lives_on(&mut grandchild).await;
    let last_of_line = lab.restore(&lab.files("grandchild")).await;
    assert!(continues(further, first_whole_line(&last_of_line).await));

    // Its sibling starts from the same place, whatever the others have written meanwhile.
    let sibling = lab.restore(&lab.files("child")).await;
    assert!(continues(seen, first_whole_line(&sibling).await));
    assert!(
        std::fs::read(lab.files("child").memory).unwrap() == before,
        "a guest wrote to its parent's snapshot"
    );
}

#[tokio::test]
async fn a_guest_with_two_processors_is_forked() {
    let mut lab = Lab::new();
    lab.spec.vcpus = 2;
    let mut original = lab.boot().await;
    let seen = snapshot(&mut original, &lab.files("one")).await;
    let child = lab.restore(&lab.files("one")).await;
    assert!(continues(seen, first_whole_line(&child).await));
}

#[tokio::test]
async fn shared_memory_becomes_the_snapshots_or_is_copied() {
    let mut lab = Lab::new();
    let own = lab.files("own");
    lab.spec.memory = Memory::SharedFile(own.memory.clone());
    let mut original = lab.boot().await;
    let seen = snapshot(&mut original, &lab.files("copy")).await;
    lives_on(&mut original).await;
    let child = lab.restore(&lab.files("copy")).await;
    assert!(continues(seen, first_whole_line(&child).await));
    let seen = snapshot(&mut original, &own).await;
    assert!(
        matches!(original.resume().await, Err(EngineError::Refused { .. })),
        "it would write to the snapshot"
    );
    drop(original);
    crate::memory::punch_zero_pages(&own.memory).unwrap();
    let child = lab.restore(&own).await;
    assert!(continues(seen, first_whole_line(&child).await));
}

#[tokio::test]
async fn a_memory_file_that_somebody_may_use_is_never_overwritten() {
    let lab = Lab::new();
    let files = lab.files("one");
    snapshot(&mut lab.boot().await, &files).await;
    let before = std::fs::read(&files.memory).unwrap();
    let mut child = lab.restore(&files).await;
    assert!(matches!(child.prepare_snapshot(&files).await, Err(EngineError::Host { .. })));
    child.pause().await.unwrap();
    assert!(matches!(child.snapshot(&files).await, Err(EngineError::Host { .. })));
    lives_on(&mut child).await;
    assert!(std::fs::read(&files.memory).unwrap() == before);
}

#[tokio::test]
async fn what_was_prepared_or_failed_leaves_nothing() {
    let lab = Lab::new();
    let mut original = lab.boot().await;
    original.prepare_snapshot(&lab.files("abandoned")).await.unwrap();
    original.prepare_snapshot(&lab.files("prepared")).await.unwrap();
    original.pause().await.unwrap();
    let nowhere = SnapshotFiles { state: "/nonexistent/state".into(), memory: lab.files("failed").memory };
    assert!(matches!(original.snapshot(&nowhere).await, Err(EngineError::Host { .. })));
    assert!(lab.leftovers().is_empty(), "{:?}", lab.leftovers());
    lives_on(&mut original).await;
    original.prepare_snapshot(&lab.files("dropped")).await.unwrap();
    drop(original);
    assert!(lab.leftovers().is_empty(), "{:?}", lab.leftovers());
}

#[tokio::test]
async fn a_guest_killed_during_its_snapshot_is_said_to_be_gone() {
    let lab = Lab::new();
    snapshot(&mut lab.boot().await, &lab.files("root")).await;
    let mut child = lab.restore(&lab.files("root")).await;
    child.prepare_snapshot(&lab.files("child")).await.unwrap();
    child.pause().await.unwrap();
    let pidfd = follow(child.pid());
    rustix::process::pidfd_send_signal(&pidfd, Signal::KILL).unwrap();
    let error = child.snapshot(&lab.files("child")).await.unwrap_err();
    assert!(matches!(error, EngineError::Gone { .. } | EngineError::Host { .. }), "{error}");
    assert!(!lab.files("child").state.exists() && !lab.files("child").memory.exists());
    // The one it came from is whole.
    first_whole_line(&lab.restore(&lab.files("root")).await).await;
}

#[tokio::test]
async fn a_state_that_qemu_cannot_load_is_an_error_with_its_words() {
    let lab = Lab::new();
    let files = lab.files("one");
    snapshot(&mut lab.boot().await, &files).await;
    // Undamaged as far as this crate can tell, but no device state.
    let state = state::NewState::create(&files.state).unwrap();
    rustix::io::write(state.fd(), b"this is no device state").unwrap();
    state.finish(Shape::of(Acceleration::Emulated, &lab.spec)).unwrap();
    let error = restore(&lab.engine, lab.spec.clone(), &files).await.unwrap_err();
    assert!(matches!(&error, EngineError::Gone { tail, .. } if !tail.is_empty()), "{error}");
}
