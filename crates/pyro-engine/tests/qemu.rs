//! QEMU as an engine, with a guest that needs no kernel. Real kernels are booted by the tests of the whole product.

mod support;

use pyro_engine::Engine as _;
use pyro_engine::EngineError;
use pyro_engine::EngineExit;
use pyro_engine::Memory;
use pyro_engine::SnapshotFiles;
use rustix::process::Signal;
use std::path::PathBuf;
use support::counted;
use support::counted_at_least;
use support::counting_guest;
use support::follow;
use support::qemu;

#[tokio::test]
async fn a_guest_runs_pauses_and_resumes() {
    let folder = tempfile::tempdir().unwrap();
    let mut guest = qemu().start(counting_guest(folder.path(), Memory::Anonymous)).await.unwrap();
    assert!(guest.take_channel().is_some() && guest.take_channel().is_none());
    let first = counted_at_least(&*guest, 2).await;
    assert_eq!(first[..2], [1, 2]);
    guest.pause().await.unwrap();
    let usage = guest.usage().unwrap();
    assert!(usage.cpu_ms > 0 && usage.pss_kib > 1024);
    guest.resume().await.unwrap();
    let so_far = counted(&*guest).len();
    counted_at_least(&*guest, so_far + 2).await;
    guest.kill();
    assert_eq!(guest.wait().await, EngineExit { code: None, signal: Some(9) });
}

#[tokio::test]
async fn two_guests_continue_from_one_snapshot_and_leave_it_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let files = SnapshotFiles { state: folder.path().join("state"), memory: folder.path().join("memory") };
    let engine = qemu();
    let spec = counting_guest(folder.path(), Memory::SharedFile(files.memory.clone()));
    let mut original = engine.start(spec.clone()).await.unwrap();
    counted_at_least(&*original, 3).await;
    original.pause().await.unwrap();
    original.snapshot(&files).await.unwrap();
    let seen = *counted(&*original).last().unwrap();
    drop(original);
    let memory_before = std::fs::read(&files.memory).unwrap();
    assert!(std::fs::metadata(&files.state).unwrap().len() < 1024 * 1024, "the memory is not in the state");

    let one = engine.restore(spec.clone(), &files).await.unwrap();
    let other = engine.restore(spec, &files).await.unwrap();
    for guest in [&one, &other] {
        // The snapshot may have been taken in the middle of a line, so the first whole one is the second.
        let counted = next_whole_lines(&**guest).await;
        assert!(counted >= seen && counted <= seen + 3, "{counted} does not continue {seen}");
    }
    drop((one, other));
    assert!(std::fs::read(&files.memory).unwrap() == memory_before, "a restored guest wrote to the snapshot");
}

