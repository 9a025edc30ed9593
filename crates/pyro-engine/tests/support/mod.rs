//! What the tests of real engine processes share: a guest that needs no kernel, and following processes.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use pyro_engine::Acceleration;
use pyro_engine::GuestSpec;
use pyro_engine::Memory;
use pyro_engine::QemuEngine;
use pyro_engine::probe::image;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::process::Pid;
use rustix::process::PidfdFlags;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::path::PathBuf;

/// QEMU with software emulation, which every host has.
pub(crate) fn qemu() -> QemuEngine {
    QemuEngine::detect(None, "/usr/local/bin:/usr/bin:/bin", Acceleration::Emulated).unwrap()
}

/// The counting guest of the probe.
pub(crate) fn counting_guest(folder: &Path, memory: Memory) -> GuestSpec {
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

/// Follows a process by descriptor, so that another one with its number is never taken for it.
pub(crate) fn follow(pid: u32) -> OwnedFd {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::pidfd_open(pid, PidfdFlags::empty()).unwrap()
}

/// Blocks until the process has ended.
pub(crate) fn wait_for_end(pidfd: &OwnedFd) {
    rustix::event::poll(&mut [PollFd::new(pidfd, PollFlags::IN)], None).unwrap();
}
