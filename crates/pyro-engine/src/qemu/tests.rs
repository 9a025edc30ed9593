//! QEMU as an engine, with a guest that needs no kernel. Real kernels are booted by the tests of the whole product. These
//! tests are inside the crate to be told when a guest's console grows.

use super::*;
use crate::engine::EngineExit;
use crate::probe::image;
use crate::spec::Disk;
use crate::spec::DiskSource;
use crate::spec::Durability;
use crate::spec::Memory;
use rustix::process::Pid;
use rustix::process::PidfdFlags;
use rustix::process::Signal;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// QEMU with software emulation, which every host has.
pub(super) fn engine() -> QemuEngine {
    QemuEngine::detect(None, "/usr/local/bin:/usr/bin:/bin", Acceleration::Emulated).unwrap()
}

pub(super) async fn start(engine: &QemuEngine, spec: GuestSpec) -> Result<QemuGuest, EngineError> {
    engine.start_guest(&spec).await
}

pub(super) async fn restore(
    engine: &QemuEngine,
    spec: GuestSpec,
    files: &SnapshotFiles,
) -> Result<QemuGuest, EngineError> {
    engine.restore_guest(&spec, files).await
}

pub(super) fn counting_guest(folder: &Path, memory: Memory) -> GuestSpec {
    let kernel = folder.join("counter.elf");
    std::fs::write(&kernel, image::elf()).unwrap();
    GuestSpec {
        id: "0123456789ab".to_owned(),
        kernel,
        initrd: PathBuf::new(),
        cmdline: Vec::new(),
        vcpus: 1,
        mem_mib: image::MEM_MIB,
        memory,
        disks: Vec::new(),
        agent: None,
        runtime_dir: folder.to_owned(),
    }
}

pub(super) fn numbers(console: &[u8]) -> Vec<u32> {
    let text = std::str::from_utf8(console).unwrap();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    // A guest that was restored just before the end of a line begins with an empty one.
    whole.lines().filter(|line| !line.is_empty()).map(|line| u32::from_str_radix(line, 16).unwrap()).collect()
}

/// The numbers the guest has counted so far.
pub(super) fn counted(guest: &QemuGuest) -> Vec<u32> {
    numbers(&guest.console().bytes())
}

pub(super) async fn counted_at_least(guest: &QemuGuest, lines: usize) -> Vec<u32> {
    guest.console().wait_for(|console| Some(numbers(console)).filter(|numbers| numbers.len() >= lines)).await
}

/// The first number a restored guest wrote as a whole: the snapshot may have been taken in the middle of a line.
pub(super) async fn first_whole_line(guest: &QemuGuest) -> u32 {
    let second = |console: &[u8]| {
        let mut lines = console.split(|byte| *byte == b'\n').skip(1);
        let (line, _end) = (lines.next()?, lines.next()?);
        u32::from_str_radix(std::str::from_utf8(line).ok()?, 16).ok()
    };
    guest.console().wait_for(second).await
}

pub(super) fn follow(pid: u32) -> OwnedFd {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::pidfd_open(pid, PidfdFlags::empty()).unwrap()
}

#[tokio::test]
async fn a_guest_runs_pauses_and_resumes() {
    let folder = tempfile::tempdir().unwrap();
    let mut guest = start(&engine(), counting_guest(folder.path(), Memory::Anonymous)).await.unwrap();
    assert!(guest.take_channel().is_some() && guest.take_channel().is_none());
    let first = counted_at_least(&guest, 2).await;
    assert_eq!(first[..2], [1, 2]);
    guest.pause().await.unwrap();
    let usage = guest.usage().unwrap();
    assert!(usage.cpu_ms > 0 && usage.pss_kib > 1024);
    guest.resume().await.unwrap();
    let so_far = counted(&guest).len();
    counted_at_least(&guest, so_far + 2).await;
    guest.kill();
    assert_eq!(guest.wait().await, EngineExit { code: None, signal: Some(9) });
}