async fn next_whole_lines(guest: &dyn pyro_engine::Guest) -> u32 {
    loop {
        let console = guest.console_tail();
        let mut lines = console.split(|byte| *byte == b'\n').skip(1);
        if let (Some(line), Some(_)) = (lines.next(), lines.next()) {
            return u32::from_str_radix(std::str::from_utf8(line).unwrap(), 16).unwrap();
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_guest_with_memory_of_its_own_is_saved_whole_and_lives_on() {
    let folder = tempfile::tempdir().unwrap();
    let files = SnapshotFiles { state: folder.path().join("state"), memory: folder.path().join("memory") };
    let engine = qemu();
    let spec = counting_guest(folder.path(), Memory::Anonymous);
    let mut original = engine.start(spec.clone()).await.unwrap();
    let seen = *counted_at_least(&*original, 3).await.last().unwrap();
    original.pause().await.unwrap();
    original.snapshot(&files).await.unwrap();
    let lines = counted(&*original).len();
    original.resume().await.unwrap();
    counted_at_least(&*original, lines + 2).await;
    drop(original);
    let restored = engine.restore(spec, &files).await.unwrap();
    assert!(next_whole_lines(&*restored).await >= seen);
    assert!(!files.memory.exists());
}

#[tokio::test]
async fn a_qemu_killed_from_outside_is_reported_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let mut guest = qemu().start(counting_guest(folder.path(), Memory::Anonymous)).await.unwrap();
    let pidfd = follow(guest.pid());
    rustix::process::pidfd_send_signal(&pidfd, Signal::KILL).unwrap();
    let Err(EngineError::Gone { exit, .. }) = guest.pause().await else { panic!("the guest is not gone") };
    assert_eq!(exit, "signal 9");
    assert_eq!(guest.wait().await, EngineExit { code: None, signal: Some(9) });
    assert!(matches!(guest.usage(), Err(EngineError::Gone { .. })));
}

#[tokio::test]
async fn a_dropped_guest_leaves_no_process() {
    let folder = tempfile::tempdir().unwrap();
    let guest = qemu().start(counting_guest(folder.path(), Memory::Anonymous)).await.unwrap();
    let pidfd = follow(guest.pid());
    drop(guest);
    // Reaped, not merely dead: a zombie could still be signalled.
    assert!(rustix::process::pidfd_send_signal(&pidfd, Signal::KILL).is_err());
}

#[tokio::test]
async fn what_qemu_refuses_is_said_in_its_words() {
    let folder = tempfile::tempdir().unwrap();
    let mut spec = counting_guest(folder.path(), Memory::Anonymous);
    std::fs::write(&spec.kernel, "this is no kernel").unwrap();
    let error = qemu().start(spec.clone()).await.unwrap_err();
    assert!(
        matches!(&error, EngineError::Gone { exit, tail, .. } if exit == "exit code 1" && tail.contains("kernel")),
        "{error}"
    );
    spec.kernel = PathBuf::from("/nonexistent/vmlinux");
    let error = qemu().start(spec).await.unwrap_err();
    assert!(error.to_string().contains("/nonexistent/vmlinux"), "{error}");
}

#[tokio::test]
async fn a_snapshot_that_cannot_work_is_refused_before_qemu_runs() {
    let folder = tempfile::tempdir().unwrap();
    let files = SnapshotFiles { state: folder.path().join("state"), memory: folder.path().join("memory") };
    let engine = qemu();
    let mut spec = counting_guest(folder.path(), Memory::SharedFile(files.memory.clone()));
    let mut original = engine.start(spec.clone()).await.unwrap();
    original.pause().await.unwrap();
    original.snapshot(&files).await.unwrap();
    drop(original);
    spec.mem_mib *= 2;
    assert!(matches!(engine.restore(spec.clone(), &files).await, Err(EngineError::Refused { .. })));
    spec.mem_mib /= 2;
    std::fs::File::options().write(true).open(&files.memory).unwrap().set_len(4096).unwrap();
    let error = engine.restore(spec.clone(), &files).await.unwrap_err();
    assert!(error.to_string().contains("4096 bytes"), "{error}");
    std::fs::write(&files.state, "short").unwrap();
    assert!(matches!(engine.restore(spec, &files).await, Err(EngineError::Host { .. })));
}

#[tokio::test]
async fn a_damaged_state_is_an_error_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let files = SnapshotFiles { state: folder.path().join("state"), memory: folder.path().join("memory") };
    let engine = qemu();
    let spec = counting_guest(folder.path(), Memory::SharedFile(files.memory.clone()));
    let mut original = engine.start(spec.clone()).await.unwrap();
    original.pause().await.unwrap();
    original.snapshot(&files).await.unwrap();
    drop(original);
    let whole = std::fs::metadata(&files.state).unwrap().len();
    std::fs::File::options().write(true).open(&files.state).unwrap().set_len(whole / 2).unwrap();
    let error = engine.restore(spec, &files).await.unwrap_err();
    assert!(matches!(&error, EngineError::Gone { tail, .. } if !tail.is_empty()), "{error}");
}
