//! The root file system: the environment's read-only base and the workspace's own disk, one over the other, and the
//! folders that lie on the workspace's disk directly. This file must not need anything inside the base.

use super::InitError;
use super::cmdline::Words;
use super::mounts::FIRST;
use super::mounts::make_folder;
use super::uevent::Events;
use crate::sys::ioctl;
use rustix::fs::AtFlags;
use rustix::fs::FileType;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::mount::MountFlags;
use rustix::mount::UnmountFlags;
use std::path::Path;

const BASE: &str = "/base";
const RW: &str = "/rw";
const ROOT: &str = "/root.new";
const WORKSPACE: &str = "/workspace";

/// Folders that lie on the workspace's disk, where they are seen, and their permissions when new.
const DIRECT: [(&str, &str, u32); 3] = [
    ("/rw/workspace", WORKSPACE, 0o755),
    ("/rw/tmp", "/tmp", 0o1777),
    ("/rw/docker", "/var/lib/docker", 0o710),
];

/// Where a guest's own disk is seen.
pub(super) fn own_mounts() -> impl Iterator<Item = &'static str> {
    std::iter::once("/").chain(DIRECT.map(|(_, seen, _)| seen))
}

/// Puts the root together and makes it this process's.
pub(super) fn enter(words: &Words, events: &Events) -> Result<(), InitError> {
    for device in [Some(&words.base), words.rw.as_ref()].into_iter().flatten() {
        wait_for_disk(device, events)?;
    }
    assemble(&words.base, words.rw.as_deref(), &FIRST)?;
    switch()
}

/// Puts the guest's own disk over a root that was entered without one, for every process there is. What was written to that
/// root is gone with it. A root that has a disk is left as it is.
pub(super) fn open_disk(base: &str, device: &str) -> Result<(), InitError> {
    if is_on_disk() {
        return Ok(());
    }
    let step = |step| move |errno: Errno| InitError::Step { step, source: errno.into() };
    // The kernel looked at the device when it found it, and that was in front of another disk.
    let disk = rustix::fs::open(device, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    disk.and_then(ioctl::forget_cached).map_err(step("forgetting what was cached of the disk"))?;
    let [proc, sys, dev] = FIRST;
    assemble(base, Some(device), &[proc, sys, dev, "/run"])?;
    rustix::process::chdir(ROOT).map_err(step("entering the root"))?;
    // Moves every process whose root is the old one, PID 1 among them, and puts the old one on top of the new.
    rustix::process::pivot_root(".", ".").map_err(step("changing the root"))?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).map_err(step("leaving the old root"))?;
    rustix::process::chdir("/").map_err(step("entering the root"))
}

/// Whether the workspace lies on a disk, rather than in memory.
fn is_on_disk() -> bool {
    const EXT4: u64 = 0xef53;
    rustix::fs::statfs(WORKSPACE).is_ok_and(|found| u64::try_from(found.f_type) == Ok(EXT4))
}

/// Mounts base and disk, one over the other, at [`ROOT`], with what is mounted at `moved` now.
fn assemble(base: &str, rw: Option<&str>, moved: &[&str]) -> Result<(), InitError> {
    for folder in [BASE, RW, ROOT] {
        make_folder(folder)?;
    }
    let failed = |target: &str| {
        let target = target.to_owned();
        move |errno: Errno| InitError::Mount { target, source: errno.into() }
    };
    rustix::mount::mount(base, BASE, "ext4", MountFlags::RDONLY, c"").map_err(failed(BASE))?;
    match rw {
        Some(device) => {
            let options = c"noinit_itable";
            rustix::mount::mount(device, RW, "ext4", MountFlags::NOATIME, options).map_err(failed(RW))?;
        }
        None => {
            rustix::mount::mount("rw", RW, "tmpfs", MountFlags::empty(), c"mode=0755").map_err(failed(RW))?;
        }
    }
    make_folder("/rw/upper")?;
    make_folder("/rw/work")?;
    let layers = c"lowerdir=/base,upperdir=/rw/upper,workdir=/rw/work";
    rustix::mount::mount("root", ROOT, "overlay", MountFlags::empty(), layers).map_err(failed("/"))?;
    for (source, target, mode) in DIRECT {
        make_direct(source, mode)?;
        let inside = make_inside(target)?;
        rustix::mount::mount_bind(source, inside.as_str()).map_err(failed(target))?;
    }
    // An identity is written there, whatever else the base lacks.
    make_inside("/etc")?;
    make_inside("/run")?;
    for target in moved {
        let inside = make_inside(target)?;
        rustix::mount::mount_move(*target, inside.as_str()).map_err(failed(target))?;
    }
    // The overlay and the binds hold both disks; their own places would be lost below the new root.
    for folder in [RW, BASE] {
        rustix::mount::unmount(folder, UnmountFlags::DETACH).map_err(failed(folder))?;
    }
    Ok(())
}

fn wait_for_disk(device: &str, events: &Events) -> Result<(), InitError> {
    events.wait_for(device, || Path::new(device).exists().then_some(()))
}

fn make_direct(path: &str, mode: u32) -> Result<(), InitError> {
    match rustix::fs::mkdir(path, Mode::from_raw_mode(mode)) {
        // The permissions asked for, whatever the mask; those of a folder that was there are its owner's business.
        Ok(()) => rustix::fs::chmod(path, Mode::from_raw_mode(mode)),
        Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno),
    }
    .map_err(|errno| InitError::Prepare { path: path.into(), source: errno.into() })
}

/// Makes a mount point in the new root, folder by folder, never through a link: the base is an image from somewhere, and
/// one that has a link in such a place gets a folder there instead.
fn make_inside(path: &str) -> Result<String, InitError> {
    let mut inside = ROOT.to_owned();
    for name in path.split('/').filter(|name| !name.is_empty()) {
        inside = format!("{inside}/{name}");
        let failed = |errno: Errno| InitError::Prepare { path: (&inside).into(), source: errno.into() };
        match rustix::fs::lstat(&*inside) {
            Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::Directory => continue,
            Ok(_) => rustix::fs::unlink(&*inside).map_err(failed)?,
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(failed(errno)),
        }
        rustix::fs::mkdir(&*inside, Mode::from_raw_mode(0o755)).map_err(failed)?;
    }
    Ok(inside)
}

/// Makes the new root `/`, after freeing the memory the initrd took.
fn switch() -> Result<(), InitError> {
    let step = |step| move |errno: Errno| InitError::Step { step, source: errno.into() };
    let old = rustix::fs::open("/", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    empty(&old.map_err(step("opening the initrd"))?);
    rustix::process::chdir(ROOT).map_err(step("entering the root"))?;
    rustix::mount::mount_move(".", "/").map_err(step("moving the root"))?;
    rustix::process::chroot(".").map_err(step("changing the root"))?;
    rustix::process::chdir("/").map_err(step("entering the root"))
}

/// Removes what the initrd brought: files, and the files of its folders. Folders that hold mounts refuse to go, and what
/// cannot be removed only costs memory.
fn empty(folder: &impl std::os::fd::AsFd) {
    let Ok(entries) = rustix::fs::Dir::read_from(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name == c"." || name == c".." || ROOT.as_bytes().get(1..) == Some(name.to_bytes()) {
            continue;
        }
        if rustix::fs::unlinkat(folder, name, AtFlags::empty()) == Err(Errno::ISDIR) {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            if let Ok(inner) = rustix::fs::openat(folder, name, flags, Mode::empty()) {
                empty(&inner);
            }
            let _ = rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR);
        }
    }
}