#[tokio::test]
async fn two_guests_continue_from_one_snapshot_and_leave_it_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let files = SnapshotFiles { state: folder.path().join("state"), memory: folder.path().join("memory") };
    let engine = engine();
    let spec = counting_guest(folder.path(), Memory::SharedFile(files.memory.clone()));
    let mut original = start(&engine, spec.clone()).await.unwrap();
    counted_at_least(&original, 3).await;
    original.pause().await.unwrap();
    original.snapshot(&files).await.unwrap();
    let seen = *counted(&original).last().unwrap();
    drop(original);
    let memory_before = std::fs::read(&files.memory).unwrap();
    assert!(std::fs::metadata(&files.state).unwrap().len() < 1024 * 1024, "the memory is not in the state");

    let one = restore(&engine, spec.clone(), &files).await.unwrap();
    let other = restore(&engine, spec, &files).await.unwrap();
    for guest in [&one, &other] {
        // The snapshot may have been taken in the middle of a line, so the first whole one is the second.
        let counted = first_whole_line(guest).await;
        assert!(counted >= seen && counted <= seen + 3, "{counted} does not continue {seen}");
    }
    drop((one, other));
    assert!(std::fs::read(&files.memory).unwrap() == memory_before, "a restored guest wrote to the snapshot");
}

#[tokio::test]
async fn a_qemu_killed_from_outside_is_reported_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let mut guest = start(&engine(), counting_guest(folder.path(), Memory::Anonymous)).await.unwrap();
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
    let guest = start(&engine(), counting_guest(folder.path(), Memory::Anonymous)).await.unwrap();
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
    let error = start(&engine(), spec.clone()).await.unwrap_err();
    assert!(
        matches!(&error, EngineError::Gone { exit, tail, .. } if exit == "exit code 1" && tail.contains("kernel")),
        "{error}"
    );
    spec.kernel = PathBuf::from("/nonexistent/vmlinux");
    let error = start(&engine(), spec).await.unwrap_err();
    assert!(error.to_string().contains("/nonexistent/vmlinux"), "{error}");
}

#[tokio::test]
async fn a_snapshot_that_cannot_work_is_refused_before_qemu_runs() {
    let folder = tempfile::tempdir().unwrap();
    let files = SnapshotFiles { state: folder.path().join("state"), memory: folder.path().join("memory") };
    let engine = engine();
    let mut spec = counting_guest(folder.path(), Memory::SharedFile(files.memory.clone()));
    let mut original = start(&engine, spec.clone()).await.unwrap();
    original.pause().await.unwrap();
    original.snapshot(&files).await.unwrap();
    drop(original);
    spec.mem_mib *= 2;
    assert!(matches!(restore(&engine, spec.clone(), &files).await, Err(EngineError::Refused { .. })));
    spec.mem_mib /= 2;
    File::options().write(true).open(&files.memory).unwrap().set_len(4096).unwrap();
    let error = restore(&engine, spec.clone(), &files).await.unwrap_err();
    assert!(error.to_string().contains("4096 bytes"), "{error}");
    std::fs::write(&files.state, "short").unwrap();
    assert!(matches!(restore(&engine, spec, &files).await, Err(EngineError::Host { .. })));
}

#[tokio::test]
async fn a_damaged_state_is_an_error_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let files = SnapshotFiles { state: folder.path().join("state"), memory: folder.path().join("memory") };
    let engine = engine();
    let spec = counting_guest(folder.path(), Memory::SharedFile(files.memory.clone()));
    let mut original = start(&engine, spec.clone()).await.unwrap();
    original.pause().await.unwrap();
    original.snapshot(&files).await.unwrap();
    drop(original);
    let whole = std::fs::metadata(&files.state).unwrap().len();
    File::options().write(true).open(&files.state).unwrap().set_len(whole / 2).unwrap();
    let error = restore(&engine, spec, &files).await.unwrap_err();
    assert!(matches!(&error, EngineError::Host { operation: "reading a snapshot's state", .. }), "{error}");
}

#[tokio::test]
async fn disks_are_taken_by_path_and_by_descriptor() {
    let folder = tempfile::tempdir().unwrap();
    let named = folder.path().join("disk,with=commas");
    std::fs::write(&named, vec![0; 65536]).unwrap();
    let unnamed = tempfile::tempfile().unwrap();
    unnamed.set_len(65536).unwrap();
    let unnamed = Arc::new(unnamed);
    let mut spec = counting_guest(folder.path(), Memory::Anonymous);
    spec.disks = vec![
        Disk::raw(DiskSource::Path(named.clone()), true, Durability::Throwaway),
        Disk::raw(DiskSource::File(Arc::clone(&unnamed)), false, Durability::Flushed),
        Disk::raw(DiskSource::File(unnamed), true, Durability::Throwaway),
    ];
    let guest = start(&engine(), spec.clone()).await.unwrap();
    counted_at_least(&guest, 1).await;
    drop(guest);
    std::fs::remove_file(named).unwrap();
    let error = start(&engine(), spec).await.unwrap_err();
    assert!(error.to_string().contains("disk,with=commas"), "{error}");
}
